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

local function is_number(n, most)
  return type(n) == 'number' and n >= 0 and n < most and n == floor(n)
end

local function are_numbers(list)
  if type(list) ~= 'table' or #list == 0 or #list > STEPS_MAX then return false end
  for _, n in ipairs(list) do
    if not is_number(n, NUMBER_MAX) then return false end
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

local function is_consistent(e)
  return is_number(e.step_ms, NUMBER_MAX) and e.step_ms > 0 and is_number(e.valid_until, FOREVER)
    and is_number(e.pending, NUMBER_MAX) and is_number(e.burst_limit, NUMBER_MAX) and is_number(e.drops, FOREVER)
    and is_number(e.failures, FOREVER) and are_numbers(e.ceilings) and are_names(e.doubts) and type(e.state) == 'string'
end

local function find_refusal(p, e)
  if not p.learns then return 'not_fed' end
  if p.t0 ~= e.t0 or not p.total then return 'overtaken' end -- mutation: learned-of-the-newest-snapshot
  if e.t0 < meta.recovered_from then return 'before_recovery' end -- mutation: learned-since-the-loss
  local stored = learned_ceiling.get_estimate(p)
  local after = stored and stored.t0 >= meta.recovered_from and stored.t0 or 0
  if after ~= e.after then return 'overtaken' end -- mutation: learned-once
  if not is_consistent(e) then return 'inconsistent' end -- mutation: learned-numbers-are-counts
end

-- What happened after the observation still lowers the ceiling.
local function take(p, e)
  e.t1 = p.t1
  local events = age_bins.get_events(p)
  local lowered = max(0, events.drops - e.drops) -- mutation: later-drops-count
  pools.change(p, {
    learned = learned_ceiling.to_text(e),
    lowered = lowered > 0 and lowered,
    failed_ceiling = events.failures > e.failures and p.failed_ceiling, -- mutation: later-failures-count
    frozen_at = p.frozen_at ~= e.lifts_freeze_of and p.frozen_at, -- mutation: freeze-lasts
  })
  unit.put(age_bins.get_hash(p), 'state', e.state)
end

return function(op)
  local answer = { learned = {}, refused = {} }
  local names = {}
  for name in pairs(op.pools) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local p, e = pools.get(name), op.pools[name]
    local reason = find_refusal(p, e)
    if reason then
      answer.refused[name] = reason
    else
      take(p, e)
      answer.learned[#answer.learned + 1] = name
    end
  end
  return answer
end
