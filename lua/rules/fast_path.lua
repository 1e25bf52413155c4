-- rules/fast_path.lua: one launch, and nothing that it needs is scarce: as nearly always. Then no check would object
-- (rules/checks.lua), and what all alike of a call have in common need not be looked at again.
local pools, limits, rate_limit = need('pool'), need('limits'), need('rate_limit')
local fast_path = {}

-- Units of each channel that are never this campaign's, whatever the others use: then neither a guarantee
-- nor a reserve of a higher class is the reason.
local function kept_of(ask, c)
  local class, list = ask.campaign.rules.priority or 0, {}
  for i, p in ipairs(c.channels) do -- the first of its pools
    list[i] = (zone.priority_reserve[tostring(class)] or 0) + (p.name == zone.guaranteed and zone.guarantee_total or 0)
  end
  c.base.kept[class] = list
  return list
end

-- -> the smallest room of its pools (FOREVER: none is limited), or nil: ask the checks
function fast_path.find_room(ask, c)
  if c.passed ~= pools.changes or ask.count ~= 1 or #c.broken > 0 then return nil end -- mutation: fast-path-valid
  local kept_free = c.base.kept[ask.campaign.rules.priority or 0] or kept_of(ask, c)
  local least, list = FOREVER, c.pools
  for i = 1, #list do
    local p = list[i]
    local usable = p.usable_now
    if usable == nil then usable = limits.get_usable(p) end
    local room = usable and usable - p.in_use or FOREVER
    if p.contending_classes or room <= (kept_free[i] or 0) then return nil end -- mutation: fast-path-room
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
