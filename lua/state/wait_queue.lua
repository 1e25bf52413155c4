-- state/wait_queue.lua: the places of those who wait, on whatever replica: first come first served inside a
-- campaign and pool set (a group). A place blocks later ones while its replica lives and its time runs.
--
-- queue   zset, every score 0, so that it is in the order of its members:
--         "group since arrival request_id"; since = when the request was first seen
-- waiters hash, campaign/request_id -> JSON: place (member of queue), since, ends (ms), replica, body,
--         reason, pool, about_room, retry_after_ms (the last denial), hungry {pool: true}
-- arrived zset, campaign/request_id, score = since
-- meta    waiters (places), arrivals, beats {replica: alive until}, held_back (somebody is denied fair_share)
local idempotency, notify = need('idempotency'), need('notify')
local wait_queue = {}

local WAITERS_MAX = 20000 -- places of the zone
local GROUP_MAX = 5000    -- places of one group
local WAIT_MS_MAX = 35000 -- longer than any request may wait
local BEAT_MS = 3000      -- a replica that was not heard of for so long is dead
local LOOKS = 100         -- dead places that one look, or one call, takes away

-- What is waited for: campaign, channel, application, MPP, named pools. No name has a space in it.
function wait_queue.make_group(ask)
  local op, named = ask.op, { unpack(ask.named) }
  table.sort(named)
  local parts = { op.campaign, ask.channel, op.application or '', op.mpp or '', table.concat(named, ',') }
  return table.concat(parts, '/')
end

function wait_queue.get_group(e) return string.match(e.place, '^%S+') end

function wait_queue.read(key)
  local text = call('HGET', WAITERS, key)
  return text and text ~= '' and decode(text) or nil
end

function wait_queue.write(key, e) call('HSET', WAITERS, key, encode(e)) end

local function from_to(prefix, last) return '[' .. prefix, '(' .. string.sub(prefix, 1, -2) .. last end

-- Members are "group ...": a space ends the group, '!' is the character after it.
local function members(group) return from_to(group .. ' ', '!') end

local function has_others(campaign)
  local from, to = from_to(campaign .. '/', '0')
  return call('ZRANGEBYLEX', QUEUE, from, to, 'LIMIT', 0, 1)[1] ~= nil
end

function wait_queue.remove(key, e)
  call('ZREM', QUEUE, e.place)
  call('ZREM', ARRIVED, key)
  call('HDEL', WAITERS, key)
  meta.waiters = meta.waiters - 1
  if meta.waiters <= 0 then meta.waiters, meta.beats, meta.held_back = 0, nil, nil end
  local campaign = string.match(key, '^[^/]+')
  for name in pairs(e.hungry) do
    need('fair_share').stop_contending(need('pool').get(name), campaign, has_others(campaign))
  end
end

function wait_queue.is_alive(e)
  return e.ends >= now and (meta.beats and meta.beats[e.replica] or 0) >= now
end

-- -> key and entry of the first live place of the group, or nil
function wait_queue.find_first(group)
  local from, to = members(group)
  for _ = 1, LOOKS do
    local place = call('ZRANGEBYLEX', QUEUE, from, to, 'LIMIT', 0, 1)[1]
    if not place then return nil end
    local key = idempotency.key({ campaign = string.match(group, '^[^/]+'), request_id = string.match(place, '%S+$') })
    local e = wait_queue.read(key)
    if e and e.place == place and wait_queue.is_alive(e) then return key, e end
    if e and e.place == place then wait_queue.remove(key, e) else call('ZREM', QUEUE, place) end
  end
end

-- -> a new place at the end of the group, or nil if too many wait
function wait_queue.join(ask, group)
  local op, from, to = ask.op, members(group)
  if (meta.waiters or 0) >= WAITERS_MAX or call('ZLEXCOUNT', QUEUE, from, to) >= GROUP_MAX then return nil end
  if not has_waiters() then
    -- The sentinels; of a zone that is older than its waiters too.
    call('ZADD', QUEUE, 0, '')
    call('ZADD', ARRIVED, FOREVER, '')
    call('HSET', WAITERS, '', '')
    need('pool').each(notify.measure)
  end
  meta.waiters, meta.arrivals = (meta.waiters or 0) + 1, (meta.arrivals or 0) + 1
  local since = op.seen or now
  local place = string.format('%s %015.0f %012.0f %s', group, since, meta.arrivals, op.request_id)
  call('ZADD', QUEUE, 0, place)
  call('ZADD', ARRIVED, since, idempotency.key(op))
  return { place = place, since = since, ends = 0, body = op.body, hungry = {} }
end

-- The replica lives.
function wait_queue.record_heartbeat(replica)
  meta.beats = meta.beats or {}
  for name, alive_until in pairs(meta.beats) do
    if alive_until < now then meta.beats[name] = nil end
  end
  meta.beats[replica] = now + BEAT_MS
end

-- Places that nobody looked at since their time was up.
function wait_queue.remove_overdue()
  for _, key in ipairs(call('ZRANGEBYSCORE', ARRIVED, '-inf', '(' .. now - WAIT_MS_MAX, 'LIMIT', 0, LOOKS)) do
    local e = wait_queue.read(key)
    if e then wait_queue.remove(key, e) else call('ZREM', ARRIVED, key) end
  end
end

-- -> places, for a zone's status
function wait_queue.count() return meta.waiters or 0 end

-- -> ms that the longest waits already, for a zone's status
function wait_queue.get_longest_wait()
  if not has_waiters() then return 0 end
  return max(0, now - tonumber(call('ZRANGE', ARRIVED, 0, 0, 'WITHSCORES')[2]))
end

return wait_queue
