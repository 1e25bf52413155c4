-- state/idempotency.lua: idempotency records: the grant of a request, for its repeats. The req hash, as text.
--
--   id body granted remain replayed granted_at launch_within channel mpp answer_within
--   id         "=" if the request_id is r-ID, the default of the service
--   remain     reservations of the grant whose records still exist
--   replayed   r if a repeat was answered
--   mpp        empty: not known
local idempotency = {}

local GRANTED_MAX = 1000 -- more than one call may grant
local REST = ' %d %d %s %d %d %s %s %d%s'
local PATTERN = '^(%S+) (%S*) (%d+) (%d+) (r?) (%d+) (%d+) (%S+) (%S*) (%d+)(.*)$'

-- owner: a request, or a reservation of it
function idempotency.key(owner)
  return owner.campaign .. '/' .. owner.request_id
end

local records = unit.hash(REQ)

-- Read the records of all requests of a call with one command.
function idempotency.read_ahead(ops)
  local keys = {}
  for i = 1, #ops do
    local op = ops[i]
    if op.op == 'admit' and not op.dry_run then
      op.key = idempotency.key(op)
      keys[#keys + 1] = op.key
    end
  end
  if #keys > 1 then unit.load(records, keys) end
end

-- key: campaign/request_id -> {id, body, granted, ...} or nil
function idempotency.read(key)
  local text = unit.get(records, key)
  if not text or text == '' then return nil end
  local id, body, granted, remain, replayed, granted_at, launch_within, channel, mpp, answer_within, tail = match(text, PATTERN)
  if not id or tonumber(granted) > GRANTED_MAX then
    need('aside').keep('request', key, text)
    unit.put(records, key, false)
    return nil
  end
  return {
    id = id == '=' and match(key, '/r%-(.*)$') or id, body = body, granted = tonumber(granted), remain = tonumber(remain),
    replayed = replayed == 'r',
    granted_at = tonumber(granted_at), launch_within = tonumber(launch_within), channel = channel,
    mpp = mpp ~= '' and mpp or nil, answer_within = tonumber(answer_within), tail = tail,
  }
end

-- -> the id of the i-th reservation of a request
function idempotency.nth_id(id, i)
  return i == 1 and id or id .. '.' .. i
end

-- Is that one of the reservations of the request? An earlier request of the same name may have been set aside.
function idempotency.has_granted(request, id)
  return id == request.id or sub(id, 1, #request.id + 1) == request.id .. '.'
end

-- -> the text after the body, which grants of one template share
function idempotency.rest(request)
  return format(REST, request.granted, request.remain, request.replayed and 'r' or '', request.granted_at,
    request.launch_within, request.channel, request.mpp or '', request.answer_within, request.tail or '')
end

function idempotency.write(key, request)
  local id = match(key, '/r%-(.*)$') == request.id and '=' or request.id
  unit.put(records, key, id .. ' ' .. request.body .. idempotency.rest(request))
end

-- The record of a new grant. is_default_name: the request_id is r-ID; rest: from idempotency.rest
function idempotency.write_new(op, is_default_name, rest)
  unit.create(records, op.key, (is_default_name and '= ' or op.id .. ' ') .. op.body .. rest)
end

function idempotency.delete(key)
  unit.put(records, key, false)
end

return idempotency
