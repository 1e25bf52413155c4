-- rules/request.lua: what was asked, checked against policy. Reads only.
local pools = need('pool')
local request = {}

-- The campaign's rules, or nil if the list is closed and it is not on it.
local function campaign_of(op)
  local p = pools.get('campaign:' .. op.campaign)
  return p.known and p or nil
end

local function is_allowed(rules, name)
  if not rules.allowed then return true end
  return contains(rules.allowed, name) or contains(rules.allowed, kind_of(name) .. ':*')
end

-- -> list of the campaign's and the asked named pools without doubles, or nil and a fault
local function named_pools(op, campaign)
  local list, seen = {}, {}
  for _, name in ipairs(campaign.rules.pools or {}) do
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

-- -> {application rules, MPPs it may use} or nil and a fault
local function placement_of(op)
  local rules, mpps = {}, zone.mpps
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

-- -> what all asks that name the same have in common, or nil and a fault
local function common_of(op)
  local channel = op.channel or zone.channels[1]
  if channel ~= 'any' and not zone.is_channel[channel] then
    return nil, fault('unknown_channel', 'channel', channel)
  end
  local campaign = campaign_of(op)
  if not campaign then return nil, fault('unknown_campaign', 'campaign', op.campaign) end
  local named, wrong = named_pools(op, campaign)
  if not named then return nil, wrong end
  local placement
  placement, wrong = placement_of(op)
  if not placement then return nil, wrong end
  return {
    channel = channel, channels = channel == 'any' and zone.any or { channel },
    campaign = campaign, named = named, placement = placement, candidates = {},
  }
end

-- What is named is looked up once in a call, as long as the pools that were read stay.
local common, generation = {}, nil
local last, last_ask -- most asks of a call name what the one before them did
local function is_as_last(op)
  return last and op.campaign == last.campaign and op.channel == last.channel and op.mpp == last.mpp
    and op.application == last.application and not op.pools and not last.pools
end

local function look_up(op)
  if generation ~= pools.generation then common, last, generation = {}, nil, pools.generation end
  if is_as_last(op) then return last_ask end
  local asked = op.pools and #op.pools > 0 and concat(op.pools, ',') or ''
  local key = op.campaign .. '/' .. (op.channel or '') .. '/' .. (op.application or '') .. '/' .. (op.mpp or '') .. '/' .. asked
  local known, wrong = common[key], nil
  if not known then
    known, wrong = common_of(op)
    common[key] = known
  end
  last, last_ask = known and op, known
  return known, wrong
end

-- -> ask {op, count, min_count, channel, channels, campaign, named, placement}, or nil and a fault.
-- It is the same table for all that name the same: good until the next one is read.
function request.read(op)
  local ask, wrong = look_up(op)
  if not ask then return nil, wrong end
  ask.op, ask.count, ask.min_count, ask.is_big = op, op.count, op.min_count, nil
  return ask
end

-- Read what all asks of a call will look for, in few commands.
function request.read_ahead(ops)
  local names, is_named = {}, {}
  for _, op in ipairs(ops) do
    if op.op == 'admit' and not is_named[op.campaign] then
      is_named[op.campaign], names[#names + 1] = true, 'campaign:' .. op.campaign
    end
  end
  pools.read_ahead(names)
end

return request
