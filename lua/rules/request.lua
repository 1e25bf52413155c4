-- rules/request.lua: the names in a request, checked against policy. Reads only.
local pools = need('pool')
local request = {}

-- -> the campaign's pool, or nil if policy neither names the campaign nor allows others
local function get_campaign(op)
  local pool = pools.get('campaign:' .. op.campaign)
  return pool.known and pool or nil
end

local function is_allowed(rules, name)
  if not rules.allowed then return true end
  return contains(rules.allowed, name) or contains(rules.allowed, kind_of(name) .. ':*')
end

-- -> the named pools of the campaign and the request without duplicates, or nil and a fault
local function list_named_pools(op, campaign)
  local list, seen, of_campaign = {}, {}, campaign.rules.pools or {}
  for i = 1, #of_campaign do
    local name = of_campaign[i]
    if not seen[name] then list[#list + 1], seen[name] = name, true end
  end
  for _, name in ipairs(op.pools or {}) do
    if not pools.get(name).known then return nil, fault('unknown_pool', 'pools', name) end
    if not seen[name] then
      if not is_allowed(campaign.rules, name) then return nil, fault('pool_not_allowed', 'pools', name) end
      list[#list + 1], seen[name] = name, true
    end
  end
  return list
end

local of_zone -- the placement of a request without an application

-- -> {application rules, MPPs it may use} or nil and a fault
local function get_placement(op)
  local rules, mpps = {}, zone.mpps
  if not op.application and (not op.mpp or contains(mpps, op.mpp)) then
    if not of_zone or of_zone.mpps ~= mpps then of_zone = { claim_within = zone.claim_within, mpps = mpps, own = false } end
    return of_zone
  end
  if op.application then
    local text = call('HGET', POLICY, 'application:' .. op.application)
    if not text then return nil, fault('unknown_application', 'application', op.application) end
    rules = decode(text)
    if rules.mpps and #rules.mpps > 0 then
      local own = set_of(rules.mpps)
      mpps = {}
      for _, mpp in ipairs(zone.mpps) do -- in the order of the policy's MPPs
        if own[mpp] then mpps[#mpps + 1] = mpp end
      end
    end
  end
  if op.mpp and not contains(mpps, op.mpp) then return nil, fault('unknown_mpp', 'mpp', op.mpp) end
  return { claim_within = rules.claim_within or zone.claim_within, mpps = mpps, own = mpps ~= zone.mpps }
end

-- -> the fields shared by all requests with the same names, or nil and a fault
local function make_shared_fields(op)
  local channel = op.channel or zone.channels[1]
  if channel ~= 'any' and not zone.is_channel[channel] then
    return nil, fault('unknown_channel', 'channel', channel)
  end
  local campaign = get_campaign(op)
  if not campaign then return nil, fault('unknown_campaign', 'campaign', op.campaign) end
  local named, wrong = list_named_pools(op, campaign)
  if not named then return nil, wrong end
  local placement
  placement, wrong = get_placement(op)
  if not placement then return nil, wrong end
  return {
    channel = channel, channels = channel == 'any' and zone.any or { channel },
    campaign = campaign, named = named, placement = placement, plans = {},
  }
end

-- The same names are looked up once in a call.
local shared, last = pools.make_derived(), pools.make_derived()

-- Most requests of a call have the names of the one before.
local function is_like_last(op)
  local before = last.op
  return before and op.campaign == before.campaign and op.channel == before.channel and op.mpp == before.mpp
    and op.application == before.application and not op.pools and not before.pools
end

local function find_shared_fields(op)
  if is_like_last(op) then return last.ask end
  local asked = op.pools and #op.pools > 0 and concat(op.pools, ',') or ''
  local key = op.campaign .. '/' .. (op.channel or '') .. '/' .. (op.application or '') .. '/' .. (op.mpp or '') .. '/' .. asked
  local known, wrong = shared[key], nil
  if not known then
    known, wrong = make_shared_fields(op)
    shared[key] = known
  end
  last.op, last.ask = known and op, known
  return known, wrong
end

-- -> ask {op, count, min_count, channel, channels, campaign, named, placement, plans}, or nil and a fault.
-- Requests with the same names get the same table: valid until the next one is read.
function request.read(op)
  local ask, wrong = find_shared_fields(op)
  if not ask then return nil, wrong end
  ask.op, ask.count, ask.min_count, ask.is_big = op, op.count or 1, op.min_count or 1, nil
  return ask
end

-- Read the campaigns' pools of all requests of a call in few commands.
function request.read_ahead(ops)
  local names, is_named = {}, {}
  for i = 1, #ops do
    local op = ops[i]
    if op.op == 'admit' and not is_named[op.campaign] then
      is_named[op.campaign], names[#names + 1] = true, 'campaign:' .. op.campaign
    end
  end
  pools.read_ahead(names)
end

return request
