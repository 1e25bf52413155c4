-- state/unit_of_work.lua: a call commits all of its writes, or none.
--
-- This file is the only one that writes to Redis; state/undo.lua takes writes back. The call begins (main.lua), operations
-- change state, and the call
-- commits once, at its end. An error before that discards the buffers; an error in the middle of the commit undoes what
-- the commit wrote. So no other call ever sees half of a call.
--
-- Buffered (records, requests, deadlines, pools, shares, pending sets), through a handle for each key:
--   unit.hash(key)    get, load, create, put        unit.zset(key)    set_score, add_new, move, get_score
-- Immediate (all other keys): call(COMMAND, key, ...) writes at once and records the inverse command; call with a
-- reading command first writes what is buffered for its key, so a read always sees the writes of its call.
--
-- The first write of a call needs memory (HSET is a denyoom command), and Redis refuses such commands only until the
-- first write of a script: a full Redis refuses the call before anything changed.
-- (scriptVerifyOOM in src/script.c of Redis 7; luaRedisGenericCommand in src/scripting.c of 6.2)

local redis_call, redis_pcall = redis.call, redis.pcall

local ARGUMENTS_MAX = 2000 -- of one command: unpack is limited by the Lua stack (LUAI_MAXCSTACK, 8000)

local READS = {
  GET = true, HGET = true, HGETALL = true, HKEYS = true, HLEN = true, HMGET = true, HSCAN = true, INFO = true, TIME = true, TYPE = true,
  XREVRANGE = true, ZCARD = true, ZCOUNT = true, ZLEXCOUNT = true, ZMSCORE = true, ZRANGE = true, ZRANGEBYLEX = true, ZRANGEBYSCORE = true,
}

-- Every call makes the tables below anew, so those of a handle that few calls need begin as false.
local hashes, zsets = {}, {}        -- key -> handle
local hash_list, zset_list = {}, {} -- handles in the order of their first use: a call writes in the same order always
-- What was written, oldest first. state/undo.lua writes it back: {verb, key, list, from, last, before} is a command of the
-- commit; every other entry is an inverse command.
local journal, journaled = {}, 0
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

-- The first write of the call: needs memory and changes nothing of an existing zone.
local function guard()
  if is_guarded then return end
  run('HSET', ZONE, 'schema', SCHEMA) -- mutation: unit-guards-first
  is_guarded = true
  if is_new then record_inverse('HDEL', ZONE, 'schema') end
end

-- Buffered writes --------------------------------------------------------------------------------------------

-- The final state of a name is not yet known, or what it overwrites: the commit looks at it once more.
local function touch(handle, name)
  local n = handle.n + 1
  handle.n = n
  if n == 1 then handle.touched = { name } else handle.touched[n] = name end
end

-- -> names and values of a list without those that were removed later, with the values that they have now; and the length
-- first: 0 if names precede values
local function list_current(list, n, values, first)
  local current, length = {}, 0
  for i = 1, n, 2 do
    local name = list[i + first]
    local value = values[name]
    if value then current[length + 1 + first], current[length + 2 - first], length = name, value, length + 2 end
  end
  return current, length
end

-- Call read with parts of a list that are short enough for one command.
local function read_in_parts(command, key, names, values)
  local n = #names
  if n == 0 then return end
  if n <= ARGUMENTS_MAX then
    local found = redis_call(command, key, unpack(names))
    for i = 1, n do values[names[i]] = found[i] end
    return
  end
  for from = 1, #names, ARGUMENTS_MAX do
    local found = redis_call(command, key, unpack(names, from, min(#names, from + ARGUMENTS_MAX - 1)))
    for i = 1, #found do values[names[from + i - 1]] = found[i] end
  end
end

-- -> the handle of a hash
-- stored: field -> text in Redis, as far as it was read; value: field -> buffered text, false: deleted
-- set: arguments of HSET, set_n of them: fields whose stored text is known; touched: n other fields
-- is_rewritten: a field was buffered twice
function unit.hash(key)
  local hash = hashes[key]
  if not hash then
    hash = { key = key, stored = {}, value = {}, set = false, set_n = 0, touched = false, n = 0, is_rewritten = false }
    hashes[key], hash_list[#hash_list + 1] = hash, hash
  end
  return hash
end

-- -> the text of a field, false if it is absent
function unit.get(hash, field)
  local text = hash.value[field]
  if text ~= nil then return text end
  text = hash.stored[field]
  if text == nil then
    text = redis_call('HGET', hash.key, field)
    hash.stored[field] = text
  end
  return text
end

-- Read several fields with one command, for later use of get.
function unit.load(hash, fields)
  local stored, value, missing, n = hash.stored, hash.value, {}, 0
  for i = 1, #fields do
    local field = fields[i]
    if stored[field] == nil and value[field] == nil then
      n = n + 1
      missing[n] = field
    end
  end
  if n > 0 then read_in_parts('HMGET', hash.key, missing, stored) end
end

-- Write a field that is known to be absent, or whose stored text was read.
function unit.create(hash, field, text)
  local value = hash.value
  if value[field] ~= nil then return unit.put(hash, field, text) end
  local n, set = hash.set_n, hash.set
  if n == 0 then hash.set = { field, text } else set[n + 1], set[n + 2] = field, text end
  hash.set_n = n + 2
  value[field] = text
  changed = changed + 1
end

-- text: false deletes the field
function unit.put(hash, field, text)
  local before = hash.value[field]
  if before == nil and text and hash.stored[field] ~= nil then return unit.create(hash, field, text) end
  if before ~= nil then hash.is_rewritten = true end
  if before == nil or not text then touch(hash, field) end
  hash.value[field] = text
  changed = changed + 1
end

-- Read the touched fields that were never read: an undo writes them back.
local function read_touched(hash)
  local stored, touched, missing = hash.stored, hash.touched, {}
  for i = 1, hash.n do
    if stored[touched[i]] == nil then missing[#missing + 1] = touched[i] end
  end
  read_in_parts('HMGET', hash.key, missing, stored)
end

-- -> arguments of HSET for what is buffered, their number, and those of HDEL or nil
local function list_fields(hash)
  local set, n = hash.set, hash.set_n
  if hash.is_rewritten then set, n = list_current(set, n, hash.value, 0) end
  if hash.n == 0 then return set, n end
  read_touched(hash)
  local stored, value, touched, delete = hash.stored, hash.value, hash.touched, {}
  set = set or {}
  for i = 1, hash.n do
    local field = touched[i]
    local text = value[field]
    if text then
      set[n + 1], set[n + 2], n = field, text, n + 2
    elseif stored[field] then
      delete[#delete + 1] = field
    end
  end
  return set, n, delete
end

local function clear_hash(hash)
  local stored, value, touched, set = hash.stored, hash.value, hash.touched, hash.set
  for i = 1, hash.n do stored[touched[i]] = value[touched[i]] end
  for i = 1, hash.set_n, 2 do stored[set[i]] = value[set[i]] end
  hash.value, hash.set, hash.set_n, hash.touched, hash.n, hash.is_rewritten = {}, false, 0, false, 0, false
end

local IF_EXISTS = true

-- -> the handle of a sorted set
-- score: member -> buffered score as text, false: removed
-- known: member -> the score that it certainly has in Redis, or IF_EXISTS: its buffered score counts only if it exists there
-- adds: arguments of ZADD, adds_n of them, and drops: arguments of ZREM, drops_n of them: members whose stored score is known;
-- touched: n other members; is_rewritten: a member was buffered twice
function unit.zset(key)
  local zset = zsets[key]
  if not zset then
    zset = {
      key = key, score = {}, known = false, adds = false, adds_n = 0, drops = false, drops_n = 0, touched = false, n = 0,
      is_rewritten = false,
    }
    zsets[key], zset_list[#zset_list + 1] = zset, zset
  end
  return zset
end

-- Add a member that is known to be absent, or whose stored score is known.
function unit.add_new(zset, member, score)
  local scores = zset.score
  if scores[member] ~= nil then return unit.set_score(zset, member, score) end
  local n, adds = zset.adds_n, zset.adds
  if n == 0 then zset.adds = { score, member } else adds[n + 1], adds[n + 2] = score, member end
  zset.adds_n = n + 2
  scores[member] = score
  changed = changed + 1
end

-- Add a member, move it or remove it. score: as text, false removes the member
-- stored: the score, as text, that the member certainly has in Redis, or nil: it is read before the commit
function unit.set_score(zset, member, score, stored)
  local known, scores = zset.known or {}, zset.score
  zset.known = known
  local is_first = scores[member] == nil
  if is_first or known[member] == IF_EXISTS then known[member] = stored end
  if is_first and stored and stored ~= IF_EXISTS then
    if score then return unit.add_new(zset, member, score) end
    local n = zset.drops_n + 1
    if n == 1 then zset.drops = { member } else zset.drops[n] = member end
    zset.drops_n = n
  else
    zset.is_rewritten = not is_first or zset.is_rewritten
    touch(zset, member)
  end
  scores[member] = score
  changed = changed + 1
end

-- Does the buffered score of a member count only if it exists?
local function is_conditional(zset, member) return zset.known and zset.known[member] == IF_EXISTS end

-- Move a member if it exists.
function unit.move(zset, member, score)
  local buffered = zset.score[member]
  if buffered == false then return end
  unit.set_score(zset, member, score, (buffered == nil or is_conditional(zset, member)) and IF_EXISTS or nil)
end

-- -> the score of a member as text, false if it is absent
function unit.get_score(zset, member)
  local text = zset.score[member]
  if text ~= nil and not is_conditional(zset, member) then return text end
  local stored = redis_call('ZMSCORE', zset.key, member)[1]
  return stored and (text or stored)
end

-- Read the scores that touched members have in Redis into zset.known; false: absent.
local function read_scores(zset)
  local known, scores, missing, found = zset.known, zset.score, {}, {}
  for i = 1, zset.n do
    local score = known[zset.touched[i]]
    if score == nil or score == IF_EXISTS then missing[#missing + 1] = zset.touched[i] end
  end
  read_in_parts('ZMSCORE', zset.key, missing, found)
  for member, score in pairs(found) do
    if known[member] == IF_EXISTS and not score then scores[member] = nil end -- nothing to move
    known[member] = score
  end
end

-- -> arguments of ZADD for what is buffered, their number, those of ZREM, and theirs
local function list_members(zset)
  local scores, adds, n, drops, drops_n = zset.score, zset.adds, zset.adds_n, zset.drops, zset.drops_n
  if zset.is_rewritten then adds, n = list_current(adds, n, scores, 1) end
  if zset.n == 0 then return adds, n, drops, drops_n end
  read_scores(zset)
  adds, drops = adds or {}, drops or {}
  for i = 1, zset.n do
    local member = zset.touched[i]
    local score = scores[member]
    if score then
      adds[n + 1], adds[n + 2], n = score, member, n + 2
    elseif score == false and zset.known[member] then
      drops[drops_n + 1], drops_n = member, drops_n + 1
    end
  end
  return adds, n, drops, drops_n
end

local function clear_zset(zset)
  zset.score, zset.known, zset.adds, zset.adds_n, zset.drops, zset.drops_n = {}, false, false, 0, false, 0
  zset.touched, zset.n, zset.is_rewritten = false, 0, false
end

-- Writing ------------------------------------------------------------------------------------------------------

local postponed -- commands that add something, while deletions come first; nil: in the order of the buffers
local IS_DELETION = { HDEL = true, ZREM = true } -- mutation: unit-deletes-first

-- Run a command of the commit, with a long list of arguments in parts. before: what it overwrites: field -> text, or member -> score
local function write(verb, key, list, n, before)
  if postponed and not IS_DELETION[verb] then
    postponed[#postponed + 1] = { verb, key, list, n, before }
    return
  end
  for from = 1, n, ARGUMENTS_MAX do
    local last = n < from + ARGUMENTS_MAX and n or from + ARGUMENTS_MAX - 1
    run(verb, key, unpack(list, from, last))
    local step = { verb = verb, key = key, list = list, from = from, last = last, before = before }
    journal[journaled + 1], journaled = step, journaled + 1 -- mutation: unit-records-commit
  end
end

local function write_hash(hash, before)
  local set, n, delete = list_fields(hash)
  if n > 0 then write('HSET', hash.key, set, n, before or hash.stored) end
  if delete then write('HDEL', hash.key, delete, #delete, before or hash.stored) end
end

-- A member that was dropped and added again stands in both lists, so deletions come first.
local function write_zset(zset)
  local adds, n, drops, drops_n = list_members(zset)
  if drops_n > 0 then write('ZREM', zset.key, drops, drops_n, zset.known) end
  if n > 0 then write('ZADD', zset.key, adds, n, zset.known) end
end

local function write_buffers()
  for i = 1, #hash_list do
    local hash = hash_list[i]
    if hash.n + hash.set_n > 0 then write_hash(hash) end
  end
  for i = 1, #zset_list do
    local zset = zset_list[i]
    if zset.n + zset.adds_n + zset.drops_n > 0 then write_zset(zset) end
  end
end

-- Write what is buffered for a key before the end of the call, since a command is about to read it.
local function write_early(key)
  local hash, zset = hashes[key], zsets[key]
  if hash and hash.n + hash.set_n > 0 then
    local before = {} -- hash.stored is about to change
    read_touched(hash)
    for field in pairs(hash.value) do before[field] = hash.stored[field] end
    guard()
    write_hash(hash, before)
    clear_hash(hash)
  end
  if zset and zset.n + zset.adds_n + zset.drops_n > 0 then
    guard()
    write_zset(zset)
    clear_zset(zset)
  end
end

-- -> the reply of a command. A write is undone if the call aborts.
call = function(command, ...)
  local key = ...
  last_key = key
  if hashes[key] or zsets[key] then write_early(key) end -- mutation: unit-writes-before-read
  if READS[command] then return redis_call(command, ...) end
  changed = changed + 1
  local inverse = need('undo').invert(command, ...)
  guard()
  local reply = run(command, ...)
  for _, one in ipairs(inverse) do record_inverse(unpack(one)) end -- mutation: unit-records-inverse
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
  if is_new then record_inverse('HDEL', ZONE, 'schema', 'meta') else record_inverse('HSET', ZONE, 'meta', stored_meta) end
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

-- Write everything. Raises what Redis answered; then abort must follow.
function unit.commit(meta)
  write_meta(meta) -- mutation: unit-writes-meta-first
  write_buffers()
  append_all()
  finish()
end

-- Commit where Redis is full: deletions first, since Redis grants them always, and the others after them.
-- -> false, with nothing written, if there are none
function unit.commit_deletions_first(meta)
  local later, before = {}, journaled
  postponed = later
  write_buffers()
  postponed = nil
  if journaled == before then return false end
  write_meta(meta)
  for _, one in ipairs(later) do write(unpack(one)) end
  finish()
  return true
end

-- Undo what was written and forget what is buffered: the call changed nothing.
-- -> false if a command of the undo failed
function unit.abort()
  local is_undone = journaled == 0 or need('undo').run(journal, journaled)
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
  appended, discarded, published, is_guarded, postponed = {}, {}, {}, false, nil
end

-- Notify all replicas at the end of the call: "poll ZONE" the pollers, "room ZONE ..." the waiting requests.
local function publish(what, ...)
  if CHANNEL then unit.publish(CHANNEL, concat({ what, match(ZONE, '{(.-)}'), ... }, ' ')) end
end

return publish
