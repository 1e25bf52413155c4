-- rules/adaptive_headroom.lua: headroom that grows with measured over-launches and is won back by launches that went well.
--
-- p.adaptive: parts of a port, WELL to one. A launch that found no port (no_resource) adds a whole port,
-- up to what policy allows; each reservation takes a part away. So it settles where at most one launch
-- in WELL fails.
local pools, limits = need('pool'), need('limits')
local adaptive_headroom = {}

local WELL = 200

-- A percentage is rounded down: a small zone shall not lose a whole port.
local function most(limit)
  return (zone.adaptive or 0) + floor(limit * (zone.adaptive_percent or 0) / 100)
end

-- -> ports of p that are not granted for that reason
function adaptive_headroom.get_headroom(p, limit)
  return min(most(limit), ceil(p.adaptive / WELL))
end

function adaptive_headroom.grow(p)
  local grown = min(most(limits.get_limit(p) or 0) * WELL, (p.adaptive or 0) + WELL)
  p.adaptive = grown > 0 and grown or nil
  pools.mark_changed(p)
end

function adaptive_headroom.shrink(p)
  local is_port_back = p.adaptive % WELL == 1
  p.adaptive = p.adaptive > 1 and p.adaptive - 1 or nil
  if is_port_back then pools.mark_changed(p) end
end

return adaptive_headroom
