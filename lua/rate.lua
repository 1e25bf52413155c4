-- rate.lua: launches per second: GCRA (the leaky bucket as a meter) in whole us. Over any window no
-- more than rate x window + burst; nothing is refunded, a denied request consumes nothing.
local pools = need('pool')
local rate = {}

-- us that one launch takes of the rate: rounded up, so that the rate is never exceeded
local function interval(p)
  return ceil(1000000 / p.rules.rate_per_s)
end

local function backlog(p)
  return max(0, tonumber(p.tat or 0) - now_us)
end

function rate.is_limited(p)
  return (p.rules.rate_per_s or 0) > 0
end

-- -> launches that may start now
function rate.allowed(p)
  local each = interval(p)
  return max(0, floor((p.rules.burst * each - backlog(p)) / each))
end

-- -> ms until so many may start, exactly
function rate.wait(p, units)
  local each = interval(p)
  return max(1, ceil((backlog(p) - (p.rules.burst - units) * each) / 1000))
end

function rate.consume(p, units)
  p.tat = string.format('%.0f', now_us + backlog(p) + units * interval(p))
  pools.keep(p)
end

return rate
