-- rules/learned_ceiling.lua: the ceiling that the estimator learned from the newest snapshot (admission/estimator), as
-- events after it have moved it; and whether it counts. Reads only.
--
-- p.learned, text: t0 t1 STEP_MS VALID_UNTIL PENDING BURST_LIMIT DOUBTS CEILING ...
--   t0, t1       of the snapshot that it was learned from: also the sequence number of what was learned (commands/learn.lua)
--   STEP_MS      the first ceiling holds so long from t1, then the next one; the last one holds on
--   VALID_UNTIL  zone time in ms from which on it does not count
--   PENDING      expected own calls that have no port yet
--   BURST_LIMIT  more ends than this in one burst freeze the pool
--   DOUBTS       why the estimator does not trust it, joined by commas; "-": nothing speaks against it
-- p.lowered: reservations that left without an end since then. p.failed_ceiling: the most since a launch found no port.
-- p.frozen_at: when a mass of ends froze the pool; nothing is granted until a snapshot that is surely younger.
local learned_ceiling = {}

local PATTERN = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%d[%d ]*)$'
local COLD = 'cold'

function learned_ceiling.to_text(e)
  return format('%d %d %d %d %d %d %s %s', e.t0, e.t1, e.step_ms, e.valid_until, e.pending, e.burst_limit,
    #e.doubts > 0 and concat(e.doubts, ',') or '-', concat(e.ceilings, ' '))
end

-- -> what was learned last, nil if nothing was or the text cannot be read: then the next snapshot teaches anew
function learned_ceiling.get_estimate(p)
  if not p.learned then return nil end
  if p.estimate_of == p.learned then return p.estimate end
  local t0, t1, step_ms, valid_until, pending, burst_limit, doubts, list = match(p.learned, PATTERN)
  if not t0 then return nil end
  local e = {
    t0 = tonumber(t0), t1 = tonumber(t1), step_ms = tonumber(step_ms), valid_until = tonumber(valid_until),
    pending = tonumber(pending), burst_limit = tonumber(burst_limit), doubts = doubts, ceilings = {},
  }
  for n in gmatch(list, '%d+') do e.ceilings[#e.ceilings + 1] = tonumber(n) end
  p.estimate_of, p.estimate = p.learned, e
  return e
end

-- -> why the learned ceiling alone does not count, nil if it does
function learned_ceiling.find_fallback(p)
  local e = learned_ceiling.get_estimate(p)
  if not e then return COLD end
  if e.t0 < meta.recovered_from then return 'recovering' end -- mutation: learned-before-a-loss
  if now >= e.valid_until then return 'stale' end -- mutation: learned-ceiling-lapses
  if e.doubts == '-' then return nil end
  return e.doubts == COLD and COLD or 'distrusted' -- mutation: doubts-end-trust
end

-- -> reservations that may hold p by what was learned
function learned_ceiling.compute(p)
  if p.frozen_at then return 0 end
  local e = learned_ceiling.get_estimate(p)
  local step = min(#e.ceilings, 1 + floor((now - e.t1) / e.step_ms)) -- mutation: learned-ceiling-steps-down
  return max(0, min(e.ceilings[step] - (p.lowered or 0), p.failed_ceiling or FOREVER))
end

-- -> the smaller or the larger of both, or one of them
-- proved: the ceiling by the rule of rules/ceiling.lua; is_proof: it stays true whatever is launched, since policy says
-- what others take; growth: (w0) -> what others may have taken since
function learned_ceiling.choose(p, proved, is_proof, growth)
  local reason, e = learned_ceiling.find_fallback(p), learned_ceiling.get_estimate(p)
  if reason and not (reason == COLD and e) then return proved end
  local learned = max(0, learned_ceiling.compute(p) - growth(e.t0 - zone.visibility_lag))
  if reason then return min(learned, proved) end -- mutation: cold-takes-the-smaller
  return is_proof and max(learned, proved) or learned -- mutation: proof-stays-true
end

return learned_ceiling
