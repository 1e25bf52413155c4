-- state/pool.lua: the state of pools: each is read at most once and written at most once in a call.
--
-- pools hash, pool -> JSON object; a field without a value is absent. Most calls change only in_use, hold and tat: these come
-- first, after a space that says so, and the rest of the text is then kept as it is.
--   in_use    live and releasing reservations that name it
--   t0, t1, w0, total, unused   its newest snapshot (t0: its query began, t1: its ingest, w0: begin of its window)
--   ceiling   the most reservations that may hold it, by that snapshot
--   known_at  held counts as 0 until w0 is later: older reservations are not in its pend set
--   foreign, group   of a channel: foreign use at that snapshot; the channels that the platform counts together
--   learned, lowered, failed_ceiling, frozen_at   the learned ceiling (rules/learned_ceiling.lua)
--   events    running totals of ends, failing launches and expiries (state/age_bins.lua)
--   best, best_t1, best_w0   an older ceiling that is kept, and t1, w0 of its snapshot (rules/ceiling.lua)
--   adaptive  headroom from measured over-launches, in parts of a port (rules/adaptive_headroom.lua)
--   hold      mean hold time of a reservation in ms, learned from ends
--   hungry    digits: priority classes with campaigns that contend for it (state/contention.lua); pool.contending_classes
--   unmet     unused units of all guarantees (rules/shares.lua)
--   shrunk    sums of guarantees that exceed the limit: {limit, promised, unused} (rules/shares.lua)
--   tat       theoretical arrival time of its rate, us; text in the hash (rules/rate_limit.lua)
--   launches  launches of its strict rate, by slots (rules/rate_limit.lua)
--   made      reservations of the campaign while the zone stores many (rules/records.lua)
--   polled    1: a polled source, not a push, took the newest snapshot
--   set_limit, set_until   a temporary limit and when it ends (commands/set_limit.lua)
--   slots, open_until, probe_until   its circuit breaker (rules/circuit_breaker.lua)
--
-- What others compute from pools and keep for the call depends on one counter and one kind of table:
--   pools.version        grows with every change of a pool other than a change of counts. A result (passed checks, fields
--                        of an answer) holds as long as the version with which it was noted.
--   pools.make_derived   a table whose entries refer to pools: plans, heaps. Empty after every flush, so that nothing
--                        outlives its pools.
-- Both follow from the functions below, which are the only way to change a pool: change and set. Hot loops that assign a
-- count themselves (effects/occupancy.lua, rules/shares.lua, rules/rate_limit.lua) mark the pool in the same statement
-- (is_written; a test checks it).
local pools = {}
local cache = {}
local texts = unit.hash(POOLS)

pools.version = 0

local derived_tables = {}

-- -> a table that is emptied when pools are flushed
function pools.make_derived()
  local derived = {}
  derived_tables[#derived_tables + 1] = derived
  return derived
end

-- Pools of MPPs that may have more room than before in this call, in this order (rules/placement.lua).
pools.grown = {}

local SNAPSHOT = {
  't0', 't1', 'w0', 'total', 'unused', 'ceiling', 'known_at', 'best', 'best_t1', 'best_w0', 'foreign', 'group',
  'learned', 'lowered', 'failed_ceiling', 'frozen_at', 'events', 'polled',
}
local OTHERS = {
  'adaptive', 'unmet', 'shrunk', 'set_limit', 'set_until', 'slots', 'open_until', 'probe_until',
  'launches', 'made',
}

-- -> the sorted set of reservations that the newest snapshot of the pool may not contain yet: id, score = visible_by
function pools.pending(pool)
  pool.pending_set = pool.pending_set or unit.zset(PEND .. pool.name)
  return pool.pending_set
end

-- Read several pools with two commands: one for each pool would cost more than the decision.
local ahead_rules = {}
function pools.read_ahead(names)
  local missing = {}
  for _, name in ipairs(names) do
    if not cache[name] and ahead_rules[name] == nil then missing[#missing + 1] = name end
  end
  if #missing < 2 then return end
  unit.load(texts, missing)
  local rules = call('HMGET', POLICY, unpack(missing))
  for i, name in ipairs(missing) do ahead_rules[name] = rules[i] end
end

local wildcards = {} -- kind -> rules of KIND:*, false: none

-- -> the rules of a pool, nil if policy does not know the name; and true if they are those of its kind (campaign:*)
local function find_rules(name, kind)
  if kind == 'channel' then
    local channel = string.sub(name, 9)
    if not zone.is_channel[channel] then return nil end
    return { limit = zone.capacity[channel] }
  end
  if name == ON_KNOWN_MPP then return {} end
  if name == 'zone' then return { rate_per_s = zone.rate_per_s, burst = zone.burst, rate_strict = zone.rate_strict } end
  -- The policy hash also has fields without a kind, and applications: these are no pools.
  if kind == name or kind == 'application' then return nil end
  local text = ahead_rules[name]
  if text == nil then text = call('HGET', POLICY, name) end
  if text then return decode_of(POLICY, text) end
  if kind == 'mpp' then
    -- A channel that policy does not list for an MPP has no ports there.
    local mpp, channel = string.match(name, '^mpp:([^:]+):?([^:]*)$')
    if mpp and channel == '' then return zone.is_mpp[mpp] and {} or nil end -- the whole MPP
    return mpp and zone.is_mpp[mpp] and zone.is_channel[channel] and { limit = 0 } or nil
  end
  if wildcards[kind] == nil then
    text = call('HGET', POLICY, kind .. ':*')
    wildcards[kind] = text and decode_of(POLICY, text) or false
  end
  if wildcards[kind] then return wildcards[kind], true end
end

-- mpp:mpp1 has a rate and can be paused, but no reservation names it: the pools are its channels.
function pools.is_whole_mpp(name)
  return string.match(name, '^mpp:[^:]+$') ~= nil
end

-- -> the rules of a pool that policy does not know: no limit; but such an MPP has no ports
local function default_rules(name, kind)
  return kind == 'mpp' and not pools.is_whole_mpp(name) and { limit = 0 } or {} -- mutation: unnamed-mpp-has-no-ports
end

local function forget_snapshot(pool)
  for _, field in ipairs(SNAPSHOT) do pool[field] = nil end
  pool.is_changed = true
end

-- The stored fields and their types.
local TYPES = {
  in_use = 'number', hungry = 'string',
  t0 = 'number', t1 = 'number', w0 = 'number', total = 'number', unused = 'number', ceiling = 'number', known_at = 'number',
  best = 'number', best_t1 = 'number', best_w0 = 'number', foreign = 'number', group = 'string', learned = 'string',
  lowered = 'number', failed_ceiling = 'number', frozen_at = 'number', events = 'table',
  adaptive = 'number', hold = 'number', unmet = 'number', shrunk = 'table', tat = 'string', set_limit = 'number',
  set_until = 'number', slots = 'table', open_until = 'number', probe_until = 'number',
  launches = 'string', made = 'string', polled = 'number',
}

-- -> whether every field has its type; fields of a later version, which are kept as they are, or nil
local function check_fields(pool)
  local unknown
  for field, value in pairs(pool) do
    local expected = TYPES[field]
    if not expected then
      unknown = unknown or {}
      unknown[field] = value
    elseif type(value) ~= expected then
      return false
    end
  end
  return pool.in_use ~= nil, unknown
end

-- No reservation holds the pool and policy does not name it: garbage once its state has no effect (effects/pool_gc.lua).
local NAMED_BY_ALL = { channel = true, mpp = true, [ON_KNOWN_MPP] = true }
function pools.is_collectable(pool)
  return pool.in_use == 0 and (pool.wildcard or not pool.known) and not NAMED_BY_ALL[pool.kind]
end

-- Does the snapshot of a named pool count no longer? A pool whose source stopped counting it is denied for a while, not for
-- ever: calls that were granted by its snapshot have ended or expired after max_call.
local function has_lapsed(pool)
  if not pool.t0 or NAMED_BY_ALL[pool.kind] then return false end
  return not pool.known or now - pool.t0 > zone.max_call -- mutation: named-snapshot-lapses
end

-- Counts may be too low: no check that was passed before holds.
function pools.doubt()
  doubt_counts()
  pools.version = pools.version + 1 -- mutation: doubt-ends-passes
end

-- -> what comes first in the text: in_use, hold, tat, and where the rest begins; nil if the text has another form
local function parse_counts(text)
  local in_use, at = match(text, '^{ "in_use":(%-?%d+)()')
  if not in_use then return nil end
  local hold, after_hold = match(text, '^,"hold":(%d+)()', at)
  at = after_hold or at
  local tat, after_tat = match(text, '^,"tat":"(%d+)"()', at)
  return tonumber(in_use), tonumber(hold), tonumber(tat), after_tat or at
end

-- A pool with room for the fields that most pools get: a table that grows is expensive.
local function make_pool(in_use, hold, tat, rest_at)
  return {
    in_use = in_use, hold = hold, tat = tat, rest_at = rest_at, name = nil, kind = nil, rules = nil, known = nil,
    wildcard = nil, contended = nil, is_written = nil, limit_now = nil, usable_now = nil, shares = nil, each = nil, full_from = nil,
  }
end

-- -> the fields of a JSON text, and those of a later version; nil if it cannot be read
local function parse_fields(text)
  local ok, pool = pcall(decode, text)
  if not ok or type(pool) ~= 'table' then return nil end
  local is_readable, unknown = check_fields(pool)
  if not is_readable then return nil end
  pool.unknown, pool.tat = unknown, tonumber(pool.tat)
  return pool
end

-- -> the pool with its stored fields, nil if the text cannot be read
local function parse(text)
  local in_use, hold, tat, rest_at = parse_counts(text)
  if rest_at == #text and sub(text, -1) == '}' then return make_pool(in_use, hold, tat, rest_at) end
  local pool = parse_fields(text)
  if pool then pool.rest_at = rest_at end
  return pool
end

-- The text of a pool cannot be read: it is set aside, and the pool is rebuilt from the records.
local function rebuild(name, text)
  need('aside').keep('pool', name, text)
  unit.put(texts, name, false)
  pools.doubt() -- the recount counts its reservations; until then nothing is granted
  return { in_use = 0, known_at = meta.recover_until, is_written = true, is_changed = true }
end

-- Do several campaigns compete for the pool? Not for the pool of a campaign, nor for one that only counts.
local function is_contended(name, kind)
  return kind ~= 'campaign' and kind ~= 'zone' and name ~= ON_KNOWN_MPP
end

function pools.has_shares(name) return is_contended(name, kind_of(name)) end

function pools.get(name)
  local cached = cache[name]
  if cached then return cached end
  local kind = kind_of(name)
  local text, rules, wildcard = unit.get(texts, name), find_rules(name, kind)
  local pool = not text and make_pool(0) or parse(text) or rebuild(name, text)
  if pool.hungry then pool.contending_classes, pool.hungry = pool.hungry, nil end
  -- A pool "mpps:x" is a named pool, whatever the hidden one is called.
  if kind == ON_KNOWN_MPP and name ~= ON_KNOWN_MPP then kind = 'named' end
  pool.name, pool.kind, pool.rules, pool.known, pool.wildcard = name, kind, rules or default_rules(name, kind), rules ~= nil, wildcard
  pool.contended = is_contended(name, kind)
  if has_lapsed(pool) then
    pool.has_lapsed = true
    forget_snapshot(pool) -- what is stored of it goes with the next write of the pool
  elseif kind == 'channel' and not zone.is_fed[sub(name, 9)] then
    forget_snapshot(pool)
  elseif pool.t0 or kind == 'channel' or kind == ON_KNOWN_MPP then
    pool.fed, pool.learns = true, kind == 'channel' or nil
  end
  cache[name] = pool
  if has_waiters() then need('notify').measure(pool) end
  return pool
end

-- Snapshots feed a channel from now on; what an earlier feed reported is dropped.
function pools.restart_feed(pool, known_at)
  forget_snapshot(pool)
  call('DEL', LEARN .. pool.name)
  pools.change(pool, { known_at = known_at })
end

-- Call f with every pool that was read in this call.
function pools.each(f)
  for _, pool in pairs(cache) do f(pool) end
end

-- Recompute the limit of the pool when it is next needed: something else than the pool changed, of which the limit depends.
function pools.drop_limit(pool)
  pools.version = pools.version + 1
  pool.limit_now, pool.usable_now = nil, nil
  if pool.kind == 'mpp' then pools.note_growth(pool) end
end

-- The pool is written at the end of the call, or deleted if nothing of it counts any more.
function pools.examine(pool)
  unit.change()
  pool.is_written, pool.is_changed = true, true -- mutation: changed-pool-is-written-in-full
end

-- Set fields that no limit and no check before the counts depends on. changes: field -> value, false: none
function pools.set(pool, changes)
  pools.examine(pool)
  for field, value in pairs(changes) do pool[field] = value or nil end
end

-- The one way to set the fields that limits and checks are computed from (a test checks it), so that nothing that was
-- computed before stays valid. changes: field -> value, false: none
function pools.change(pool, changes)
  pools.set(pool, changes)
  pools.drop_limit(pool)
end

-- The pool of an MPP may have more room than before.
function pools.note_growth(pool)
  pools.grown[#pools.grown + 1] = pool
end

local function copy_fields(pool, names, fields)
  for i = 1, #names do fields[names[i]] = pool[names[i]] or nil end
end

-- -> the text of all fields that do not come first
local function encode_rest(pool)
  local fields = { hungry = pool.contending_classes }
  copy_fields(pool, OTHERS, fields)
  if pool.fed then copy_fields(pool, SNAPSHOT, fields) end
  for field, value in pairs(pool.unknown or {}) do fields[field] = value end
  return next(fields) and ',' .. sub(encode(fields), 2) or '}'
end

-- -> JSON text, or false if nothing is to be stored
local function to_text(pool)
  if pools.is_collectable(pool) then
    pool.hold, pool.is_changed = nil, true
    local may_expire = pool.tat or pool.set_until or pool.slots or pool.contending_classes or pool.launches or pool.made
    if may_expire then need('pool_gc').drop_expired(pool) end
  end
  local is_kept = not pool.is_changed and pool.rest_at
  local rest = is_kept and sub(unit.get(texts, pool.name), pool.rest_at) or encode_rest(pool)
  local hold, tat = pool.hold, pool.tat
  if pool.in_use == 0 and not hold and not tat and rest == '}' then return false end
  -- tat is a text: JSON would round it.
  return '{ "in_use":' .. score(pool.in_use) .. (hold and ',"hold":' .. score(hold) or '')
    .. (tat and ',"tat":"' .. score(tat) .. '"' or '') .. rest
end

-- Write what changed, and forget every pool: the call may read them again.
function pools.flush()
  for name, pool in pairs(cache) do
    if pool.learns and (pool.joined or pool.ended or pool.age_changes) then need('age_bins').flush(pool) end
    if pool.is_written then
      if pool.has_lapsed then call('DEL', PEND .. name) end
      if pool.available_before then need('notify').compare(pool) end
      local text = to_text(pool)
      if text then unit.create(texts, name, text) else unit.put(texts, name, false) end
    end
  end
  cache, ahead_rules, wildcards = {}, {}, {}
  for _, derived in ipairs(derived_tables) do
    for key in pairs(derived) do derived[key] = nil end
  end
end

return pools
