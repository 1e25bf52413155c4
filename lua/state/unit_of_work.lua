-- state/unit_of_work.lua: a call commits all of its writes, or none.
--
-- This file is the only one that writes to Redis. The call begins (main.lua), operations change state, and the call
-- commits once, at its end. An error before that discards the buffers; an error in the middle of the commit undoes what
-- the commit wrote. So no other call ever sees half of a call.
--
-- Buffered (records, requests, deadlines, pools, shares, pending sets), through a handle for each key:
--   unit.hash(key)    get, load, create, put        unit.zset(key)    add, add_new, move, remove
-- Immediate (all other keys): call(COMMAND, key, ...) writes at once and records the inverse command; call with a
-- reading command first writes what is buffered for its key, so a read always sees the writes of its call.
--
-- The first write of a call needs memory (HSET is a denyoom command), and Redis refuses such commands only until the
-- first write of a script: a full Redis refuses the call before anything changed.
-- (scriptVerifyOOM in src/script.c of Redis 7; luaRedisGenericCommand in src/scripting.c of 6.2)

local redis_call, redis_pcall = redis.call, redis.pcall

local ARGUMENTS_MAX = 2000 -- of one command: unpack is limited by the Lua stack (LUAI_MAXCSTACK, 8000)

local READS = set_of({
  'GET', 'HGET', 'HGETALL', 'HKEYS', 'HLEN', 'HMGET', 'HSCAN', 'INFO', 'TIME', 'TYPE', 'XREVRANGE', 'ZCARD', 'ZCOUNT',
  'ZLEXCOUNT', 'ZMSCORE', 'ZRANGE', 'ZRANGEBYLEX', 'ZRANGEBYSCORE',
})

local hashes, zsets = {}, {}        -- key -> handle
local hash_list, zset_list = {}, {} -- handles in the order of their first use: a call writes in the same order always
local journal, journaled = {}, 0    -- inverse commands of what was written
local appended, discarded, published = {}, {}, {}
local changed = 0
local is_new, stored_meta, is_guarded = false, nil, false
local last_key -- of the last command of call()

-- Run a command; its error is raised as {err = text} on every version of Redis.
local function run(...)
  local reply = redis_pcall(...)
  if type(reply) == 'table' and reply.err then error(reply, 0) end
  return reply
end

local function record_inverse(...)
  journaled = journaled + 1
  journal[journaled] = { ... }
end

-- Record the commands that write those texts back; false: the field was absent.
local function record_fields(key, fields, texts)
  local set, absent = { 'HSET', key }, { 'HDEL', key }
  for i = 1, #fields do
    if texts[i] then
      set[#set + 1], set[#set + 2] = fields[i], texts[i]
    else
      absent[#absent + 1] = fields[i]
    end
  end
  if #absent > 2 then record_inverse(unpack(absent)) end
  if #set > 2 then record_inverse(unpack(set)) end
end

-- Record the commands that write those scores back; false: the member was absent.
local function record_scores(key, members, scores)
  local add, absent = { 'ZADD', key }, { 'ZREM', key }
  for i = 1, #members do
    if scores[i] then
      add[#add + 1], add[#add + 2] = scores[i], members[i]
    else
      absent[#absent + 1] = members[i]
    end
  end
  if #absent > 2 then record_inverse(unpack(absent)) end
  if #add > 2 then record_inverse(unpack(add)) end
end

-- The first write of the call: needs memory and changes nothing of an existing zone.
local function guard()
  if is_guarded then return end
  run('HSET', ZONE, 'schema', SCHEMA) -- mutation: unit-guards-first
  is_guarded = true
  if is_new then record_inverse('HDEL', ZONE, 'schema') end
end

-- Buffered hashes ----------------------------------------------------------------------------------------------

-- -> the handle of a hash
function unit.hash(key)
  local h = hashes[key]
  if not h then
    h = { key = key, stored = {}, value = {}, touched = {}, n = 0, created = {}, created_n = 0, is_rewritten = false }
    hashes[key], hash_list[#hash_list + 1] = h, h
  end
  return h
end

-- -> the text of a field, false if it is absent
function unit.get(h, field)
  local text = h.value[field]
  if text ~= nil then return text end
  text = h.stored[field]
  if text == nil then
    text = redis_call('HGET', h.key, field)
    h.stored[field] = text
  end
  return text
end

-- Read several fields with one command, for later use of get.
function unit.load(h, fields)
  local missing = {}
  for _, field in ipairs(fields) do
    if h.stored[field] == nil and h.value[field] == nil then missing[#missing + 1] = field end
  end
  for from = 1, #missing, ARGUMENTS_MAX do
    local some = { unpack(missing, from, min(#missing, from + ARGUMENTS_MAX - 1)) }
    for i, text in ipairs(redis_call('HMGET', h.key, unpack(some))) do h.stored[some[i]] = text end
  end
end

-- text: false deletes the field
function unit.put(h, field, text)
  if h.value[field] == nil then
    local n = h.n + 1
    h.n, h.touched[n] = n, field
  else
    h.is_rewritten = true
  end
  h.value[field] = text
  changed = changed + 1
end
local put = unit.put

-- Write a field that is known to be absent. Most writes of a call are such: their list is that of the arguments of HSET.
function unit.create(h, field, text)
  if h.value[field] ~= nil or h.stored[field] then return put(h, field, text) end
  local n, created = h.created_n, h.created
  created[n + 1], created[n + 2], h.created_n = field, text, n + 2
  h.value[field] = text
  changed = changed + 1
end

-- -> what was created, as arguments of a command, with the values that it has now; first: 0 if names precede values
local function list_created(created, n, values, is_rewritten, first)
  if not is_rewritten then return created, n end
  local list, length = {}, 0
  for i = 1, n, 2 do
    local name = created[i + first]
    local value = values[name]
    if value then list[length + 1 + first], list[length + 2 - first], length = name, value, length + 2 end
  end
  return list, length
end

-- -> arguments of HSET and of HDEL for what is buffered
local function list_fields(h)
  local stored, value = h.stored, h.value
  local missing = {}
  for i = 1, h.n do
    if stored[h.touched[i]] == nil then missing[#missing + 1] = h.touched[i] end
  end
  for from = 1, #missing, ARGUMENTS_MAX do
    local some = { unpack(missing, from, min(#missing, from + ARGUMENTS_MAX - 1)) }
    for i, text in ipairs(redis_call('HMGET', h.key, unpack(some))) do stored[some[i]] = text end
  end
  local set, n = list_created(h.created, h.created_n, value, h.is_rewritten, 0)
  local delete = {}
  for i = 1, h.n do
    local field = h.touched[i]
    local text = value[field]
    if text then
      set[n + 1], set[n + 2], n = field, text, n + 2
    elseif stored[field] then
      delete[#delete + 1] = field
    end
  end
  return set, delete
end

-- Run a command with a long list of arguments in parts; inverse(part) records how to undo each.
local function run_in_parts(command, key, list, inverse)
  for from = 1, #list, ARGUMENTS_MAX do
    local last = min(#list, from + ARGUMENTS_MAX - 1)
    run(command, key, unpack(list, from, last))
    journaled = journaled + 1
    journal[journaled] = { list = list, from = from, last = last, inverse = inverse } -- mutation: unit-records-commit
  end
end

local function clear_hash(h)
  for i = 1, h.n do h.stored[h.touched[i]] = h.value[h.touched[i]] end
  for i = 1, h.created_n, 2 do h.stored[h.created[i]] = h.value[h.created[i]] end
  h.value, h.touched, h.n, h.created, h.created_n, h.is_rewritten = {}, {}, 0, {}, 0, false
end

-- -> functions that record the inverse of HSET and HDEL. stored: the texts before
local function hash_inverses(key, stored)
  local function record(list, from, last, step)
    local fields, texts = {}, {}
    for i = from, last, step do fields[#fields + 1], texts[#texts + 1] = list[i], stored[list[i]] or false end
    record_fields(key, fields, texts)
  end
  return function(list, from, last) record(list, from, last, 2) end, function(list, from, last) record(list, from, last, 1) end
end

-- Buffered sorted sets -----------------------------------------------------------------------------------------

-- -> the handle of a sorted set
function unit.zset(key)
  local z = zsets[key]
  if not z then
    z = { key = key, score = {}, touched = {}, n = 0, existing = {}, known = {}, created = {}, created_n = 0, is_rewritten = false }
    zsets[key], zset_list[#zset_list + 1] = z, z
  end
  return z
end

-- score: as text, false removes the member
-- stored: the score, as text, that the member certainly has in Redis, or nil: it is read before the commit
local function set_score(z, member, score, stored)
  if z.score[member] == nil then
    local n = z.n + 1
    z.n, z.touched[n], z.known[member] = n, member, stored
  else
    z.is_rewritten = true
  end
  z.score[member] = score
  changed = changed + 1
end

-- Add a member, or move it. stored: as for set_score
function unit.add(z, member, score, stored)
  set_score(z, member, score, stored)
  z.existing[member] = nil
end

-- Add a member that is known to be absent.
function unit.add_new(z, member, score)
  if z.score[member] ~= nil then return unit.add(z, member, score) end
  local n, created = z.created_n, z.created
  created[n + 1], created[n + 2], z.created_n = score, member, n + 2
  z.score[member] = score
  changed = changed + 1
end

-- Move a member if it exists.
function unit.move(z, member, score)
  if z.score[member] == false then return end
  if z.score[member] == nil then z.existing[member] = true end
  set_score(z, member, score)
end

-- -> the score of a member as text, false if it is absent
function unit.get_score(z, member)
  local text = z.score[member]
  if text ~= nil and not z.existing[member] then return text end
  local stored = redis_call('ZMSCORE', z.key, member)[1]
  return stored and (text or stored)
end

-- stored: as for set_score
function unit.remove(z, member, stored)
  set_score(z, member, false, stored)
  z.existing[member] = nil
end

-- -> member -> stored score or false, for every buffered member that may exist
local function read_scores(z)
  local before, members = {}, {}
  for i = 1, z.n do
    local member = z.touched[i]
    local known = z.known[member]
    if known then before[member] = known else members[#members + 1] = member end
  end
  for from = 1, #members, ARGUMENTS_MAX do
    local some = { unpack(members, from, min(#members, from + ARGUMENTS_MAX - 1)) }
    for i, score in ipairs(redis_call('ZMSCORE', z.key, unpack(some))) do before[some[i]] = score end
  end
  return before
end

-- -> arguments of ZADD and of ZREM for what is buffered, and the scores before
local function list_members(z)
  local before, drop = read_scores(z), {}
  local add, n = list_created(z.created, z.created_n, z.score, z.is_rewritten, 1)
  for i = 1, z.n do
    local member = z.touched[i]
    local score = z.score[member]
    if score and (before[member] or not z.existing[member]) then
      add[n + 1], add[n + 2], n = score, member, n + 2
    elseif not score and before[member] then
      drop[#drop + 1] = member
    end
  end
  return add, drop, before
end

local function clear_zset(z)
  z.score, z.touched, z.n, z.existing, z.known = {}, {}, 0, {}, {}
  z.created, z.created_n, z.is_rewritten = {}, 0, false
end

-- -> functions that record the inverse of ZADD and ZREM. before: the scores before
local function zset_inverses(key, before)
  local function record(list, from, last, step)
    local members, scores = {}, {}
    for i = from, last, step do members[#members + 1], scores[#scores + 1] = list[i], before[list[i]] or false end
    record_scores(key, members, scores)
  end
  return function(list, from, last) record(list, from + 1, last, 2) end, function(list, from, last) record(list, from, last, 1) end
end

-- Writing ------------------------------------------------------------------------------------------------------

-- -> steps {command, key, arguments, inverse} that write all buffers
local function list_steps()
  local steps = {}
  for _, h in ipairs(hash_list) do
    if h.n + h.created_n > 0 then
      local set, delete = list_fields(h)
      local undo_set, undo_delete = hash_inverses(h.key, h.stored)
      if #set > 0 then steps[#steps + 1] = { 'HSET', h.key, set, undo_set } end
      if #delete > 0 then steps[#steps + 1] = { 'HDEL', h.key, delete, undo_delete } end
    end
  end
  for _, z in ipairs(zset_list) do
    if z.n + z.created_n > 0 then
      local add, drop, before = list_members(z)
      local undo_add, undo_drop = zset_inverses(z.key, before)
      if #add > 0 then steps[#steps + 1] = { 'ZADD', z.key, add, undo_add } end
      if #drop > 0 then steps[#steps + 1] = { 'ZREM', z.key, drop, undo_drop } end
    end
  end
  return steps
end

local function run_steps(steps)
  for _, step in ipairs(steps) do run_in_parts(step[1], step[2], step[3], step[4]) end
end

-- Write what is buffered for a key before the end of the call, since a command is about to read it.
local function write_early(key)
  local h, z = hashes[key], zsets[key]
  if h and h.n + h.created_n > 0 then
    local set, delete = list_fields(h)
    local before = {}
    for i = 1, h.n do before[h.touched[i]] = h.stored[h.touched[i]] end
    local undo_set, undo_delete = hash_inverses(key, before)
    guard()
    run_in_parts('HSET', key, set, undo_set)
    run_in_parts('HDEL', key, delete, undo_delete)
    clear_hash(h)
  end
  if z and z.n + z.created_n > 0 then
    local add, drop, before = list_members(z)
    local undo_add, undo_drop = zset_inverses(key, before)
    guard()
    run_in_parts('ZADD', key, add, undo_add)
    run_in_parts('ZREM', key, drop, undo_drop)
    clear_zset(z)
  end
end

-- command -> records its inverse; called before the command runs
local inverse = {}

function inverse.HSET(key, ...)
  local arguments, fields = { ... }, {}
  for i = 1, #arguments, 2 do fields[#fields + 1] = arguments[i] end
  record_fields(key, fields, redis_call('HMGET', key, unpack(fields)))
end

function inverse.HSETNX(key, field) record_fields(key, { field }, { redis_call('HGET', key, field) }) end

function inverse.HDEL(key, ...) record_fields(key, { ... }, redis_call('HMGET', key, ...)) end

function inverse.ZADD(key, ...)
  local arguments, members = { ... }, {}
  local first = arguments[1] == 'XX' and 3 or 2
  for i = first, #arguments, 2 do members[#members + 1] = arguments[i] end
  record_scores(key, members, redis_call('ZMSCORE', key, unpack(members)))
end

function inverse.ZREM(key, ...) record_scores(key, { ... }, redis_call('ZMSCORE', key, ...)) end

function inverse.DEL(key)
  local kind = redis_call('TYPE', key).ok
  local list = kind == 'hash' and redis_call('HGETALL', key) or kind == 'zset' and redis_call('ZRANGE', key, 0, -1, 'WITHSCORES') or {}
  local names, values = {}, {}
  for i = 1, #list, 2 do names[#names + 1], values[#values + 1] = list[i], list[i + 1] end
  local record = kind == 'hash' and record_fields or record_scores
  for from = 1, #names, ARGUMENTS_MAX do
    local last = min(#names, from + ARGUMENTS_MAX - 1)
    record(key, { unpack(names, from, last) }, { unpack(values, from, last) })
  end
end

-- -> the reply of a command. A write is undone if the call aborts.
call = function(command, ...)
  local key = ...
  last_key = key
  if key and (hashes[key] or zsets[key]) then write_early(key) end -- mutation: unit-writes-before-read
  if READS[command] then return redis_call(command, ...) end
  changed = changed + 1
  local before = journaled
  inverse[command](...) -- mutation: unit-records-inverse
  local added = journaled
  guard()
  -- The inverse of the guard was recorded after that of the command: harmless, both are undone together.
  local reply = redis_pcall(command, ...)
  if type(reply) == 'table' and reply.err then
    for i = before + 1, added do journal[i] = false end
    error(reply, 0)
  end
  if hashes[key] then hashes[key].stored = {} end
  return reply
end

-- Rename a key of the wrong type, before anything else is read. The zone's own key cannot be guarded: it is that key.
function unit.rename(key, to)
  if key ~= ZONE then guard() end
  run('RENAME', key, to)
  record_inverse('RENAME', to, key) -- mutation: unit-records-rename
end

-- -> the type of a key, whatever is buffered for it
function unit.get_type(key) return redis_call('TYPE', key).ok end

-- -> keys other than KEYS that the call used, as far as an error of its last command may concern them
function unit.list_other_keys()
  local keys = { last_key }
  for _, list in ipairs({ zset_list, hash_list }) do
    for _, handle in ipairs(list) do keys[#keys + 1] = handle.key end
  end
  return keys
end

-- Append an entry to a stream at the commit. arguments: those of XADD after the key
function unit.append(key, ...)
  appended[#appended + 1] = { key, ... }
  changed = changed + 1
end

-- Run a deletion after the commit: of data that no decision reads any more, so that nothing depends on it.
function unit.discard(...) discarded[#discarded + 1] = { ... } end -- mutation: unit-discards-last

-- Publish after the commit. A notification is a hint: its failure fails nothing.
function unit.publish(...) published[#published + 1] = { ... } end -- mutation: unit-publishes-last

-- The life of a call -------------------------------------------------------------------------------------------

-- is_new_zone: nothing is stored; meta: the stored meta text, or false
function unit.begin(is_new_zone, meta)
  is_new, stored_meta = is_new_zone, meta
end

-- State in the caches of the call changes now: an error from here on aborts the call, not the operation alone.
function unit.change() changed = changed + 1 end

-- -> a number that grows with every change
function unit.count_changes() return changed end

local function write_meta(meta)
  if is_new then run('HSET', ZONE, 'schema', SCHEMA, 'meta', meta) else run('HSET', ZONE, 'meta', meta) end
  is_guarded = true
  record_fields(ZONE, is_new and { 'schema', 'meta' } or { 'meta' }, is_new and { false, stored_meta } or { stored_meta })
end

local function append_all()
  for _, one in ipairs(appended) do
    local id = run('XADD', unpack(one))
    record_inverse('XDEL', one[1], id) -- mutation: unit-records-append
  end
end

-- After the commit: what may fail.
local function finish()
  for _, one in ipairs(discarded) do redis_pcall(unpack(one)) end
  for _, one in ipairs(published) do redis_pcall('PUBLISH', unpack(one)) end
end

-- Write everything. Raises what Redis answered, with nothing written; then abort must follow.
function unit.commit(meta)
  local steps = list_steps()
  write_meta(meta) -- mutation: unit-writes-meta-first
  run_steps(steps)
  append_all()
  finish()
end

local IS_DELETION = set_of({ 'HDEL', 'ZREM' }) -- mutation: unit-deletes-first

-- Commit where Redis is full: deletions first, since Redis grants them always, and the others after them.
-- -> false, with nothing written, if there are none
function unit.commit_deletions_first(meta)
  local first, then_others = {}, {}
  for _, step in ipairs(list_steps()) do
    local list = IS_DELETION[step[1]] and first or then_others
    list[#list + 1] = step
  end
  if #first == 0 then return false end
  run_steps(first)
  write_meta(meta)
  run_steps(then_others)
  finish()
  return true
end

-- Undo what was written and forget what is buffered: the call changed nothing.
-- -> false if a command of the undo failed
function unit.abort()
  local is_undone = true
  local commands, n = journal, journaled
  for i = n, 1, -1 do -- mutation: unit-undoes-in-reverse
    local entry = commands[i]
    journal, journaled = {}, 0
    if entry and entry.inverse then
      entry.inverse(entry.list, entry.from, entry.last)
    elseif entry then
      journal, journaled = { entry }, 1
    end
    for j = journaled, 1, -1 do
      local reply = redis_pcall(unpack(journal[j]))
      if type(reply) == 'table' and reply.err then is_undone = false end -- mutation: unit-notices-failed-undo
    end
  end
  unit.reset()
  return is_undone
end

-- An undo failed: say so in the zone, if Redis takes writes now. -> whether the mark is stored
function unit.mark_failed_undo()
  local text = redis_pcall('HGET', ZONE, 'meta')
  local is_read, found = pcall(decode, text)
  if not is_read or type(found) ~= 'table' then return false end
  found.undo_failed = (found.undo_failed or 0) + 1
  local reply = redis_pcall('HSET', ZONE, 'meta', encode(found))
  return type(reply) ~= 'table'
end

-- Forget all buffers.
function unit.reset()
  hashes, zsets, hash_list, zset_list, journal, journaled = {}, {}, {}, {}, {}, 0
  appended, discarded, published, is_guarded = {}, {}, {}, false
end

-- Notify all replicas at the end of the call: "poll ZONE" the pollers, "room ZONE ..." the waiting requests.
local function publish(what, ...)
  if CHANNEL then unit.publish(CHANNEL, concat({ what, match(ZONE, '{(.-)}'), ... }, ' ')) end
end

return publish
