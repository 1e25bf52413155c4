-- commands/ingest.lua: a snapshot becomes a ceiling.
--
-- op: t0 (zone time in ms, asked for before the query began), token? (of the poller's lease),
--     groups = [{total, unused = {pool: n}}], absent? = [pool]
-- -> {accepted, reason?, pool?, refused = {pool: reason}}

local pools, occupancy, ceiling = need('pool'), need('occupancy'), need('ceiling')

local WRAP = 2147483648 -- what a platform says from here on is minus one, not room

local function is_count(n)
  return type(n) == 'number' and n >= 0 and n < WRAP and n == floor(n) -- mutation: count-range
end

local function is_consistent(total, unused)
  if not is_count(total) then return false end
  local sum = 0
  for _, n in pairs(unused) do
    if not is_count(n) then return false end
    sum = sum + n
  end
  return sum <= total -- mutation: unused-within-total
end

-- Sorted, so that of several refusals the same one is named every time.
local function names_of(group)
  local names = {}
  for name in pairs(group.unused) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function unusable(p)
  if not p.known or p.kind == 'campaign' or p.name == ON_KNOWN_MPP then return 'unknown_pool' end
  if p.kind == 'channel' and not p.fed then return 'not_fed' end
end

-- The same answer again: the reply to its first coming was lost.
local function is_repeat(p, t0, total, unused)
  return p.t0 == t0 and (p.total or false) == total and (p.unused or false) == (unused or false)
end

-- An answer that a newer one overtook. The window only moves on.
local function is_late(p, t0)
  return p.t0 and (t0 <= p.t0 or t0 - zone.visibility_lag < p.w0) -- mutation: snapshot-order
end

local function is_group_repeated(t0, total, unused, names)
  for _, name in ipairs(names) do
    if not is_repeat(pools.get(name), t0, total, unused[name]) then return false end
  end
  return true
end

-- total, unused: nil and an empty table for a pool that the platform has no number for
-- -> reason and pool, or nil; and whether it is a repeat
local function refusal(op, total, unused, names)
  for _, name in ipairs(names) do
    local reason = unusable(pools.get(name))
    if reason then return reason, name end
  end
  if total and not is_consistent(total, unused) then return 'inconsistent', names[1] end
  if op.t0 < meta.recovered_from then return 'before_recovery', names[1] end
  if is_group_repeated(op.t0, total, unused, names) then return nil, nil, true end
  for _, name in ipairs(names) do
    if is_late(pools.get(name), op.t0) then return 'out_of_order', name end
  end
end

-- A sentinel, so that the set never is an absent key; and reservations older than the feed. A channel's feed
-- began with its policy (commands/policy.lua), or with the zone.
local function begin_feed(p)
  call('ZADD', PEND .. p.name, -1, '')
  if p.kind == 'channel' then return end
  p.known_at = p.in_use > 0 and p.name ~= ON_KNOWN_MPP and now + zone.claim_longest or 0 -- mutation: feed-waits-for-claims
end

-- Entries before w0 are held for good: the window only moves on.
local function trim(p)
  local old = call('ZCOUNT', PEND .. p.name, 0, '(' .. p.w0)
  if old > 0 then call('ZREMRANGEBYRANK', PEND .. p.name, 1, min(old, TRIM_SLICE)) end
end

local function photograph(p, t0)
  if not p.t0 then begin_feed(p) end
  p.t0, p.t1, p.w0, p.fed = t0, now, t0 - zone.visibility_lag, true -- mutation: visibility-lag
  trim(p)
  pools.mark_dirty(p)
end

local function take(p, t0, total, unused)
  if p.t0 then ceiling.keep_if_better(p, total) end
  photograph(p, t0)
  p.ceiling = unused + occupancy.held(p, p.w0)
  p.total, p.unused = total, unused
  pools.mark_changed(p)
end

-- Ports that neither are free nor held by ours on a known MPP: somebody else's, spread over the MPPs.
local function estimate_foreign(t0, group)
  local unused = 0
  for _, n in pairs(group.unused) do unused = unused + n end
  local p = pools.get(ON_KNOWN_MPP)
  photograph(p, t0)
  local before = meta.foreign
  meta.foreign = max(0, group.total - unused - occupancy.held(p, p.w0))
  pools.each(pools.drop_limit) -- of every MPP
  if meta.foreign < before then need('notify').notify_waiters() end
end

-- Channels that the platform counts together, and what of their ports neither is free nor held by us:
-- somebody else's. Less than none: we count calls that the platform does not show. For who looks.
local function note_foreign(group, names)
  local foreign, channels = group.total, {}
  for i, name in ipairs(names) do
    foreign = foreign - pools.get(name).ceiling
    channels[i] = string.sub(name, 9)
  end
  local together = table.concat(channels, '+')
  for _, name in ipairs(names) do
    local p = pools.get(name)
    p.foreign, p.group = foreign, together
  end
end

local function take_group(op, group, names)
  for _, name in ipairs(names) do
    take(pools.get(name), op.t0, group.total, group.unused[name])
  end
  if kind_of(names[1]) ~= 'channel' then return end
  meta.wanted = false
  note_foreign(group, names)
  if #zone.mpps > 0 then estimate_foreign(op.t0, group) end
end

-- The platform has no number for it: no ceiling, but the question was answered.
local function take_absent(op, p)
  photograph(p, op.t0)
  for _, field in ipairs({ 'total', 'unused', 'ceiling', 'foreign', 'group' }) do p[field] = nil end
  ceiling.forget_kept(p)
  pools.mark_changed(p)
end

-- What concerns the whole answer.
local function refusal_of_all(op)
  if op.t0 > now then return 'future' end
  if op.token and op.token ~= meta.token then return 'deposed' end
end

return function(op)
  local a, all = { accepted = true, refused = {} }, refusal_of_all(op)
  local function judge(total, unused, names, accept)
    local reason, name, repeated = all, names[1], false
    if not reason then reason, name, repeated = refusal(op, total, unused, names) end
    if not reason then return repeated or accept() end
    if a.accepted then a.accepted, a.reason, a.pool = false, reason, name end
    for _, pool in ipairs(names) do a.refused[pool] = reason end
    count('refused:' .. reason)
  end
  for _, group in ipairs(op.groups) do
    local names = names_of(group)
    judge(group.total, group.unused, names, function() take_group(op, group, names) end)
  end
  for _, name in ipairs(op.absent or {}) do
    judge(false, {}, { name }, function() take_absent(op, pools.get(name)) end)
  end
  if a.accepted then count('ingested') end
  return a
end
