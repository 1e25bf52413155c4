-- rules/rate_limit.lua: launches per second by the generic cell rate algorithm (ITU-T I.371: the leaky bucket as a meter)
-- in whole us. Over any window no more than rate x window + burst start; nothing is refunded, and a denied request
-- consumes nothing.
--
-- rate_strict: in any burst / rate_per_s seconds no more than `burst` launches start, also where the bucket would let those
-- of a burst and of the rate after it through. The launches of that time are remembered, in slots: a launch counts until
-- the time has passed since the end of its slot. So there are never more, and the rate is up to 1/SLOTS lower.
local rate_limit = {}

local SLOTS = 50 -- of a time; pool.launches: "END OF THE SLOT (zone time in ms):LAUNCHES ..."

-- us that one launch takes of the rate: rounded up, so that the rate is never exceeded
local function get_interval(pool)
  local each = pool.each or ceil(1000000 / pool.rules.rate_per_s)
  pool.each = each
  return each
end

local function get_backlog(pool)
  return max(0, (pool.tat or 0) - now_us)
end

-- -> ms of the time, and of a slot
local function get_times(pool)
  local time = ceil(1000 * pool.rules.burst / pool.rules.rate_per_s)
  return time, max(1, floor(time / SLOTS))
end

-- -> {closed (end of the slot), ends (from when it counts no longer), launches} of each slot that counts, oldest first
local function list_launches(pool)
  local time = get_times(pool)
  local list = {}
  for closed, launches in gmatch(pool.launches or '', '(%d+):(%d+)') do
    closed = tonumber(closed)
    local ends = closed + time -- mutation: strict-slot-counts-whole
    if now < ends then list[#list + 1] = { closed = closed, ends = ends, launches = tonumber(launches) } end
  end
  return list
end

local function sum_launches(list)
  local sum = 0
  for _, slot in ipairs(list) do sum = sum + slot.launches end
  return sum
end

local function record_launches(pool, units)
  local list, texts = list_launches(pool), {}
  local _, width = get_times(pool)
  local closed, last = (floor(now / width) + 1) * width, list[#list]
  if last and last.closed >= closed then -- longer slots of an earlier policy: they count longer
    last.launches = last.launches + units
  else
    list[#list + 1] = { closed = closed, launches = units }
  end
  for i, slot in ipairs(list) do texts[i] = format('%d:%d', slot.closed, slot.launches) end
  pool.launches, pool.is_changed, pool.is_written = concat(texts, ' '), true, true
end

-- -> ms until so many may start in a strict pool
local function get_strict_wait(pool, units)
  local list = list_launches(pool)
  local left = sum_launches(list)
  for _, slot in ipairs(list) do
    left = left - slot.launches
    if left + units <= pool.rules.burst then return max(1, slot.ends - now) end
  end
  return 1
end

-- -> zone time in ms from which no launch of a strict pool counts, 0 if none does
function rate_limit.get_strict_end(pool)
  local list = pool.launches and pool.rules.rate_strict and list_launches(pool) or {}
  return #list > 0 and list[#list].ends or 0
end

function rate_limit.is_limited(pool)
  return (pool.rules.rate_per_s or 0) > 0
end

-- -> launches that may start now
function rate_limit.get_allowed(pool)
  if pool.rules.rate_strict then return max(0, pool.rules.burst - sum_launches(list_launches(pool))) end
  local each = get_interval(pool)
  return max(0, floor((pool.rules.burst * each - get_backlog(pool)) / each)) -- mutation: rate-burst
end

-- -> ms until so many may start, exactly
function rate_limit.get_wait(pool, units)
  if pool.rules.rate_strict then return get_strict_wait(pool, units) end
  local each = get_interval(pool)
  return max(1, ceil((get_backlog(pool) - (pool.rules.burst - units) * each) / 1000))
end

-- -> us: the tat up to which one launch may start now, below 0 if none ever may, or where the bucket alone does not decide
function rate_limit.get_full_from(pool)
  pool.full_from = pool.rules.burst >= 1 and not pool.rules.rate_strict and now_us + (pool.rules.burst - 1) * get_interval(pool) or -1
  return pool.full_from
end

-- So many launches start in each of those pools.
function rate_limit.consume(list, units)
  unit.change()
  for i = 1, #list do
    local pool = list[i]
    if pool.rules.rate_strict then
      record_launches(pool, units)
    else
      local tat = pool.tat or 0
      pool.tat, pool.is_written = (tat > now_us and tat or now_us) + units * (pool.each or get_interval(pool)), true
    end
  end
end

return rate_limit
