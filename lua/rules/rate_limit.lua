-- rules/rate_limit.lua: launches per second by the generic cell rate algorithm (ITU-T I.371: the leaky bucket as a meter)
-- in whole us. Over any window no more than rate x window + burst start; nothing is refunded, and a denied request
-- consumes nothing.
local rate_limit = {}

-- us that one launch takes of the rate: rounded up, so that the rate is never exceeded
local function get_interval(pool)
  local each = pool.each or ceil(1000000 / pool.rules.rate_per_s)
  pool.each = each
  return each
end

local function get_backlog(pool)
  return max(0, (pool.tat or 0) - now_us)
end

function rate_limit.is_limited(pool)
  return (pool.rules.rate_per_s or 0) > 0
end

-- -> launches that may start now
function rate_limit.get_allowed(pool)
  local each = get_interval(pool)
  return max(0, floor((pool.rules.burst * each - get_backlog(pool)) / each)) -- mutation: rate-burst
end

-- -> ms until so many may start, exactly
function rate_limit.get_wait(pool, units)
  local each = get_interval(pool)
  return max(1, ceil((get_backlog(pool) - (pool.rules.burst - units) * each) / 1000))
end

-- -> us: the tat up to which one launch may start now, below 0 if none ever may
function rate_limit.get_full_from(pool)
  pool.full_from = pool.rules.burst >= 1 and now_us + (pool.rules.burst - 1) * get_interval(pool) or -1
  return pool.full_from
end

-- So many launches start in each of those pools.
function rate_limit.consume(list, units)
  unit.change()
  for i = 1, #list do
    local pool = list[i]
    local tat = pool.tat or 0
    pool.tat, pool.is_written = (tat > now_us and tat or now_us) + units * (pool.each or get_interval(pool)), true
  end
end

return rate_limit
