-- rules/plan.lua: what a launch on one channel would take: its *plan*. Reads only.
--
-- Life: a plan is made at the first request of a call for its names (campaign, application, channel, MPP, named pools).
-- Later requests with these names use it, until the pools are flushed (pools.make_derived): at the end of the call, or
-- before another policy. Its fields never change, except the three marked *.
--
-- plan
--   shared         what plans of all campaigns have in common that use the same channel, MPP and named pools; below
--   campaign       the campaign's pool
--   pools          every pool that a reservation occupies, in the order of its record: channels, MPP, mpps, campaign, named
--   lists          the same by the limits that they have (limits.KINDS): channels, mpps, campaigns, named, uncounted
--   rated          pools whose rate a launch uses, in the order of the check: zone, whole MPP, campaign, named
--   breakers       pools that have a circuit breaker
--   reserved       for each channel the units that are never this campaign's, whatever others use: while more are free,
--                  neither a guarantee nor a reserve of a higher class is a reason
--   is_simple      the fast path may decide: no breaker, and every limit counts reservations
--   answer_within, max_call   ms, for the record
--   records *      owner -> template of the records (effects/grant.lua)
-- shared
--   channel, mpp   names; mpp is nil where it is not known
--   own            the channel's own pool
--   watched        pools whose snapshots must be valid
--   contended      pools that campaigns compete for
--   early_passed_at *   pools.version at which every check that reads no counts allowed a request (rules/checks.lua)
--   templates *    -> template of the records of all campaigns (effects/grant.lua)
--   order, rated_order   pools and rated of a plan, with false in the place of the campaign: place, rated_place
--   rated          the same without a campaign
--   lists, breakers, reserved, has_other_limits, answer_within, max_call   the parts of a plan's fields without the campaign
local pools, limits, rate_limit = need('pool'), need('limits'), need('rate_limit')
local plans = {}

-- Sort pools into lists.
local function sort(shared, list)
  local lists = { channels = {}, mpps = {}, campaigns = {}, named = {}, uncounted = {} }
  shared.lists, shared.breakers, shared.watched, shared.contended = lists, {}, {}, {}
  for _, pool in ipairs(list) do
    local same_limits = lists[limits.get_list_name(pool)]
    same_limits[#same_limits + 1] = pool
    if pool.rules.breaker then shared.breakers[#shared.breakers + 1] = pool end
    -- An old snapshot of an MPP is ignored; a campaign has none.
    local is_watched = pool.kind ~= 'mpp' and pool.kind ~= ON_KNOWN_MPP and pool.kind ~= 'campaign'
    if is_watched then shared.watched[#shared.watched + 1] = pool end
    if pool.contended then shared.contended[#shared.contended + 1] = pool end
  end
  shared.has_other_limits = limits.has_others(list)
end

local function list_rated(list)
  local rated = {}
  for _, pool in ipairs(list) do
    if rate_limit.is_limited(pool) then rated[#rated + 1] = pool end
  end
  return rated
end

-- -> the smallest value of that setting, nil if none of the pools has it
local function find_smallest(list, setting)
  local smallest
  for _, pool in ipairs(list) do
    local value = pool.rules[setting]
    if value and (not smallest or value < smallest) then smallest = value end
  end
  return smallest
end

local function read_pools_ahead(channels, channel, mpp, named)
  local names = { 'zone', unpack(named) }
  for _, taken in ipairs(channels) do names[#names + 1] = 'channel:' .. taken end
  if mpp then
    names[#names + 1], names[#names + 2] = 'mpp:' .. mpp, 'mpp:' .. mpp .. ':' .. channel
    names[#names + 1] = ON_KNOWN_MPP
  end
  pools.read_ahead(names)
end

local function make_shared(channel, mpp, named)
  local channels, before, after = zone.takes[channel] or { channel }, {}, {}
  read_pools_ahead(channels, channel, mpp, named)
  for i, taken in ipairs(channels) do before[i] = pools.get('channel:' .. taken) end
  if mpp then
    before[#before + 1], before[#before + 2] = pools.get('mpp:' .. mpp .. ':' .. channel), pools.get(ON_KNOWN_MPP)
  end
  for i, name in ipairs(named) do after[i] = pools.get(name) end
  local rated_before = list_rated({ pools.get('zone'), mpp and pools.get('mpp:' .. mpp) or nil })
  local rated_after = list_rated(after)
  local shared = {
    channel = channel, mpp = mpp or nil, own = pools.get('channel:' .. channel),
    order = chained(before, { false }, after), place = #before + 1,
    rated_order = chained(rated_before, { false }, rated_after), rated_place = #rated_before + 1,
    rated = chained(rated_before, rated_after),
    answer_within = find_smallest(after, 'answer_within'), max_call = find_smallest(after, 'max_call'),
    reserved = {}, templates = {}, early_passed_at = nil,
  }
  sort(shared, chained(before, after))
  return shared
end

local shared_parts = pools.make_derived() -- "channel mpp named" -> shared

local function get_shared(channel, mpp, named)
  local key = channel .. ' ' .. (mpp or '') .. ' ' .. concat(named, ' ')
  local shared = shared_parts[key]
  if not shared then
    shared = make_shared(channel, mpp, named)
    shared_parts[key] = shared
  end
  return shared
end

-- class: priority class of a campaign -> for each channel of the plan the units reserved for others
local function get_reserved(shared, class)
  local list = shared.reserved[class]
  if list then return list end
  list = {}
  for i, pool in ipairs(shared.lists.channels) do -- they come first in plan.pools
    list[i] = (zone.priority_reserve[tostring(class)] or 0) + (pool.name == zone.guaranteed and zone.guarantee_total or 0)
  end
  shared.reserved[class] = list
  return list
end

-- -> the smallest value that the campaign or a named pool sets, else the zone's
local function choose_setting(shared, campaign, setting)
  local own, of_pools = campaign.rules[setting], shared[setting]
  if own and of_pools then return min(own, of_pools) end
  return own or of_pools or zone[setting]
end

-- order: pools, with false in the place of the campaign -> a copy with the campaign's pool in that place
local function insert(order, place, campaign)
  local list = { unpack(order) }
  list[place] = campaign
  return list
end

local function make(shared, campaign)
  local lists, rules, only = shared.lists, campaign.rules, { campaign }
  local breakers = rules.breaker and chained(only, shared.breakers) or shared.breakers
  local has_other_limits = shared.has_other_limits or limits.has_others(only)
  return {
    shared = shared, campaign = campaign, pools = insert(shared.order, shared.place, campaign),
    lists = {
      channels = lists.channels, mpps = lists.mpps, campaigns = only, named = lists.named, uncounted = lists.uncounted,
    },
    rated = rate_limit.is_limited(campaign) and insert(shared.rated_order, shared.rated_place, campaign) or shared.rated,
    breakers = breakers, is_simple = #breakers == 0 and not has_other_limits,
    reserved = get_reserved(shared, rules.priority or 0),
    answer_within = choose_setting(shared, campaign, 'answer_within'), max_call = choose_setting(shared, campaign, 'max_call'),
    records = {},
  }
end

-- -> the plan of a single pool of a plan, without rates: what the pool alone allows (explain)
function plans.make_single(plan, pool)
  local shared = { channel = plan.shared.channel, mpp = pool.kind == 'mpp' and plan.shared.mpp or nil }
  sort(shared, { pool })
  return {
    shared = shared, campaign = plan.campaign, pools = { pool }, lists = shared.lists, rated = {},
    breakers = shared.breakers, is_simple = false,
  }
end

-- -> the names of its pools
function plans.list_pool_names(plan)
  local names = {}
  for i, pool in ipairs(plan.pools) do names[i] = pool.name end
  return names
end

-- -> the name of the MPP that the request will use, nil if the platform chooses it: booked when `launched` names it
local function choose_mpp(ask, channel)
  if ask.op.mpp then return ask.op.mpp end
  local place = ask.placement
  if place.own and #place.mpps == 1 then return place.mpps[1] end
  if zone.placement == 'controller' then return need('placement').find_emptiest(ask.op.application, place.mpps, channel) end
  return nil
end

-- mpp: nil: as the request and its placement say; false: not known; else the name of the MPP
-- -> the plan of a launch on that channel
function plans.find(ask, channel, mpp)
  if mpp == nil then mpp = choose_mpp(ask, channel) end
  local of_channel = ask.plans[channel]
  if not of_channel then
    of_channel = {}
    ask.plans[channel] = of_channel
  end
  local plan = of_channel[mpp or '']
  if not plan then
    plan = make(get_shared(channel, mpp, ask.named), ask.campaign)
    of_channel[mpp or ''] = plan
  end
  return plan
end

return plans
