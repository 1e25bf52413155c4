-- rules/circuit_breaker.lua: a campaign or named pool whose calls fail is denied for a pause, then probed.
--
-- pool.slots: list of [slot, calls, failures], the newest SLOTS parts of the window. Closed: outcomes are counted.
-- Open until open_until: every request is denied. Half open after that: one request at a time is the probe
-- (probe_until); its success closes the breaker, its failure opens the breaker again. The pattern is the circuit
-- breaker of M. Nygard, Release It! (2007).
local pools = need('pool')
local circuit_breaker = {}

local SLOTS = 12
local FAILURE = set_of({ 'failed', 'no_resource' })

function circuit_breaker.is_open(pool)
  return pool.open_until and (now < pool.open_until or (pool.probe_until and now < pool.probe_until))
end

-- -> ms until the breaker is half open, or the probe is over
function circuit_breaker.get_wait(pool)
  return max(1, (now < pool.open_until and pool.open_until or pool.probe_until) - now)
end

-- Open, but the pause is over: the next request is the probe.
function circuit_breaker.is_half_open(pool)
  return pool.open_until and not circuit_breaker.is_open(pool)
end

function circuit_breaker.start_probe(pool, lasts)
  pools.change(pool, { probe_until = now + lasts })
end

local function open(pool)
  pools.change(pool, { open_until = now + pool.rules.breaker.pause, probe_until = false, slots = false })
  count('breaker')
end

-- -> the number of the newest slot, the slots in the window, and the calls and failures that they count
local function list_slots(pool)
  local width = pool.rules.breaker.window / SLOTS
  local newest, calls, failures, kept = floor(now / width), 0, 0, {}
  for _, slot in ipairs(pool.slots or {}) do
    -- A slot later than now was counted when policy had a shorter window.
    if slot[1] > newest - SLOTS and slot[1] <= newest then
      kept[#kept + 1], calls, failures = slot, calls + slot[2], failures + slot[3]
    end
  end
  return newest, kept, calls, failures
end

-- -> zone time in ms from which on no counted call is in the window
function circuit_breaker.get_window_end(pool)
  local newest = pool.slots[#pool.slots]
  return newest and ceil((newest[1] + SLOTS) * pool.rules.breaker.window / SLOTS) or 0
end

-- failed: 1 or 0 -> calls and failures in the window
local function add_call(pool, failed)
  local newest, slots, calls, failures = list_slots(pool)
  local slot = slots[#slots]
  if not slot or slot[1] ~= newest then
    slot = { newest, 0, 0 }
    slots[#slots + 1] = slot
  end
  slot[2], slot[3] = slot[2] + 1, slot[3] + failed
  pools.set(pool, { slots = slots })
  return calls + 1, failures + failed
end

-- A call that held the pool ended.
function circuit_breaker.record_outcome(pool, record)
  local outcome, rules = record.outcome, pool.rules.breaker
  if not rules then return end
  local failed = FAILURE[outcome] and 1 or 0
  if pool.open_until then
    if record.granted_at < pool.open_until then return end -- not a probe
    pools.change(pool, { probe_until = false })
    if outcome == 'not_launched' then return end
    if failed == 1 then open(pool) else pools.change(pool, { open_until = false }) end -- mutation: failed-probe-opens
  elseif outcome ~= 'not_launched' then
    local calls, failures = add_call(pool, failed)
    if calls >= rules.min_calls and failures * 100 >= rules.failures_percent * calls then open(pool) end -- mutation: breaker-opens
  end
end

return circuit_breaker
