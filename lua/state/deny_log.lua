-- state/deny_log.lua: the most recent denials of a zone, shown in its status.
--
-- stats hash, "denied:<slot>" -> JSON {at, campaign, channel, reason, pool, in_use?, limit?}
-- One slot for a campaign, reason and pool, chosen by hash, so that a campaign that is denied all the time hides no
-- other. At most FRESH_MAX are written in one call.
local SLOTS, FRESH_MAX = 64, 8
local deny_log = {}
local fresh, written = {}, {}
local stats = unit.hash(STATS)

function deny_log.note(campaign, denial)
  local key = campaign .. ' ' .. denial.reason .. ' ' .. (denial.pool or '')
  if fresh[key] or #written >= 2 * FRESH_MAX then return end
  fresh[key] = true
  local slot = tonumber(string.sub(redis.sha1hex(key), 1, 6), 16) % SLOTS
  written[#written + 1] = 'denied:' .. slot
  written[#written + 1] = encode({
    at = now, campaign = campaign, channel = denial.channel, reason = denial.reason, pool = denial.pool,
    in_use = denial.in_use, limit = denial.limit,
  })
end

function deny_log.flush()
  for i = 1, #written, 2 do unit.put(stats, written[i], written[i + 1]) end
end

return deny_log
