-- rules/limits.lua: every limit of a pool: how many reservations may hold it, and how much of that is free. Reads only.
local ceiling = need('ceiling')
local limits = {}

local RETRY_MS_MAX = 30000

-- Is the pool's own snapshot valid? (The estimate of foreign use replaces an MPP's snapshot that is not.)
function limits.is_fresh(pool)
  return pool.t0 and pool.w0 > meta.recover_until and now - pool.t0 <= zone.max_age
end

local function smaller(a, b)
  if a and b then return min(a, b) end
  return a or b
end

-- -> the temporary limit of the pool, else the one of policy that holds while there is none; nil: neither
function limits.get_set_limit(pool)
  return pool.set_until and now < pool.set_until and pool.set_limit or pool.rules.limit_unset -- mutation: limit-unset
end

-- -> the most reservations that may hold the pool now, nil if nothing limits it. Computed once and kept
-- until pools.change(pool).
function limits.get_limit(pool)
  if pool.limit_now == nil then
    pool.limit_now = smaller(limits.get_set_limit(pool), limits.get_lasting_limit(pool)) or false
  end
  return pool.limit_now or nil
end

-- -> the same without a temporary limit
function limits.get_lasting_limit(pool)
  local capacity = pool.rules.limit
  if not pool.t0 and pool.kind ~= 'channel' and pool.kind ~= 'mpp' then return capacity end -- no snapshot feeds it
  if pool.kind ~= 'mpp' or capacity == nil then return smaller(capacity, ceiling.compute(pool)) end
  if limits.is_fresh(pool) then return smaller(capacity, ceiling.compute(pool)) end
  if not capacity or zone.mpp_total == 0 then return capacity end
  return max(0, capacity - ceil(meta.foreign * capacity / zone.mpp_total))
end

-- -> ports of the pool that are never granted
function limits.get_headroom(pool, limit)
  if pool.kind ~= 'channel' or not limit then return 0 end
  local adaptive = pool.adaptive and need('adaptive_headroom').get_headroom(pool, limit) or 0
  return zone.headroom + ceil(limit * zone.headroom_percent / 100) + adaptive
end

-- -> ms until so many units are likely to be free, from the mean time that a reservation held one lately
function limits.estimate_retry_after(pool, units)
  if not pool.hold or pool.in_use == 0 then return zone.poll_interval end
  return max(zone.poll_min, min(RETRY_MS_MAX, ceil(pool.hold * units / pool.in_use)))
end

-- -> units that may be in use, false if nothing limits the pool
function limits.get_usable(pool)
  if pool.usable_now == nil then
    local limit = limits.get_limit(pool)
    pool.usable_now = limit and limit - limits.get_headroom(pool, limit) or false -- mutation: headroom-not-granted
  end
  return pool.usable_now
end

-- -> free units, nil if nothing limits the pool
function limits.get_room(pool)
  local usable = limits.get_usable(pool)
  return usable and usable - pool.in_use or nil
end

local function get_in_use(pool) return pool.in_use end

-- Each limit is defined here once: the checks, contention, waiting and notifications derive from it.
-- reason    of a denial at this limit (rules/reasons.lua)
-- pools     the list of a plan's pools that have the limit (plan.lists)
-- get_used  pool -> units counted against the limit
-- get_most  pool -> the most that may be counted now, nil if it has no such limit
limits.KINDS = {
  { reason = 'no_capacity', pools = 'channels', get_used = get_in_use, get_most = limits.get_limit },
  { reason = 'mpp_full', pools = 'mpps', get_used = get_in_use, get_most = limits.get_limit },
  { reason = 'campaign_limit', pools = 'campaigns', get_used = get_in_use, get_most = limits.get_limit },
  { reason = 'pool_full', pools = 'named', get_used = get_in_use, get_most = limits.get_limit },
}

-- -> units of the pool that count against the limit behind that reason
function limits.get_used(reason, pool)
  for _, limit in ipairs(limits.KINDS) do
    if limit.reason == reason then return limit.get_used(pool) end
  end
  return pool.in_use
end

-- Limits that count something else than reservations: the fast path does not know them.
local OTHERS = {}
for _, limit in ipairs(limits.KINDS) do
  if limit.get_used ~= get_in_use then OTHERS[#OTHERS + 1] = limit end
end

local LISTS = { channel = 'channels', mpp = 'mpps', campaign = 'campaigns', [ON_KNOWN_MPP] = 'uncounted' }

-- -> the name of the list of a plan with the pools of the same limits
function limits.get_list_name(pool)
  return LISTS[pool.kind] or 'named'
end

-- -> the least get_value(limit, pool) of its limits that count something else; FOREVER if it has none
local function get_least(pool, get_value)
  local least = FOREVER
  for i = 1, #OTHERS do
    local limit = OTHERS[i]
    local has_it = limit.pools == limits.get_list_name(pool) and limit.get_most(pool)
    if has_it then least = min(least, get_value(limit, pool)) end
  end
  return least
end

local function get_most(limit, pool) return limit.get_most(pool) end
local function get_left(limit, pool) return limit.get_most(pool) - limit.get_used(pool) end

-- -> units that a waiter could get of the pool now: what every limit leaves; FOREVER if nothing limits it
function limits.get_available(pool)
  return min(limits.get_room(pool) or FOREVER, get_least(pool, get_left))
end

-- -> the most units that the limits that count something else can ever give at once; FOREVER if there is none
function limits.get_most_of_others(pool)
  return get_least(pool, get_most)
end

-- Does a limit of one of them count something else than reservations?
function limits.has_others(list)
  for i = 1, #OTHERS > 0 and #list or 0 do
    if limits.get_most_of_others(list[i]) < FOREVER then return true end
  end
  return false
end

return limits
