-- main.lua: a call: clock, recovery, deadlines, then the operations in order, as one unit of work.
--
-- An operation that fails before it changes anything answers `internal`, and the others of the call are not affected.
-- An error after a change aborts the call: nothing is written, and the reply says so for all operations.

-- Create the keys of a new zone. -> its meta
local function create_zone()
  for _, key in ipairs({ RES, REQ, POOLS, STATS, SHARES, CONTENTION .. 'until', WAITERS }) do call('HSET', key, '', '') end
  for _, key in ipairs({ DEADLINES, ARRIVED }) do call('ZADD', key, FOREVER, '') end
  call('ZADD', QUEUE, 0, '')
  return {
    offset = 0, last = 0, stepped = 0, called = 0, run_id = '', recovered_from = 0, recover_until = 0,
    holder = '', token = 0, lease_until = 0, wanted = false, asked = 0, foreign = 0,
  }
end

-- Zone time never moves back: the offset grows by what the server's clock steps back.
local function advance_clock()
  local raw_us = need('clock').read()
  local raw = floor(raw_us / 1000)
  local back = meta.last - raw
  meta.last = raw
  meta.offset = meta.offset + max(0, back)
  now, now_us = raw + meta.offset, raw_us + meta.offset * 1000
  if back > 0 then meta.stepped = now end
end

-- Did the server of the last call restart, or was it promoted since? A promoted server may be the same process, which
-- was a replica meanwhile and lost its last writes by that.
local function is_another_server()
  local clock, was = need('clock'), meta.heir_of
  local run_id, heir_of = clock.run_id(), clock.heir_of()
  local is_another = meta.run_id ~= run_id or (was ~= nil and heir_of ~= '' and heir_of ~= was)
  meta.run_id = run_id
  if heir_of ~= '' or not was then meta.heir_of = heir_of end
  return is_another
end

-- After another server, or a long silence, the state may be older than the calls that are up.
local function detect_loss()
  local silent = #zone.fed > 0 and now - meta.called > zone.max_age
  if is_another_server() or silent then begin_recovery() end -- mutation: loss-begins-recovery
  if meta.undo_failed then recover_from_failed_undo(meta.undo_failed) end -- mutation: failed-undo-begins-recovery
  meta.called = now
end

-- operation -> its module
local VERBS = {
  admit = 'admit', ingest = 'ingest', learn = 'learn', lease = 'lease', launched = 'report', renew = 'report', ['end'] = 'report',
  beat = 'wait', withdraw = 'wait', get = 'query', list = 'query', status = 'query', policy = 'policy', pause = 'policy',
  limit = 'set_limit', policy_get = 'policy', secret = 'policy', rotate = 'policy', audit = 'audit_log', time = 'time',
  stepped = 'stepped', recount = 'recount', aside_clear = 'aside',
}
-- operation -> its function in a module of several, where it has another name
local OTHER_NAMES = { policy = 'store', policy_get = 'get', audit = 'read', recount = 'request', aside_clear = 'clear' }
modules.time = function()
  return function() return {} end -- the answer is `now` of the reply
end
-- The server's clock stepped forward, which a replica notices (ledger/clock_steps.py): reservations look older than
-- they are. As after a loss, only time shows which of them a snapshot contains.
-- since: zone time of the replica's reply before the step; ahead_ms: how far the clock stepped since then. Every replica
-- notices the same step, perhaps hours later: steps that the zone knows begin no second recovery.
local STEPS_MAX, STEP_SLACK_MS = 8, 100
modules.stepped = function()
  return function(op)
    local steps, known = meta.steps or {}, 0
    for _, step in ipairs(steps) do
      if step.at > (op.since or now) then known = known + step.ahead_ms end
    end
    if known > 0 and (op.ahead_ms or FOREVER) <= known + STEP_SLACK_MS then return {} end
    begin_recovery()
    steps[#steps + 1] = { at = now, ahead_ms = (op.ahead_ms or 0) - known }
    if #steps > STEPS_MAX then table.remove(steps, 1) end
    meta.steps = steps
    return {}
  end
end

local verbs = {} -- operation -> function, once it is found

local function find_verb(name)
  local module = VERBS[name] and need(VERBS[name])
  verbs[name] = type(module) == 'table' and module[OTHER_NAMES[name] or name] or module
  return verbs[name]
end

-- Operations that may let waiting requests through although no pool changed.
local NOTIFIES_WAITERS = { policy = true, pause = true }

-- -> the text of an error, as Redis or Lua raised it
local function describe(raised)
  if type(raised) ~= 'table' then return tostring(raised) end
  return raised.err or 'unreadable: ' .. raised.unreadable
end

local function has_text(raised, text) return find(describe(raised), text, 1, true) ~= nil end

local function is_out_of_memory(raised) return has_text(raised, 'OOM command') end

-- Can a key not be read at all?
local function is_about_key(raised)
  return type(raised) == 'table' and raised.unreadable ~= nil or has_text(raised, 'WRONGTYPE')
end

-- An error of an operation that changed nothing fails that operation; any other one aborts the call.
local function perform(op)
  local verb = verbs[op.op] or find_verb(op.op)
  if not verb then return fault('internal', 'op', op.op) end
  local before = unit.count_changes()
  local ok, result = pcall(verb, op)
  if ok and NOTIFIES_WAITERS[op.op] then need('notify').on('rules_changed') end
  if ok then return result end
  local fails_call = unit.count_changes() ~= before or is_out_of_memory(result) or is_about_key(result)
  if fails_call then error(result, 0) end -- mutation: error-after-change-aborts
  return fault('internal', op.op, describe(result))
end

-- -> reservations and requests that the operations may add to the deadlines
local function count_units(ops)
  local units = #ops
  for i = 1, #ops do
    local op = ops[i]
    units = units + (op.count or op.op == 'admit' and 1 or 0)
  end
  return units
end

-- Process the oldest deadlines: at least twice as many as the call may add, so that a backlog always shrinks.
local function process_deadlines(ops)
  local slice = max(EXPIRY_SLICE, 2 * count_units(ops))
  local ids = call('ZRANGEBYSCORE', DEADLINES, '-inf', '(' .. now, 'LIMIT', 0, slice)
  if #ids > 0 then need('expiry')(ids) end
end

-- Hand what the modules cached over to the unit of work.
local function flush_modules()
  if loaded.contention then loaded.contention.clean() end
  if loaded.pool then loaded.pool.flush() end
  if loaded.notify then loaded.notify.flush() end
  if loaded.shares then loaded.shares.flush() end
  if loaded.tally then loaded.tally.flush() end
  if loaded.deny_log then loaded.deny_log.flush() end
  flush_counts()
end

-- What the text of meta ends with says which version of this script wrote it, since an older one drops it. A line feed: its
-- replicas know ids that prove who issued them. A space: a recount is under way, and the call took part in it; a version
-- without the tally (state/tally.lua) writes none, and then the recount begins anew.
local function encode_meta()
  return encode(meta) .. '\n' .. (meta.recounting and ' ' or '')
end

local OLDER_MS = 600000 -- after this long without a call of an older version its replicas are gone

-- An older version refuses reports on ids of the new form: replicas issue them once it is gone.
local function note_older_version(stored_meta)
  if stored_meta and not find(stored_meta, '\n', 1, true) then meta.older_call = now end
  if meta.older_call and now - meta.older_call > OLDER_MS then meta.older_call = nil end
end

local function forget_recount()
  meta.recounting, meta.recount = nil, true -- mutation: recount-by-older-version
end

-- The policy was set aside, so that a client restores it. Other wrong keys wait for that.
local function keep_policy_aside(wrong, stored_meta)
  if #wrong > 1 or not stored_meta then return unit.abort() end
  meta = decode_of(ZONE, stored_meta)
  advance_clock()
  need('aside').rebuild(wrong)
  flush_counts()
  unit.commit(encode_meta())
end

-- wrong: keys that are set aside first (state/aside.lua), or nil
-- -> the reply, with every write committed; raises an error, with writes that are to be undone
local function apply(ops, wrong)
  if wrong then need('aside').rename_zone(wrong) end
  local got = call('HMGET', ZONE, 'schema', 'meta')
  if got[1] and tonumber(got[1]) ~= SCHEMA then return encode({ now = 0, error = 'schema_mismatch' }) end
  unit.begin(not got[1], got[2])
  if wrong then need('aside').rename_others(wrong) end
  if not load_policy() then
    if ops[1].op ~= 'policy' then
      if wrong then keep_policy_aside(wrong, got[2]) end
      return encode({ now = 0, error = 'no_policy' })
    end
    need('policy').first(ops[1])
  end
  meta = got[2] and decode_of(ZONE, got[2]) or create_zone()
  if meta.recounting and sub(got[2], -1) ~= ' ' then forget_recount() end
  advance_clock()
  if not got[2] then need('audit_log').note({ by = ops[1].by or 'ledger' }, 'begin', 'zone', { schema = SCHEMA }) end
  detect_loss()
  note_older_version(got[2])
  if wrong then need('aside').rebuild(wrong) end
  if has_waiters() then need('wait').remove_overdue() end
  if meta.recount or meta.recounting or now >= (meta.recount_at or 0) then need('recount').run_if_due() end
  process_deadlines(ops)
  if #ops > 1 then
    need('idempotency').read_ahead(ops)
    need('reservation').read_ahead(ops)
    need('request').read_ahead(ops)
  end
  local results = {}
  for i = 1, #ops do
    local result = perform(ops[i])
    results[i] = type(result) == 'string' and result or encode(result)
  end
  flush_modules()
  unit.commit(encode_meta())
  local shared = loaded.grant and loaded.grant.shared_fields() or '[]'
  local more = (meta.in_doubt and ',"recount":true' or '') .. (meta.older_call and ',"older_version":true' or '')
  return format('{"now":%d,"policy":%d,"shared":%s,"results":[%s]%s}', now, zone.version, shared, concat(results, ','), more)
end

-- Forget everything that this call read or buffered.
local function forget_call()
  unit.reset()
  reset_counts()
  verbs = {}
  for name in pairs(loaded) do loaded[name] = nil end
  meta = nil
end

-- -> whether the zone can be read again
local function restart()
  forget_call()
  local got = call('HMGET', ZONE, 'schema', 'meta')
  if not got[2] or not load_policy() then return false end
  unit.begin(false, got[2])
  meta = decode(got[2])
  advance_clock()
  return not is_another_server()
end

local HAS_ENDED = { ended = true, expired = true }

-- Redis is full: delete what has ended, and expire what is overdue, so that memory becomes free without an operator.
-- Deletions come first, since Redis refuses them never; after one, it refuses no write of this script.
local function free_memory()
  for _, has_ended in ipairs({ true, false }) do
    if not restart() then return end
    local ids, chosen = call('ZRANGEBYSCORE', DEADLINES, '-inf', '(' .. now, 'LIMIT', 0, EXPIRY_SLICE), {}
    for _, id in ipairs(ids) do
      local record = need('reservation').read(id)
      if (record ~= nil and HAS_ENDED[record.state] or false) == has_ended then chosen[#chosen + 1] = id end
    end
    if #chosen > 0 then
      need('expiry')(chosen)
      flush_modules()
      unit.commit_deletions_first(encode_meta())
    end
  end
end

local WRONG_KEYS_MAX = 4 -- keys of pools, each found by itself; of all other keys those that are wrong are found together

-- 'marked': the undo of a call failed, and the zone recovers with the next call; 'failed': as that, but the zone does not
-- know, and the client has to say so (ledger/script_client.py)
local undo

-- Undo the call. -> whether it changed nothing
local function abort()
  if unit.abort() then return true end
  undo = unit.mark_failed_undo() and 'marked' or 'failed'
  return false
end

-- Set keys of the wrong type aside, and try again. wrong: keys found before
-- -> as pcall of apply
local function apply_without(wrong, ops, raised)
  local ok, found = pcall(need('aside').find_wrong_keys, raised, unit.list_other_keys())
  if not ok or #found == 0 or not abort() then return false, raised end
  forget_call()
  for _, key in ipairs(found) do wrong[#wrong + 1] = key end
  return pcall(apply, ops, wrong)
end

local function main(ops)
  local ok, reply = pcall(apply, ops)
  local wrong = {}
  for _ = 1, WRONG_KEYS_MAX do
    if ok or undo or not is_about_key(reply) then break end
    ok, reply = apply_without(wrong, ops, reply)
  end
  if ok then return reply end
  abort()
  local text = describe(reply)
  -- The server takes no writes at all: the client follows another server on this very error (ledger/store/errors.py).
  -- Redis 6.2 puts the script's line before it.
  local refusal = match(text, '^@user_script: ?%d+: (.*)') or text
  refusal = match(refusal, '^%-?(.*)')
  if match(refusal, '^READONLY') or match(refusal, '^NOREPLICAS') or match(refusal, '^MISCONF') then
    return redis.error_reply(refusal)
  end
  if not is_out_of_memory(reply) then return encode({ now = 0, error = 'aborted', value = text, undo = undo }) end
  if not undo and not pcall(free_memory) then abort() end
  return encode({ now = 0, error = 'oom', undo = undo })
end

return main
