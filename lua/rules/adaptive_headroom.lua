-- rules/adaptive_headroom.lua: headroom that grows with each measured over-launch and shrinks with each reservation.
--
-- pool.adaptive: parts of a port, PARTS to one. A launch that found no port (no_resource) adds a whole port, up to the
-- maximum of the policy; each reservation subtracts one part. So the headroom settles where at most one launch in
-- PARTS fails.
local pools, limits = need('pool'), need('limits')
local adaptive_headroom = {}

local PARTS = 200

-- -> the most ports; the percentage is rounded down, so that a small zone does not lose a whole port
local function get_most(limit)
  return (zone.adaptive or 0) + floor(limit * (zone.adaptive_percent or 0) / 100)
end

-- -> ports of the pool that are not granted because of measured over-launches
function adaptive_headroom.get_headroom(pool, limit)
  return min(get_most(limit), ceil(pool.adaptive / PARTS))
end

function adaptive_headroom.grow(pool)
  local bound = get_most(limits.get_limit(pool) or 0) * PARTS
  local grown = max(pool.adaptive or 0, min(bound, (pool.adaptive or 0) + PARTS)) -- mutation: headroom-never-shrinks-by-failure
  pools.change(pool, { adaptive = grown > 0 and grown })
end

-- Only a whole port changes a limit.
function adaptive_headroom.shrink(pool)
  local parts = pool.adaptive - 1
  local set = parts % PARTS == 0 and pools.change or pools.set
  set(pool, { adaptive = parts > 0 and parts })
end

return adaptive_headroom
