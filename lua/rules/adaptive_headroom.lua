-- rules/adaptive_headroom.lua: headroom that grows with each measured over-launch and shrinks with each reservation.
--
-- p.adaptive: parts of a port, PARTS to one. A launch that found no port (no_resource) adds a whole port, up to the
-- maximum of the policy; each reservation subtracts one part. So the headroom settles where at most one launch in
-- PARTS fails.
local pools, limits = need('pool'), need('limits')
local adaptive_headroom = {}

local PARTS = 200

-- -> the most ports; the percentage is rounded down, so that a small zone does not lose a whole port
local function get_most(limit)
  return (zone.adaptive or 0) + floor(limit * (zone.adaptive_percent or 0) / 100)
end

-- -> ports of p that are not granted because of measured over-launches
function adaptive_headroom.get_headroom(p, limit)
  return min(get_most(limit), ceil(p.adaptive / PARTS))
end

function adaptive_headroom.grow(p)
  local grown = min(get_most(limits.get_limit(p) or 0) * PARTS, (p.adaptive or 0) + PARTS)
  pools.change(p, { adaptive = grown > 0 and grown })
end

-- Only a whole port changes a limit; the caller marks p dirty.
function adaptive_headroom.shrink(p)
  local parts = p.adaptive - 1
  if parts % PARTS == 0 then pools.change(p, { adaptive = parts > 0 and parts }) else p.adaptive = parts end
end

return adaptive_headroom
