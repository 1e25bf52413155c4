-- rules/reasons.lua: every reason for a denial, in the order of the checks, and what follows from a denial for it.
--
-- name         as in Reason of admission/domain/outcomes.py, which has its explanation: a test compares both
-- by_snapshot  a newer snapshot may end the denial: the poller is asked for one
-- by_time      time alone ends the denial, exactly after its retry_after_ms
-- contends     the campaign contends for the pool from now on (rules/fair_share.lua)
local reasons = {}

reasons.IN_ORDER = {
  { name = 'zone_paused' },
  { name = 'pool_paused' },
  { name = 'breaker_open', by_time = true },
  { name = 'recovering', by_snapshot = true },
  { name = 'no_snapshot', by_snapshot = true },
  { name = 'stale_snapshot', by_snapshot = true },
  { name = 'rate_limited', by_time = true, contends = true },
  { name = 'no_capacity', by_snapshot = true, contends = true },
  { name = 'mpp_full', by_snapshot = true, contends = true },
  { name = 'campaign_limit' },
  { name = 'pool_full', contends = true },
  { name = 'reserved', by_snapshot = true, contends = true }, -- mutation: reserved-contends
  { name = 'fair_share', contends = true },
}

function reasons.get(name)
  for _, reason in ipairs(reasons.IN_ORDER) do
    if reason.name == name then return reason end
  end
end

return reasons
