-- state/undo.lua: the commands that take back what a call wrote (state/unit_of_work.lua).
-- Few calls need them: those that write keys at once, and those that abort.
local undo = {}

local redis_call, redis_pcall = redis.call, redis.pcall

local ARGUMENTS_MAX = 2000 -- of one command, as in state/unit_of_work.lua

-- -> commands that write those texts back; false: the field was absent
local function restore_fields(key, fields, texts)
  local set, absent, commands = { 'HSET', key }, { 'HDEL', key }, {}
  for i = 1, #fields do
    if texts[i] then
      set[#set + 1], set[#set + 2] = fields[i], texts[i]
    else
      absent[#absent + 1] = fields[i]
    end
  end
  if #absent > 2 then commands[1] = absent end
  if #set > 2 then commands[#commands + 1] = set end
  return commands
end

-- -> commands that write those scores back; false: the member was absent
local function restore_scores(key, members, scores)
  local add, absent, commands = { 'ZADD', key }, { 'ZREM', key }, {}
  for i = 1, #members do
    if scores[i] then
      add[#add + 1], add[#add + 2] = scores[i], members[i]
    else
      absent[#absent + 1] = members[i]
    end
  end
  if #absent > 2 then commands[1] = absent end
  if #add > 2 then commands[#commands + 1] = add end
  return commands
end

-- command that is about to run -> the commands that take it back, in the order in which they are recorded
local inverse = {}

function inverse.HSET(key, ...)
  local arguments, fields = { ... }, {}
  for i = 1, #arguments, 2 do fields[#fields + 1] = arguments[i] end
  return restore_fields(key, fields, redis_call('HMGET', key, unpack(fields)))
end

function inverse.HSETNX(key, field) return restore_fields(key, { field }, { redis_call('HGET', key, field) }) end

function inverse.HDEL(key, ...) return restore_fields(key, { ... }, redis_call('HMGET', key, ...)) end

function inverse.ZADD(key, ...)
  local arguments, members = { ... }, {}
  local first = arguments[1] == 'XX' and 3 or 2
  for i = first, #arguments, 2 do members[#members + 1] = arguments[i] end
  return restore_scores(key, members, redis_call('ZMSCORE', key, unpack(members)))
end

function inverse.ZREM(key, ...) return restore_scores(key, { ... }, redis_call('ZMSCORE', key, ...)) end

function inverse.DEL(key)
  local kind = redis_call('TYPE', key).ok
  local list = kind == 'hash' and redis_call('HGETALL', key) or kind == 'zset' and redis_call('ZRANGE', key, 0, -1, 'WITHSCORES') or {}
  local names, values, commands = {}, {}, {}
  for i = 1, #list, 2 do names[#names + 1], values[#values + 1] = list[i], list[i + 1] end
  local restore = kind == 'hash' and restore_fields or restore_scores
  for from = 1, #names, ARGUMENTS_MAX do
    local last = min(#names, from + ARGUMENTS_MAX - 1)
    local some = restore(key, { unpack(names, from, last) }, { unpack(values, from, last) })
    for _, one in ipairs(some) do commands[#commands + 1] = one end
  end
  return commands
end

-- -> the commands that take back a write which is about to run. Raises an error if it has no inverse.
function undo.invert(command, ...) return inverse[command](...) end

-- command of a commit -> place of the first name in its list, step to the next, and how values are written back
local FORMS = {
  HSET = { 0, 2, restore_fields }, HDEL = { 0, 1, restore_fields }, ZADD = { 1, 2, restore_scores }, ZREM = { 0, 1, restore_scores },
}

local function invert_commit(entry)
  local first, step, restore = unpack(FORMS[entry.verb])
  local names, values = {}, {}
  for i = entry.from + first, entry.last, step do
    local name = entry.list[i]
    names[#names + 1], values[#values + 1] = name, entry.before and entry.before[name] or false
  end
  return restore(entry.key, names, values)
end

-- Take back what the journal says, the newest first. -> false if a command failed
function undo.run(journal, n)
  local is_undone = true
  for i = n, 1, -1 do -- mutation: unit-undoes-in-reverse
    local entry = journal[i]
    for _, command in ipairs(entry.verb and invert_commit(entry) or { entry }) do
      local reply = redis_pcall(unpack(command))
      if type(reply) == 'table' and reply.err then is_undone = false end -- mutation: unit-notices-failed-undo
    end
  end
  return is_undone
end

return undo
