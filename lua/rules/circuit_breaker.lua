-- rules/circuit_breaker.lua: a campaign or named pool whose calls fail is denied for a pause, then probed.
--
-- p.slots: list of [slot, calls, failures], the newest SLOTS parts of the window. Closed: outcomes are counted.
-- Open until open_until: every request is denied. Half open after that: one request at a time is the probe
-- (probe_until); its success closes the breaker, its failure opens the breaker again. The pattern is the circuit
-- breaker of M. Nygard, Release It! (2007).
local pools = need('pool')
local circuit_breaker = {}

local SLOTS = 12
local FAILURE = set_of({ 'failed', 'no_resource' })

function circuit_breaker.is_open(p)
  return p.open_until and (now < p.open_until or (p.probe_until and now < p.probe_until))
end

-- -> ms until the breaker is half open, or the probe is over
function circuit_breaker.get_wait(p)
  return max(1, (now < p.open_until and p.open_until or p.probe_until) - now)
end

-- Open, but the pause is over: the next request is the probe.
function circuit_breaker.is_half_open(p)
  return p.open_until and not circuit_breaker.is_open(p)
end

function circuit_breaker.start_probe(p, lasts)
  p.probe_until = now + lasts
  pools.mark_changed(p)
end

local function open(p)
  p.open_until, p.probe_until, p.slots = now + p.rules.breaker.pause, nil, nil
  count('breaker')
end

local function counted_calls(p)
  local width = p.rules.breaker.window / SLOTS
  local slot, calls, failures, kept = floor(now / width), 0, 0, {}
  for _, one in ipairs(p.slots or {}) do
    -- A slot later than now was counted when policy had a shorter window.
    if one[1] > slot - SLOTS and one[1] <= slot then
      kept[#kept + 1], calls, failures = one, calls + one[2], failures + one[3]
    end
  end
  p.slots = kept
  return slot, calls, failures
end

-- -> zone time in ms from which on no counted call is in the window
function circuit_breaker.get_window_end(p)
  local newest = p.slots[#p.slots]
  return newest and ceil((newest[1] + SLOTS) * p.rules.breaker.window / SLOTS) or 0
end

local function add(p, failed)
  local slot, calls, failures = counted_calls(p)
  local newest = p.slots[#p.slots]
  if not newest or newest[1] ~= slot then
    newest = { slot, 0, 0 }
    p.slots[#p.slots + 1] = newest
  end
  newest[2], newest[3] = newest[2] + 1, newest[3] + failed
  return calls + 1, failures + failed
end

-- A call of p ended.
function circuit_breaker.record_outcome(p, r)
  local outcome = r.outcome
  local rules = p.rules.breaker
  if not rules then return end
  local failed = FAILURE[outcome] and 1 or 0
  pools.mark_changed(p)
  if p.open_until then
    if r.granted_at < p.open_until then return end -- not a probe
    p.probe_until = nil
    if outcome == 'not_launched' then return end
    if failed == 1 then open(p) else p.open_until = nil end -- mutation: failed-probe-opens
  elseif outcome ~= 'not_launched' then
    local calls, failures = add(p, failed)
    if calls >= rules.min_calls and failures * 100 >= rules.failures_percent * calls then open(p) end -- mutation: breaker-opens
  end
end

return circuit_breaker
