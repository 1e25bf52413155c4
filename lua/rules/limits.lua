-- rules/limits.lua: how many reservations may hold a pool, and how much of that is free. Reads only.
local ceiling = need('ceiling')
local limits = {}

local RETRY_MS_MAX = 30000

-- Is its snapshot to be believed? (An MPP's lapses: then the estimate stands in for it.)
function limits.is_fresh(p)
  return p.t0 and p.w0 > meta.recover_until and now - p.t0 <= zone.max_age
end

local function smaller(a, b)
  if a and b then return min(a, b) end
  return a or b
end

-- -> the most reservations that may hold p now, nil if nothing limits it. Found once for many asks:
-- whatever changes it touches p.
function limits.get_limit(p)
  if p.limit_now == nil then
    local set = p.set_until and now < p.set_until and p.set_limit or nil
    p.limit_now = smaller(set, limits.get_lasting_limit(p)) or false
  end
  return p.limit_now or nil
end

-- -> the same without what somebody set for a while
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

-- -> ms until so many units are likely to be free, from how fast they were freed lately
function limits.estimate_retry_after(p, units)
  if not p.hold or p.in_use == 0 then return zone.poll_interval end
  return max(zone.poll_min, min(RETRY_MS_MAX, ceil(p.hold * units / p.in_use)))
end

-- -> units that may be in use, false if nothing limits it
function limits.get_usable(p)
  if p.usable_now == nil then
    local limit = limits.get_limit(p)
    p.usable_now = limit and limit - limits.get_headroom(p, limit) or false -- mutation: headroom-not-granted
  end
  return p.usable_now
end

-- -> free units, nil if nothing limits it
function limits.get_room(p)
  local usable = limits.get_usable(p)
  return usable and usable - p.in_use or nil
end

return limits
