-- rules/records.lua: how many reservations a zone stores, live and ended, so that neither a dialer that asks and ends all the
-- time nor one that never ends fills the memory of Redis.
--
-- zone.max_records is the bound of all. From half of it on each campaign is counted, in periods as long as `retention`
-- (an ended record is stored for so long): it may add no more than PART of what is left.
-- pool.made of a campaign: "NUMBER OF THE PERIOD:RESERVATIONS"
local pools = need('pool')
local records = {}

local PART = 4
local RETRY_MS = 1000 -- while the zone is full

local function get_period() return floor(now / max(1, zone.retention)) end

-- -> reservations of the campaign in this period
local function get_made(pool)
  local period, made = match(pool.made or '', '^(%d+):(%d+)$')
  return tonumber(period) == get_period() and tonumber(made) or 0
end

-- -> zone time in ms at which what is counted has no effect any more
function records.get_end(pool)
  local period = tonumber(match(pool.made, '^(%d+)')) or 0
  return (period + 1) * max(1, zone.retention)
end

-- pool: of the campaign; stored: reservations of the zone
-- -> ms after which to ask again, or nil: so many units may be stored
function records.find_wait(pool, units, stored, most)
  if stored + units > most then return RETRY_MS end
  if PART * (get_made(pool) + units) > most - stored then -- mutation: records-of-a-campaign
    return max(1, (get_period() + 1) * max(1, zone.retention) - now)
  end
end

function records.add(pool, units)
  pools.set(pool, { made = format('%d:%d', get_period(), get_made(pool) + units) })
end

return records
