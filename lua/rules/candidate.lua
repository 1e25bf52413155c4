-- rules/candidate.lua: the pools that a launch on one channel would take. Reads only.
--
-- A candidate is made once in a call for all requests with the same names; candidates that differ by their campaign
-- alone share a base.
local pools, limits, rate_limit = need('pool'), need('limits'), need('rate_limit')
local candidate = {}

local function mpp_of(ask, channel)
  if ask.op.mpp then return ask.op.mpp end
  local place = ask.placement
  if place.own and #place.mpps == 1 then return place.mpps[1] end
  if zone.placement == 'controller' then return need('placement').find_emptiest(ask.op.application, place.mpps, channel) end
  return nil -- the platform chooses: booked when `launched` names the MPP
end

-- Sort the candidate's pools into lists, by the checks that read them.
function candidate.group_by_check(c)
  c.channels, c.mpps, c.campaigns, c.named, c.uncounted = {}, {}, {}, {}, {}
  c.broken, c.watched, c.contended = {}, {}, {}
  for _, p in ipairs(c.pools) do
    local list = c[limits.get_list_name(p)]
    list[#list + 1] = p
    if p.rules.breaker then c.broken[#c.broken + 1] = p end
    -- An old snapshot of an MPP is ignored; a campaign has none.
    if p.kind ~= 'mpp' and p.kind ~= ON_KNOWN_MPP and p.kind ~= 'campaign' then c.watched[#c.watched + 1] = p end
    if p.contended then c.contended[#c.contended + 1] = p end
  end
  c.has_other_limits = limits.has_others(c.pools)
  return c
end

local function rated_of(list)
  local rated = {}
  for _, p in ipairs(list) do
    if rate_limit.is_limited(p) then rated[#rated + 1] = p end
  end
  return rated
end

local function smallest_of(list, name)
  local smallest
  for _, p in ipairs(list) do
    local own = p.rules[name]
    if own and (not smallest or own < smallest) then smallest = own end
  end
  return smallest
end

-- The shared part of the candidates of all campaigns that need the same channel, MPP and named pools.
-- before, after: its pools that precede and follow the campaign's.
local function make_base(channel, mpp, named)
  local takes, soon = zone.takes[channel] or { channel }, { 'zone', unpack(named) }
  for _, taken in ipairs(takes) do soon[#soon + 1] = 'channel:' .. taken end
  if mpp then
    soon[#soon + 1], soon[#soon + 2], soon[#soon + 3] = 'mpp:' .. mpp, 'mpp:' .. mpp .. ':' .. channel, ON_KNOWN_MPP
  end
  pools.read_ahead(soon)
  local before, after = {}, {}
  for i, taken in ipairs(takes) do before[i] = pools.get('channel:' .. taken) end
  if mpp then
    before[#before + 1], before[#before + 2] = pools.get('mpp:' .. mpp .. ':' .. channel), pools.get(ON_KNOWN_MPP)
  end
  for i, name in ipairs(named) do after[i] = pools.get(name) end
  local b = candidate.group_by_check({ channel = channel, mpp = mpp or nil, pools = chained(before, after), passed = -1, kept = {}, numbers = {}, templates = {} })
  b.before, b.after, b.own = before, after, pools.get('channel:' .. channel)
  b.rated_before = rated_of({ pools.get('zone'), mpp and pools.get('mpp:' .. mpp) or nil })
  b.rated_after = rated_of(after)
  b.answer_within, b.max_call = smallest_of(after, 'answer_within'), smallest_of(after, 'max_call')
  b.__index = b
  return b
end

local bases, generation = {}, nil
local function get_base(channel, mpp, named)
  if generation ~= pools.generation then bases, generation = {}, pools.generation end
  local key = channel .. ' ' .. (mpp or '') .. ' ' .. concat(named, ' ')
  local b = bases[key]
  if not b then
    b = make_base(channel, mpp, named)
    bases[key] = b
  end
  return b
end

-- -> the smallest value that the campaign or a named pool sets, else the zone's
local function get_smallest_setting(b, campaign, name)
  local own, of_pools = campaign.rules[name], b[name]
  if own and of_pools then return min(own, of_pools) end
  return own or of_pools or zone[name]
end

local function make(ask, channel, mpp)
  local b, campaign = get_base(channel, mpp, ask.named), ask.campaign
  local c = { base = b, pools = chained(b.before, { campaign }, b.after), campaigns = { campaign }, campaign_templates = {} }
  if campaign.rules.breaker then c.broken = chained({ campaign }, b.broken) end
  c.has_other_limits = b.has_other_limits or limits.has_others(c.campaigns)
  c.rated = chained(b.rated_before, rate_limit.is_limited(campaign) and { campaign } or {}, b.rated_after)
  c.answer_within, c.max_call = get_smallest_setting(b, campaign, 'answer_within'), get_smallest_setting(b, campaign, 'max_call')
  return setmetatable(c, b)
end

-- -> the names of its pools
function candidate.get_pool_names(c)
  local names = {}
  for i, p in ipairs(c.pools) do names[i] = p.name end
  return names
end

-- The pools that a call on that channel would take.
-- mpp: nil: as the request and its placement say; false: not known; else the name of the MPP
-- -> candidate {channel, mpp, pools, rated, answer_within, max_call, and the lists of group_by_check}; never changed
function candidate.find(ask, channel, mpp)
  if mpp == nil then mpp = mpp_of(ask, channel) end
  local of_channel = ask.candidates[channel] or {}
  local c = of_channel[mpp or '']
  if not c then
    c = make(ask, channel, mpp)
    of_channel[mpp or ''], ask.candidates[channel] = c, of_channel
  end
  return c
end

return candidate
