-- asked.lua: what was granted to a request, so that a repeat gets it again: the req hash, as text.
--
--   id body granted remain replayed granted_at launch_within channel mpp answer_within
--   id: = when the request's own name is r-ID, as it is when its dialer gave it none
--   remain: its reservations not yet forgotten; replayed: r if a repeat was answered; mpp: empty: not known
local asked = {}

local LINE = '%s %s %d %d %s %d %d %s %s %d'
local PATTERN = '^(%S+) (%S*) (%d+) (%d+) (r?) (%d+) (%d+) (%S+) (%S*) (%d+)$'

-- key: campaign/request_id -> {id, body, granted, ...} or nil
function asked.read(key)
  local text = call('HGET', REQ, key)
  if not text or text == '' then return nil end
  local id, body, granted, remain, replayed, granted_at, launch_within, channel, mpp, answer_within = match(text, PATTERN)
  return {
    id = id == '=' and match(key, '/r%-(.*)$') or id, body = body, granted = tonumber(granted), remain = tonumber(remain), replayed = replayed == 'r',
    granted_at = tonumber(granted_at), launch_within = tonumber(launch_within), channel = channel,
    mpp = mpp ~= '' and mpp or nil, answer_within = tonumber(answer_within),
  }
end

function asked.write(key, q)
  local id = match(key, '/r%-(.*)$') == q.id and '=' or q.id
  call('HSET', REQ, key, format(LINE, id, q.body, q.granted, q.remain, q.replayed and 'r' or '', q.granted_at,
    q.launch_within, q.channel, q.mpp or '', q.answer_within))
end

return asked
