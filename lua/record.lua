-- record.lua: a reservation in the res hash: a JSON array in the order of FIELDS, false = not known.
--   granted_at, visible_by, deadline   zone time in ms
--   state          live | releasing (told to end, its port not free yet) | ended | expired
--   campaign, channel, mpp, owner, session, request_id   strings
--   pools          every pool that it occupies
--   taken          the platform is known to have given it a port
--   launched_at, reported_at   first launched report, newest report
--   ended_at       when the call ended, as reported
--   released_at    when it left its pools
--   outcome        as reported
--   answer_within, max_call    ms, as policy had them at the grant
--   adopted        restated by its dialer after a loss or an expiry
local record = {}

record.FIELDS = {
  'granted_at', 'visible_by', 'deadline', 'state', 'campaign', 'channel', 'mpp', 'owner', 'pools',
  'taken', 'launched_at', 'reported_at', 'ended_at', 'released_at', 'outcome', 'session',
  'request_id', 'answer_within', 'max_call', 'adopted',
}

-- -> record or nil
function record.read(id)
  local text = call('HGET', RES, id)
  if not text or text == '' then return nil end
  local r, values = { id = id }, decode(text)
  for i, name in ipairs(record.FIELDS) do r[name] = values[i] end
  return r
end

-- due_at: when due.lua looks at it next, or nil to leave that as it is
function record.write(r, due_at)
  local values = {}
  for i, name in ipairs(record.FIELDS) do values[i] = r[name] or false end
  call('HSET', RES, r.id, encode(values))
  if due_at then call('ZADD', DUE, due_at, r.id) end
end

function record.is_live(r)
  return r.state == 'live'
end

-- A live one past its deadline that nobody reaped yet is as good as expired.
function record.is_overdue(r)
  return r.state == 'live' and now > r.deadline
end

-- What dialers see of the state: told to end is ended.
function record.public_state(r)
  return r.state == 'releasing' and 'ended' or r.state
end

-- Forget it, and with the last of a request's reservations what was granted to the request.
function record.forget(r)
  call('HDEL', RES, r.id)
  call('ZREM', DUE, r.id)
  if not r.request_id then return end
  local key = r.campaign .. '/' .. r.request_id
  local text = call('HGET', REQ, key)
  if not text then return end
  local q = decode(text)
  q.remain = q.remain - 1
  if q.remain <= 0 then call('HDEL', REQ, key) else call('HSET', REQ, key, encode(q)) end
end

return record
