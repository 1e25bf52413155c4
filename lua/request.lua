-- request.lua: from what was asked to the pools that it needs. Reads only.
local pools, rate = need('pool'), need('rate')
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
local function look_up(op)
  if generation ~= pools.generation then common, generation = {}, pools.generation end
  local asked = op.pools and #op.pools > 0 and concat(op.pools, ',') or ''
  local key = op.campaign .. '/' .. (op.channel or '') .. '/' .. (op.application or '') .. '/' .. (op.mpp or '') .. '/' .. asked
  local wrong
  if not common[key] then common[key], wrong = common_of(op) end
  return common[key], wrong
end

-- -> ask {op, count, min_count, channel, channels, campaign, named, placement}, or nil and a fault
function request.read(op)
  local common, wrong = look_up(op)
  if not common then return nil, wrong end
  return {
    op = op, count = op.count, min_count = op.min_count, channel = common.channel, channels = common.channels,
    campaign = common.campaign, named = common.named, placement = common.placement, candidates = common.candidates,
  }
end

-- The MPP with most room, the first of the policy's on ties.
local function roomiest(mpps, channel)
  local best, most
  for _, mpp in ipairs(mpps) do
    local name = 'mpp:' .. mpp .. ':' .. channel
    local room = pools.room(pools.get(name)) or FOREVER
    if zone.paused['mpp:' .. mpp] or zone.paused[name] then room = -FOREVER end
    if not most or room > most then best, most = mpp, room end
  end
  return best
end

local function mpp_of(ask, channel)
  if ask.op.mpp then return ask.op.mpp end
  local place = ask.placement
  if place.own and #place.mpps == 1 then return place.mpps[1] end
  if zone.placement == 'controller' then return roomiest(place.mpps, channel) end
  return nil -- the platform's choice: booked when launched names it
end

-- Pools of the candidate that have a rate, among them the zone and the whole MPP.
local function rated_of(c)
  local list = {}
  local function add(p)
    if rate.is_limited(p) then list[#list + 1] = p end
  end
  add(pools.get('zone'))
  if c.mpp then add(pools.get('mpp:' .. c.mpp)) end
  for _, p in ipairs(c.pools) do
    if p.kind ~= 'channel' and p.kind ~= 'mpp' then add(p) end
  end
  return list
end

-- The smallest that the campaign or a named pool sets, else the zone's.
local function within(c, campaign, name)
  local value = campaign.rules[name]
  for _, p in ipairs(c.named) do
    local own = p.rules[name]
    if own and (not value or own < value) then value = own end
  end
  return value or zone[name]
end

-- Which of its pools which check looks at.
function request.sort(c)
  c.channels, c.mpps, c.campaigns, c.named = {}, {}, {}, {}
  c.broken, c.watched, c.contended = {}, {}, {}
  local of = { channel = c.channels, mpp = c.mpps, campaign = c.campaigns, [ON_KNOWN_MPP] = {} }
  for _, p in ipairs(c.pools) do
    local list = of[p.kind] or c.named
    list[#list + 1] = p
    if p.rules.breaker then c.broken[#c.broken + 1] = p end
    -- An MPP's own snapshot is passed over when it is old.
    if p.kind ~= 'mpp' and p.kind ~= ON_KNOWN_MPP then c.watched[#c.watched + 1] = p end
    if p.contended then c.contended[#c.contended + 1] = p end
  end
  return c
end

local function make(ask, channel, mpp)
  local c = { channel = channel, mpp = mpp or nil, pools = {}, names = {} }
  local function add(name) c.pools[#c.pools + 1], c.names[#c.names + 1] = pools.get(name), name end
  local soon = { 'zone', unpack(ask.named) }
  for _, taken in ipairs(zone.takes[channel] or { channel }) do soon[#soon + 1] = 'channel:' .. taken end
  if c.mpp then
    soon[#soon + 1], soon[#soon + 2], soon[#soon + 3] = 'mpp:' .. c.mpp, 'mpp:' .. c.mpp .. ':' .. channel, ON_KNOWN_MPP
  end
  pools.read_ahead(soon)
  for _, taken in ipairs(zone.takes[channel] or { channel }) do add('channel:' .. taken) end
  if c.mpp then
    add('mpp:' .. c.mpp .. ':' .. channel)
    add(ON_KNOWN_MPP)
  end
  add(ask.campaign.name)
  for _, name in ipairs(ask.named) do add(name) end
  request.sort(c)
  c.rated = rated_of(c)
  c.answer_within, c.max_call = within(c, ask.campaign, 'answer_within'), within(c, ask.campaign, 'max_call')
  return c
end

-- Which pools a call on that channel would take.
-- mpp: nil: as the request and its placement say; false: none, it is not known; else that one
-- -> candidate {channel, mpp, pools, names, rated, answer_within, max_call, and what sort makes}; not to be changed
function request.candidate(ask, channel, mpp)
  if mpp == nil then mpp = mpp_of(ask, channel) end
  local key = mpp and channel .. ' ' .. mpp or channel
  local c = ask.candidates[key] or make(ask, channel, mpp)
  ask.candidates[key] = c
  return c
end

return request
