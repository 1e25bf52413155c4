-- commands/ingest.lua: computes ceilings from a snapshot of the platform.
--
-- op: t0 (zone time in ms, read before the query began), token? (fencing token of the poller's lease),
--     counted_at? (zone time in ms that is not later than the platform's count, where the platform states it),
--     groups = [{total, unused = {pool: n}}], absent? = [pool]
-- -> {accepted, reason?, pool?, refused = {pool: reason}, observations? = {pool: what the estimator learns from}}

local pools, occupancy, ceiling = need('pool'), need('occupancy'), need('ceiling')

local WRAP = 2147483648 -- 2^31: the platform counts in 32 bits, so a larger number is a negative one

local function is_count(value)
  return type(value) == 'number' and value >= 0 and value < WRAP and value == floor(value) -- mutation: count-range
end

local function is_consistent(total, unused)
  if not is_count(total) then return false end
  local sum = 0
  for _, ports in pairs(unused) do
    if not is_count(ports) then return false end
    sum = sum + ports
  end
  return sum <= total -- mutation: unused-within-total
end

-- Sorted, so that of several refusals the same pool is named every time.
local function list_names(group)
  local names = {}
  for name in pairs(group.unused) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function unusable(pool)
  if not pool.known or pool.kind == 'campaign' or pool.name == ON_KNOWN_MPP then return 'unknown_pool' end
  if pool.kind == 'channel' and not pool.fed then return 'not_fed' end
end

-- The same snapshot again: the reply to its first delivery was lost.
local function is_repeat(pool, t0, total, unused)
  return pool.t0 == t0 and (pool.total or false) == total and (pool.unused or false) == (unused or false)
end

-- A newer snapshot overtook it. The window of a pool never moves back.
local function is_late(pool, t0, w0)
  return pool.t0 and (t0 <= pool.t0 or w0 < pool.w0) -- mutation: snapshot-order
end

-- -> the begin of the window of this snapshot: the stated time of the count, else the greatest age that policy says
local function find_window(op)
  if op.counted_at then return min(op.counted_at, op.t0) end -- mutation: stated-time-of-count
  return op.t0 - zone.visibility_lag -- mutation: visibility-lag
end

local MAX_POOLS = 10000 -- of a policy that an older version compiled
local begun = 0 -- pools that this call began to feed

-- Is there room for what is stored of a pool that only a wildcard names?
local function has_place(pool)
  if pool.t0 or not pool.wildcard then return true end
  return call('HLEN', POOLS) + begun <= (zone.max_pools or MAX_POOLS)
end

-- A push must not replace what a polled source counts: the poller knows when it asked.
local function is_polled_pool(pool)
  local is_fed = pool.polled ~= nil or pool.kind == 'channel' and not zone.pushed
  return zone.polled and is_fed -- mutation: push-beside-poll
end

local function is_group_repeated(t0, total, unused, names)
  for _, name in ipairs(names) do
    if not is_repeat(pools.get(name), t0, total, unused[name]) then return false end
  end
  return true
end

-- total, unused: false and an empty table for a pool that the platform reports as not available
-- -> reason and pool, or nil; and whether it is a repeat
local function find_refusal(op, total, unused, names)
  for _, name in ipairs(names) do
    local pool = pools.get(name)
    local reason = unusable(pool) or not op.token and is_polled_pool(pool) and 'polled' or not has_place(pool) and 'too_many_pools'
    if reason then return reason, name end
  end
  if total and not is_consistent(total, unused) then return 'inconsistent', names[1] end
  if op.t0 < meta.recovered_from then return 'before_recovery', names[1] end
  if is_group_repeated(op.t0, total, unused, names) then return nil, nil, true end
  for _, name in ipairs(names) do
    if is_late(pools.get(name), op.t0, find_window(op)) then return 'out_of_order', name end
  end
end

-- The sentinel keeps the set from being an absent key. Reservations older than the feed are not in the set: known_at
-- says until when. The feed of a channel began with its policy (commands/policy.lua), or with the zone.
local function begin_feed(pool)
  if pool.has_lapsed then call('DEL', PEND .. pool.name) end -- mutation: earlier-feed-is-forgotten
  pool.has_lapsed = false
  call('ZADD', PEND .. pool.name, -1, '')
  if pool.wildcard then need('pool_gc').await_lapse(pool) end
  if pool.kind == 'channel' then return end
  local is_known = pool.in_use == 0 or pool.name == ON_KNOWN_MPP
  pools.change(pool, { known_at = is_known and 0 or now + zone.claim_longest }) -- mutation: feed-waits-for-claims
end

-- Entries before w0 stay held: the window never moves back.
local function trim_pending(pool)
  -- By their ids: a range of ranks would mean other members once the call has removed some.
  local old = call('ZRANGEBYSCORE', PEND .. pool.name, 0, '(' .. pool.w0, 'LIMIT', 0, TRIM_SLICE)
  if #old > 0 then unit.discard('ZREM', PEND .. pool.name, unpack(old)) end
end

local function move_window(pool, t0, w0)
  if not pool.t0 then
    begun = begun + 1
    begin_feed(pool)
  end
  pools.change(pool, { t0 = t0, t1 = now, w0 = w0, fed = true })
  trim_pending(pool)
end

local function take(pool, op, total, unused)
  if pool.t0 then ceiling.keep_if_better(pool, total) end
  move_window(pool, op.t0, find_window(op))
  pools.change(pool, { ceiling = unused + occupancy.held(pool, pool.w0), total = total, unused = unused })
end

-- Channels that the platform counts together are a group, and a zone may have several: of several sources, or of one
-- source that counts each channel. A group counts as long as all of its channels have its snapshot and it is not stale.
-- -> ports of all groups that are not unused; t0 of the oldest of their snapshots, FOREVER without any; the earliest w0
local function sum_used()
  local groups, used, oldest, w0 = {}, 0, FOREVER, FOREVER
  for _, channel in ipairs(zone.fed) do
    local pool = pools.get('channel:' .. channel)
    if pool.group and now - pool.t0 <= zone.max_age then -- mutation: stale-group-is-not-foreign
      local group = groups[pool.group]
      if not group then
        local _, channels = string.gsub(pool.group, '[^+]+', '')
        group = { t0 = pool.t0, w0 = pool.w0, used = pool.total, missing = channels }
        groups[pool.group] = group
      end
      if pool.t0 == group.t0 then
        group.used, group.missing = group.used - pool.unused, group.missing - 1
        group.w0 = min(group.w0, pool.w0)
      end
    end
  end
  for _, group in pairs(groups) do
    if group.missing == 0 then used, oldest, w0 = used + group.used, min(oldest, group.t0), min(w0, group.w0) end -- mutation: foreign-of-whole-groups
  end
  return used, oldest, w0
end

-- Foreign use of the MPPs: ports of all channels that are neither unused nor held by reservations with a known MPP.
local function estimate_foreign()
  local pool, before = pools.get(ON_KNOWN_MPP), meta.foreign
  local used, oldest, w0 = sum_used()
  if oldest == FOREVER then return end -- this snapshot is stale already
  if not pool.t0 or w0 >= pool.w0 then move_window(pool, oldest, w0) end -- mutation: foreign-window-of-oldest
  meta.foreign = max(0, used - occupancy.held(pool, pool.w0))
  pools.each(pools.drop_limit) -- of every MPP
  if meta.foreign < before then need('notify').on('foreign_use_fell') end
end

-- Foreign use of channels that the platform counts together, for the status: ports neither unused nor held by
-- reservations. Negative: the ledger counts calls that the platform does not show.
local function note_foreign(group, names)
  local foreign, channels = group.total, {}
  for i, name in ipairs(names) do
    foreign = foreign - pools.get(name).ceiling
    channels[i] = string.sub(name, 9)
  end
  local together = table.concat(channels, '+')
  for _, name in ipairs(names) do
    pools.set(pools.get(name), { foreign = foreign, group = together })
  end
end

-- The learned ceiling did not count until this snapshot, though policy says that it is to.
local function count_fallback(pool)
  local reason = pool.learns and zone.ceilings == 'learned' and need('learned_ceiling').find_fallback(pool)
  if reason then count('fallback:' .. reason) end
end

-- -> observations of the channels, nil for other pools
local function take_group(op, group, names)
  for _, name in ipairs(names) do
    local pool = pools.get(name)
    count_fallback(pool)
    need('learned_gain').note(pool)
    take(pool, op, group.total, group.unused[name])
    pools.set(pool, { polled = op.token and 1 or false })
  end
  if kind_of(names[1]) ~= 'channel' then return end
  meta.wanted = false
  note_foreign(group, names)
  if #zone.mpps > 0 then estimate_foreign() end
  local observations = {}
  for _, name in ipairs(names) do
    local pool = pools.get(name)
    if pool.learns then
      observations[name] = need('age_bins').observe(pool, #names > 1)
      observations[name].counted_at = op.counted_at -- mutation: stated-time-is-learned-from
    end
  end
  return observations
end

-- The platform reports the pool as not available: there is no ceiling, but the snapshot is fresh.
local function take_absent(op, pool)
  move_window(pool, op.t0, find_window(op))
  pools.set(pool, { polled = op.token and 1 or false })
  pools.change(pool, { total = false, unused = false, ceiling = false, foreign = false, group = false, learned = false })
  ceiling.forget_kept(pool)
end

-- -> the reason to refuse every group, or nil
local function find_common_refusal(op)
  if op.t0 > now then return 'future' end
  if op.token and op.token ~= meta.token then return 'deposed' end
end

return function(op)
  local answer, all = { accepted = true, refused = {} }, find_common_refusal(op)
  local function judge(total, unused, names, accept)
    local reason, name, repeated = all, names[1], false
    if not reason then reason, name, repeated = find_refusal(op, total, unused, names) end
    if not reason then return repeated or accept() end
    if answer.accepted then answer.accepted, answer.reason, answer.pool = false, reason, name end
    for _, pool in ipairs(names) do answer.refused[pool] = reason end
    count('refused:' .. reason)
  end
  for _, group in ipairs(op.groups) do
    local names = list_names(group)
    judge(group.total, group.unused, names, function()
      local taken = take_group(op, group, names)
      if taken then
        answer.observations = answer.observations or {}
        for name, observation in pairs(taken) do answer.observations[name] = observation end
      end
    end)
  end
  for _, name in ipairs(op.absent or {}) do
    judge(false, {}, { name }, function() take_absent(op, pools.get(name)) end)
  end
  if answer.accepted then count('ingested') end
  return answer
end
