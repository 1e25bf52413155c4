-- state/wait_queue.lua: the places of waiting requests, on whatever replica: first come first served inside a
-- campaign and pool set (a group). Storage only; commands/wait.lua decides.
--
-- queue   zset, every score 0, so that the members are in their own order:
--         "group since arrival request_id"; since = when the request was first seen
-- waiters hash, campaign/request_id -> JSON: place (member of queue), since, ends (ms), replica, body,
--         reason, pool, about_room, retry_after_ms (the last denial), hungry {pool: true} (contended pools)
--         caller (who asks: a token or an address)
-- arrived zset, campaign/request_id, score = since
-- CONTENTION..callers  hash, "caller" and "caller group" -> its places. It is absent while no request waits.
-- meta    waiters (places), arrivals, beats {replica: alive until}
local idempotency = need('idempotency')
local wait_queue = {}

local WAITERS_MAX = 20000 -- places of the zone
local GROUP_MAX = 5000    -- places of one group
local WAIT_MS_MAX = 35000 -- longer than any request may wait
local BEAT_MS = 3000      -- a replica without a heartbeat for so long is dead
local READ_MAX = 100      -- overdue places read in one call
-- A caller may have as many times as many places as are free: alone 4/5 of all, several greedy ones equal parts, and a caller
-- without one always finds one. As in each replica (service/waiting/coordinator.py), for all replicas together.
local SHARE = 4
local CALLERS = CONTENTION .. 'callers'

-- -> what the request waits for: campaign, channel, application, MPP, named pools. No name has a space in it.
function wait_queue.make_group(ask)
  local op, named = ask.op, { unpack(ask.named) }
  table.sort(named)
  local parts = { op.campaign, ask.channel, op.application or '', op.mpp or '', concat(named, ',') }
  return concat(parts, '/')
end

function wait_queue.get_group(entry) return match(entry.place, '^%S+') end

function wait_queue.read(key)
  local text = call('HGET', WAITERS, key)
  if not text or text == '' then return nil end
  local ok, entry = pcall(decode, text)
  if ok and type(entry) == 'table' and entry.place and entry.ends and entry.hungry then return entry end
  need('aside').keep('waiter', key, text)
  call('HDEL', WAITERS, key)
  return nil
end

function wait_queue.write(key, entry) call('HSET', WAITERS, key, encode(entry)) end

local function get_range(prefix, last) return '[' .. prefix, '(' .. sub(prefix, 1, -2) .. last end

-- Members are "group ...": a space ends the group, '!' is the character after it.
local function get_group_range(group) return get_range(group .. ' ', '!') end

-- Does a request of the campaign wait?
function wait_queue.has_waiters_of(campaign)
  local from, to = get_range(campaign .. '/', '0')
  return call('ZRANGEBYLEX', QUEUE, from, to, 'LIMIT', 0, 1)[1] ~= nil
end

function wait_queue.is_alive(entry)
  return entry.ends >= now and (meta.beats and meta.beats[entry.replica] or 0) >= now
end

-- -> key and entry of the first place of the group, or nil; entry is nil for a place without one
function wait_queue.read_first(group)
  local from, to = get_group_range(group)
  local place = call('ZRANGEBYLEX', QUEUE, from, to, 'LIMIT', 0, 1)[1]
  if not place then return nil end
  local key = idempotency.key({ campaign = match(group, '^[^/]+'), request_id = match(place, '%S+$') })
  local entry = wait_queue.read(key)
  if entry and entry.place == place then return key, entry end
  return key, nil, place
end

local function count_places(field) return tonumber(call('HGET', CALLERS, field) or 0) or 0 end

-- by: 1 or -1
local function change_places(caller, group, by)
  if not caller then return end -- a replica of an older version asked
  for _, field in ipairs({ caller, caller .. ' ' .. group }) do
    local n = count_places(field) + by
    if n > 0 then call('HSET', CALLERS, field, n) else call('HDEL', CALLERS, field) end
  end
end

-- May the caller have one more place, of the zone and of the group?
local function has_share(caller, group, free, free_of_group)
  if free <= 0 or free_of_group <= 0 then return false end
  if not caller then return true end
  return count_places(caller) < SHARE * free and count_places(caller .. ' ' .. group) < SHARE * free_of_group
end

-- -> a new entry at the end of the group, to be written, or nil if too many requests wait
function wait_queue.add(ask, group)
  local op, from, to = ask.op, get_group_range(group)
  local free, free_of_group = WAITERS_MAX - (meta.waiters or 0), GROUP_MAX - call('ZLEXCOUNT', QUEUE, from, to)
  if not has_share(op.caller, group, free, free_of_group) then return nil end
  if not has_waiters() then
    -- The sentinels, which a zone older than its queue does not have.
    call('ZADD', QUEUE, 0, '')
    call('ZADD', ARRIVED, FOREVER, '')
    call('HSET', WAITERS, '', '')
  end
  meta.waiters, meta.arrivals = (meta.waiters or 0) + 1, (meta.arrivals or 0) + 1
  local since = op.seen or now
  local place = format('%s %015.0f %012.0f %s', group, since, meta.arrivals, op.request_id)
  call('ZADD', QUEUE, 0, place)
  call('ZADD', ARRIVED, since, idempotency.key(op))
  change_places(op.caller, group, 1)
  return { place = place, since = since, ends = 0, body = op.body, hungry = {}, caller = op.caller }
end

function wait_queue.remove(key, entry)
  call('ZREM', QUEUE, entry.place)
  call('ZREM', ARRIVED, key)
  call('HDEL', WAITERS, key)
  change_places(entry.caller, wait_queue.get_group(entry), -1)
  meta.waiters = meta.waiters - 1
  if meta.waiters <= 0 then
    meta.waiters, meta.beats = 0, nil
    call('DEL', CALLERS)
  end
end

-- A place that has no entry, and an arrival that has none.
function wait_queue.remove_place(place) call('ZREM', QUEUE, place) end
function wait_queue.remove_arrival(key) call('ZREM', ARRIVED, key) end

-- The replica is alive.
function wait_queue.record_heartbeat(replica)
  meta.beats = meta.beats or {}
  for name, alive_until in pairs(meta.beats) do
    if alive_until < now then meta.beats[name] = nil end
  end
  meta.beats[replica] = now + BEAT_MS
end

-- -> keys of requests that have waited longer than any may, oldest first
function wait_queue.list_overdue()
  return call('ZRANGEBYSCORE', ARRIVED, '-inf', '(' .. now - WAIT_MS_MAX, 'LIMIT', 0, READ_MAX)
end

function wait_queue.count() return meta.waiters or 0 end

-- -> ms that the oldest waiter has waited
function wait_queue.get_longest_wait()
  if not has_waiters() then return 0 end
  return max(0, now - tonumber(call('ZRANGE', ARRIVED, 0, 0, 'WITHSCORES')[2] or now))
end

return wait_queue
