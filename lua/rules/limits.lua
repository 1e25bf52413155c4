-- rules/limits.lua: every limit of a pool: how many reservations may hold it, and how much of that is free. Reads only.
local ceiling = need('ceiling')
local limits = {}

local RETRY_MS_MAX = 30000

-- Is the pool's own snapshot valid? (The estimate of foreign use replaces an MPP's snapshot that is not.)
function limits.is_fresh(p)
  return p.t0 and p.w0 > meta.recover_until and now - p.t0 <= zone.max_age
end

local function smaller(a, b)
  if a and b then return min(a, b) end
  return a or b
end

-- -> the most reservations that may hold p now, nil if nothing limits p. Computed once and kept
-- until pools.change(p).
function limits.get_limit(p)
  if p.limit_now == nil then
    local set = p.set_until and now < p.set_until and p.set_limit or nil
    p.limit_now = smaller(set, limits.get_lasting_limit(p)) or false
  end
  return p.limit_now or nil
end

-- -> the same without a temporary limit
function limits.get_lasting_limit(p)
  local capacity = p.rules.limit
  if p.kind ~= 'mpp' or capacity == nil then return smaller(capacity, ceiling.compute(p)) end
  if limits.is_fresh(p) then return smaller(capacity, ceiling.compute(p)) end
  if not capacity or zone.mpp_total == 0 then return capacity end
  return max(0, capacity - ceil(meta.foreign * capacity / zone.mpp_total))
end

-- -> ports of p that are never granted
function limits.get_headroom(p, limit)
  if p.kind ~= 'channel' or not limit then return 0 end
  return zone.headroom + ceil(limit * zone.headroom_percent / 100) + (p.adaptive and need('adaptive_headroom').get_headroom(p, limit) or 0)
end

-- -> ms until so many units are likely to be free, from the mean time that a reservation held one lately
function limits.estimate_retry_after(p, units)
  if not p.hold or p.in_use == 0 then return zone.poll_interval end
  return max(zone.poll_min, min(RETRY_MS_MAX, ceil(p.hold * units / p.in_use)))
end

-- -> units that may be in use, false if nothing limits p
function limits.get_usable(p)
  if p.usable_now == nil then
    local limit = limits.get_limit(p)
    p.usable_now = limit and limit - limits.get_headroom(p, limit) or false -- mutation: headroom-not-granted
  end
  return p.usable_now
end

-- -> free units, nil if nothing limits p
function limits.get_room(p)
  local usable = limits.get_usable(p)
  return usable and usable - p.in_use or nil
end

local function get_in_use(p) return p.in_use end

-- Each limit is defined here once: the checks, contention, waiting and notifications derive from it.
-- reason    of a denial at this limit (rules/reasons.lua)
-- pools     the list of a plan's pools that have the limit (plan.lists)
-- get_used  p -> units counted against the limit
-- get_most  p -> the most that may be counted now, nil if p has no such limit
limits.KINDS = {
  { reason = 'no_capacity', pools = 'channels', get_used = get_in_use, get_most = limits.get_limit },
  { reason = 'mpp_full', pools = 'mpps', get_used = get_in_use, get_most = limits.get_limit },
  { reason = 'campaign_limit', pools = 'campaigns', get_used = get_in_use, get_most = limits.get_limit },
  { reason = 'pool_full', pools = 'named', get_used = get_in_use, get_most = limits.get_limit },
}

-- -> units of p that count against the limit behind that reason
function limits.get_used(reason, p)
  for _, limit in ipairs(limits.KINDS) do
    if limit.reason == reason then return limit.get_used(p) end
  end
  return p.in_use
end

-- Limits that count something else than reservations: the fast path does not know them.
local OTHERS = {}
for _, limit in ipairs(limits.KINDS) do
  if limit.get_used ~= get_in_use then OTHERS[#OTHERS + 1] = limit end
end

local LISTS = { channel = 'channels', mpp = 'mpps', campaign = 'campaigns', [ON_KNOWN_MPP] = 'uncounted' }

-- -> the name of the list of a plan with the pools of the same limits
function limits.get_list_name(p)
  return LISTS[p.kind] or 'named'
end

-- -> the least get_value(limit, p) of the limits of p that count something else; FOREVER if p has none
local function get_least(p, get_value)
  local least = FOREVER
  for i = 1, #OTHERS do
    local limit = OTHERS[i]
    local has_it = limit.pools == limits.get_list_name(p) and limit.get_most(p)
    if has_it then least = min(least, get_value(limit, p)) end
  end
  return least
end

local function get_most(limit, p) return limit.get_most(p) end
local function get_left(limit, p) return limit.get_most(p) - limit.get_used(p) end

-- -> units that a waiter could get of p now: what every limit leaves; FOREVER if nothing limits p
function limits.get_available(p)
  return min(limits.get_room(p) or FOREVER, get_least(p, get_left))
end

-- -> the most units that the limits that count something else can ever give at once; FOREVER if p has none
function limits.get_most_of_others(p)
  return get_least(p, get_most)
end

-- Does a limit of one of them count something else than reservations?
function limits.has_others(list)
  for i = 1, #OTHERS > 0 and #list or 0 do
    if limits.get_most_of_others(list[i]) < FOREVER then return true end
  end
  return false
end

return limits
