-- rules/learned_ceiling.lua: the ceiling that the estimator learned from the newest snapshot (admission/estimator), as
-- events after it have moved it; and whether it counts. Reads only.
--
-- pool.learned, text: t0 t1 STEP_MS VALID_UNTIL PENDING BURST_LIMIT DOUBTS CEILING ...
--   t0, t1       of the snapshot that it was learned from: also the sequence number of what was learned (commands/learn.lua)
--   STEP_MS      the first ceiling holds so long from t1, then the next one; the last one holds on
--   VALID_UNTIL  zone time in ms from which on it does not count
--   PENDING      expected own calls that have no port yet
--   BURST_LIMIT  more ends than this in one burst freeze the pool
--   DOUBTS       why the estimator does not trust it, joined by commas; "-": nothing speaks against it
-- pool.lowered: reservations that left without an end since then. pool.failed_ceiling: the most since a launch found no
-- port. pool.frozen_at: when a mass of ends froze the pool; nothing is granted until a snapshot that is surely younger.
local learned_ceiling = {}

local PATTERN = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%d[%d ]*)$'
local COLD = 'cold'

function learned_ceiling.to_text(estimate)
  return format('%d %d %d %d %d %d %s %s', estimate.t0, estimate.t1, estimate.step_ms, estimate.valid_until,
    estimate.pending, estimate.burst_limit, #estimate.doubts > 0 and concat(estimate.doubts, ',') or '-',
    concat(estimate.ceilings, ' '))
end

-- -> what was learned last, nil if nothing was or the text cannot be read: then the next snapshot teaches anew
function learned_ceiling.get_estimate(pool)
  if not pool.learned then return nil end
  if pool.estimate_of == pool.learned then return pool.estimate end
  local t0, t1, step_ms, valid_until, pending, burst_limit, doubts, list = match(pool.learned, PATTERN)
  if not t0 then return nil end
  local estimate = {
    t0 = tonumber(t0), t1 = tonumber(t1), step_ms = tonumber(step_ms), valid_until = tonumber(valid_until),
    pending = tonumber(pending), burst_limit = tonumber(burst_limit), doubts = doubts, ceilings = {},
  }
  for n in gmatch(list, '%d+') do estimate.ceilings[#estimate.ceilings + 1] = tonumber(n) end
  pool.estimate_of, pool.estimate = pool.learned, estimate
  return estimate
end

-- -> why the learned ceiling alone does not count, nil if it does
function learned_ceiling.find_fallback(pool)
  local estimate = learned_ceiling.get_estimate(pool)
  if not estimate then return COLD end
  if estimate.t0 < meta.recovered_from then return 'recovering' end -- mutation: learned-before-a-loss
  if now >= estimate.valid_until then return 'stale' end -- mutation: learned-ceiling-lapses
  if estimate.doubts == '-' then return nil end
  return estimate.doubts == COLD and COLD or 'distrusted' -- mutation: doubts-end-trust
end

-- -> reservations that may hold the pool by what was learned
function learned_ceiling.compute(pool)
  if pool.frozen_at then return 0 end
  local estimate = learned_ceiling.get_estimate(pool)
  local step = min(#estimate.ceilings, 1 + floor((now - estimate.t1) / estimate.step_ms)) -- mutation: learned-ceiling-steps-down
  return max(0, min(estimate.ceilings[step] - (pool.lowered or 0), pool.failed_ceiling or FOREVER))
end

-- -> the larger of both while what was learned is trusted; else the proved one, or the smaller of both while it is cold
-- The proved ceiling counts ports that are free whatever was learned, so nothing is gained by granting less. A failing launch and a
-- mass of ends say that it is too high: these bound it too, unless policy says what others take (is_proof).
-- proved: the ceiling by the rule of rules/ceiling.lua; growth: (w0) -> what others may have taken since
function learned_ceiling.choose(pool, proved, is_proof, growth)
  local reason, estimate = learned_ceiling.find_fallback(pool), learned_ceiling.get_estimate(pool)
  if reason and not (reason == COLD and estimate) then return proved end
  local learned = max(0, learned_ceiling.compute(pool) - growth(estimate.t0 - zone.visibility_lag))
  if reason then return min(learned, proved) end -- mutation: cold-takes-the-smaller
  if is_proof then return max(learned, proved) end -- mutation: proof-stays-true
  if pool.frozen_at then return learned end -- mutation: freeze-bounds-the-proved-ceiling
  return max(learned, min(proved, pool.failed_ceiling or FOREVER)) -- mutation: proved-beside-learned
end

return learned_ceiling
