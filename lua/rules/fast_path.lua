-- rules/fast_path.lua: the decision for one launch while none of its pools is scarce, as nearly always. Then no check
-- (rules/checks.lua) would object, and later requests of the call with the same pools need no check again.
local pools, limits, rate_limit = need('pool'), need('limits'), need('rate_limit')
local fast_path = {}

-- -> for each channel the units that are never this campaign's, whatever others use: while more are free, neither
-- a guarantee nor a reserve of a higher class is a reason
local function get_reserved(ask, c)
  local class, list = ask.campaign.rules.priority or 0, {}
  for i, p in ipairs(c.channels) do -- they come first in c.pools
    list[i] = (zone.priority_reserve[tostring(class)] or 0) + (p.name == zone.guaranteed and zone.guarantee_total or 0)
  end
  c.base.kept[class] = list
  return list
end

-- -> the smallest room of the candidate's pools (FOREVER: none is limited), or nil: the checks decide
function fast_path.find_room(ask, c)
  if c.passed ~= pools.changes or ask.count ~= 1 or #c.broken > 0 or c.has_other_limits then return nil end -- mutation: fast-path-valid
  local reserved = c.base.kept[ask.campaign.rules.priority or 0] or get_reserved(ask, c)
  local least, list = FOREVER, c.pools
  for i = 1, #list do
    local p = list[i]
    local usable = p.usable_now
    if usable == nil then usable = limits.get_usable(p) end
    local room = usable and usable - p.in_use or FOREVER
    if p.contending_classes or room <= (reserved[i] or 0) then return nil end -- mutation: fast-path-room
    if room < least then least = room end
  end
  local rated = c.rated
  for i = 1, #rated do
    local p = rated[i]
    if (p.tat or 0) > (p.full_from or rate_limit.get_full_from(p)) then return nil end -- mutation: fast-path-rate
  end
  return least
end

return fast_path
