-- commands/learn.lua: stores what the estimator learned from a snapshot (ledger/learning.py): at most once from each.
--
-- op: pools = {pool: {t0, after, failures, drops, lifts_freeze_of?, state,
--                     step_ms, valid_until, pending, burst_limit, doubts = [name], ceilings = [n]}}
--     t0: of the observation (the answer of ingest); after, failures, drops: as they stood there; lifts_freeze_of: its
--     frozen_at
-- -> {learned = [pool], refused = {pool: reason}}
--
-- `after` is the t0 of what was learned before, 0: nothing that counts. Where another one is stored by now, a replica
-- learned from this snapshot or from a newer one, so this result is dropped; so is one of a snapshot that is not the newest.
local pools, age_bins, learned_ceiling = need('pool'), need('age_bins'), need('learned_ceiling')

local NUMBER_MAX, STEPS_MAX, DOUBTS_MAX = 2147483648, 64, 8

local function is_number(value, most)
  return type(value) == 'number' and value >= 0 and value < most and value == floor(value)
end

local function are_numbers(list)
  if type(list) ~= 'table' or #list == 0 or #list > STEPS_MAX then return false end
  for _, value in ipairs(list) do
    if not is_number(value, NUMBER_MAX) then return false end
  end
  return true
end

local function are_names(list)
  if type(list) ~= 'table' or #list > DOUBTS_MAX then return false end
  for _, name in ipairs(list) do
    if type(name) ~= 'string' or not match(name, '^[a-z_]+$') then return false end
  end
  return true
end

local function is_consistent(result)
  return is_number(result.step_ms, NUMBER_MAX) and result.step_ms > 0 and is_number(result.valid_until, FOREVER)
    and is_number(result.pending, NUMBER_MAX) and is_number(result.burst_limit, NUMBER_MAX) and is_number(result.drops, FOREVER)
    and is_number(result.failures, FOREVER) and are_numbers(result.ceilings) and are_names(result.doubts)
    and type(result.state) == 'string'
end

local function find_refusal(pool, result)
  if not pool.learns then return 'not_fed' end
  if pool.t0 ~= result.t0 or not pool.total then return 'overtaken' end -- mutation: learned-of-the-newest-snapshot
  if result.t0 < meta.recovered_from then return 'before_recovery' end -- mutation: learned-since-the-loss
  local stored = learned_ceiling.get_estimate(pool)
  local after = stored and stored.t0 >= meta.recovered_from and stored.t0 or 0
  if after ~= result.after then return 'overtaken' end -- mutation: learned-once
  if not is_consistent(result) then return 'inconsistent' end -- mutation: learned-numbers-are-counts
end

-- What happened after the observation still lowers the ceiling.
local function take(pool, result)
  result.t1 = pool.t1
  local events = age_bins.get_events(pool)
  local lowered = max(0, events.drops - result.drops) -- mutation: later-drops-count
  pools.change(pool, {
    learned = learned_ceiling.to_text(result),
    lowered = lowered > 0 and lowered,
    failed_ceiling = events.failures > result.failures and pool.failed_ceiling, -- mutation: later-failures-count
    frozen_at = pool.frozen_at ~= result.lifts_freeze_of and pool.frozen_at, -- mutation: freeze-lasts
  })
  unit.put(age_bins.get_hash(pool), 'state', result.state)
end

return function(op)
  local answer = { learned = {}, refused = {} }
  local names = {}
  for name in pairs(op.pools) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local pool, result = pools.get(name), op.pools[name]
    local reason = find_refusal(pool, result)
    if reason then
      answer.refused[name] = reason
    else
      take(pool, result)
      answer.learned[#answer.learned + 1] = name
    end
  end
  return answer
end
