-- rules/rate_limit.lua: launches per second by the generic cell rate algorithm (ITU-T I.371: the leaky bucket as a meter)
-- in whole us. Over any window no more than rate x window + burst start; nothing is refunded, and a denied request
-- consumes nothing.
local rate_limit = {}

-- us that one launch takes of the rate: rounded up, so that the rate is never exceeded
local function get_interval(p)
  local each = p.each or ceil(1000000 / p.rules.rate_per_s)
  p.each = each
  return each
end

local function get_backlog(p)
  return max(0, (p.tat or 0) - now_us)
end

function rate_limit.is_limited(p)
  return (p.rules.rate_per_s or 0) > 0
end

-- -> launches that may start now
function rate_limit.get_allowed(p)
  local each = get_interval(p)
  return max(0, floor((p.rules.burst * each - get_backlog(p)) / each)) -- mutation: rate-burst
end

-- -> ms until so many may start, exactly
function rate_limit.get_wait(p, units)
  local each = get_interval(p)
  return max(1, ceil((get_backlog(p) - (p.rules.burst - units) * each) / 1000))
end

-- -> us: the tat up to which one launch may start now, below 0 if none ever may
function rate_limit.get_full_from(p)
  p.full_from = p.rules.burst >= 1 and now_us + (p.rules.burst - 1) * get_interval(p) or -1
  return p.full_from
end

-- So many launches start in each of those pools. The caller marks them dirty.
function rate_limit.consume(list, units)
  for i = 1, #list do
    local p = list[i]
    local tat = p.tat or 0
    p.tat = (tat > now_us and tat or now_us) + units * (p.each or get_interval(p))
  end
end

return rate_limit
