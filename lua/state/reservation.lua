-- state/reservation.lua: reservation records in the res hash: a line of fields, then two free texts.
--
--   granted_at visible_by deadline state outcome marks launched_at reported_at ended_at released_at
--   claim_within owner_bytes[TAIL] request_id SHARED \n owner session
--   state    l live, r releasing (its end was reported, its port is not free yet), e ended, x expired
--   deadline     empty: after answer_within
--   request_id   "=" for r-ID
--   marks    t taken: a report confirmed its port; a adopted: restated by its dialer
--   times    granted_at is zone time in ms, all others are ms after it; empty: not known
--   claim_within   ms from the launch until the platform claims the port, by the policy of the grant; empty: not known
--   TAIL     fields of a later version, without a space: kept as they are
--   SHARED   fields that many reservations share:
--            campaign channel mpp answer_within max_call (ms, by the policy of the grant) pools
--            pools: every pool that it occupies, abbreviated: c channel:CHANNEL, m mpp:MPP:CHANNEL, k mpps,
--            n campaign:CAMPAIGN
-- 100,000 calls keep as many records in memory, and every report reads one: hence text instead of JSON, and SHARED
-- is parsed and written once for all reservations of a call that share it.
local idempotency = need('idempotency')
local reservation = {}

reservation.FIELDS = {
  'granted_at', 'visible_by', 'deadline', 'state', 'campaign', 'channel', 'mpp', 'owner', 'pools',
  'taken', 'launched_at', 'reported_at', 'ended_at', 'released_at', 'outcome', 'session',
  'request_id', 'answer_within', 'max_call', 'adopted', 'claim_within',
}

local LETTER = { live = 'l', releasing = 'r', ended = 'e', expired = 'x' }
local STATE = { l = 'live', r = 'releasing', e = 'ended', x = 'expired' }
local LINE = '%d %d %s %s %s %s %s %s %s %s %s %d%s %s %s\n'
-- () is a place in the text: of state, marks, reported_at, claim_within (reservation.write_closed).
local PATTERN = '^(%d+) (%-?%d+) (%-?%d*) ()(%a) (%S*) ()(%a*) (%S*) ()(%S*) (%S*) (%S*) ()(%d*) (%d+)(%S*) (%S*) ([^\n]*)\n(.*)$'

local shared_texts = {} -- pools (a table that is replaced, never changed) -> text
local parsed = {} -- text -> shared fields

-- -> the abbreviation of a pool's name, or the name
local function abbreviate(record, name)
  if name == 'channel:' .. (record.channel or '') then return 'c' end
  if name == 'mpp:' .. (record.mpp or '') .. ':' .. (record.channel or '') then return 'm' end
  if name == ON_KNOWN_MPP then return 'k' end
  return name == 'campaign:' .. record.campaign and 'n' or name
end

-- The same text for reservations that differ by their campaign only.
local function abbreviate_pools(record)
  local names = { unpack(record.pools) }
  for i = 1, #names do names[i] = abbreviate(record, names[i]) end
  return concat(names, ' ')
end

-- -> the name of a pool that may be abbreviated
local function expand(name, campaign, channel, mpp)
  if name == 'c' then return 'channel:' .. channel end
  if name == 'm' then return 'mpp:' .. mpp .. ':' .. channel end
  if name == 'k' then return ON_KNOWN_MPP end
  return name == 'n' and 'campaign:' .. campaign or name
end

local function shared_text(record)
  local text = shared_texts[record.pools]
  if not text then
    text = format('%s %s %s %s %s %s', record.campaign, record.channel or '', record.mpp or '',
      record.answer_within or '', record.max_call or '', record.brief or abbreviate_pools(record))
    shared_texts[record.pools] = text
  end
  return text
end

local function parse_shared(text)
  local campaign, channel, mpp, answer_within, max_call, names = match(text, '^(%S*) (%S*) (%S*) (%d*) (%d*) ?(.*)$')
  local list, n = {}, 0
  for name in gmatch(names, '%S+') do
    n = n + 1
    list[n] = expand(name, campaign, channel, mpp)
  end
  local fields = {
    campaign = campaign, channel = channel, mpp = mpp ~= '' and mpp or false, pools = list,
    answer_within = tonumber(answer_within), max_call = tonumber(max_call),
  }
  shared_texts[list], parsed[text] = text, fields
  return fields
end

-- -> a time as text, ms after the grant; moment: not false
local function after(t0, moment) return format('%d', moment - t0) end

-- -> the record as text
function reservation.text(record)
  local t0, owner, marks = record.granted_at, record.owner or '', record.taken and 't' or ''
  if record.adopted then marks = marks .. 'a' end
  local deadline = record.deadline - t0
  local line = format(LINE, t0, record.visible_by - t0, deadline == record.answer_within and '' or format('%d', deadline),
    LETTER[record.state], record.outcome or '', marks,
    record.launched_at and after(t0, record.launched_at) or '', record.reported_at and after(t0, record.reported_at) or '',
    record.ended_at and after(t0, record.ended_at) or '', record.released_at and after(t0, record.released_at) or '',
    record.claim_within or '', #owner, record.tail or '',
    record.request_id == 'r-' .. record.id and '=' or record.request_id or '', shared_text(record))
  return line .. owner .. (record.session or '') -- string.format would cut a text at a zero byte
end

-- -> the text in three parts, before request_id, between it and campaign, and after: grants of one template share them
local FIRST, SECOND = '\1', '\2'
function reservation.parts(record)
  local blank = { id = '', request_id = FIRST, campaign = SECOND, brief = abbreviate_pools(record), pools = {} }
  local text = reservation.text(setmetatable(blank, { __index = record }))
  local one, two = find(text, FIRST, 1, true), find(text, SECOND, 1, true)
  return sub(text, 1, one - 1), sub(text, one + 1, two - 1), sub(text, two + 1)
end

local records, deadlines = unit.hash(RES), unit.zset(DEADLINES)

-- Read the records of all reports of a call with one command.
local IS_REPORT = { launched = true, renew = true, ['end'] = true }
function reservation.read_ahead(ops)
  local ids = {}
  for i = 1, #ops do
    if IS_REPORT[ops[i].op] then ids[#ids + 1] = ops[i].id end
  end
  if #ids > 1 then unit.load(records, ids) end
end

-- Read several records with one command.
function reservation.load(ids) unit.load(records, ids) end

-- -> the record, or nil if the text is none
function reservation.parse(id, text)
  local t0, visible, deadline, state_at, state, outcome, marks_at, marks, launched, reported_at, reported, ended, released,
    claim_at, claim_within, bytes, tail, request_id, common, free = match(text, PATTERN)
  local state_name = STATE[state]
  if not state_name then return nil end
  local fields = parsed[common] or parse_shared(common)
  t0, bytes = tonumber(t0), tonumber(bytes)
  local record = {
    id = id, state = state_name, granted_at = t0, visible_by = t0 + visible,
    deadline = t0 + (deadline == '' and fields.answer_within or deadline),
    campaign = fields.campaign, channel = fields.channel, mpp = fields.mpp, pools = fields.pools,
    answer_within = fields.answer_within, max_call = fields.max_call, claim_within = tonumber(claim_within),
    outcome = outcome ~= '' and outcome, taken = sub(marks, 1, 1) == 't', adopted = sub(marks, -1) == 'a',
    request_id = request_id == '=' and 'r-' .. id or request_id ~= '' and request_id,
    owner = bytes > 0 and sub(free, 1, bytes), session = #free > bytes and sub(free, bytes + 1),
    launched_at = launched ~= '' and t0 + launched, reported_at = reported ~= '' and t0 + reported,
    ended_at = ended ~= '' and t0 + ended, released_at = released ~= '' and t0 + released,
    text = text, state_at = state_at, marks_at = marks_at, reported_text_at = reported_at, claim_at = claim_at,
  }
  if tail ~= '' then record.tail = tail end
  -- Its score in the deadlines follows from the text, unless the outcome is unknown (commands/report.lua).
  if state == 'l' and outcome ~= 'unknown' then record.due_at = record.deadline end
  return record
end

-- -> the record, or nil if there is none that can be read
function reservation.peek(id)
  local text = unit.get(records, id)
  if not text or text == '' then return nil end
  local ok, record = pcall(reservation.parse, id, text)
  return ok and record or nil
end

-- Change a record, its deadline, or both, so that a recount under way takes part.
-- text, deadline (as text): nil: unchanged, false: removed; stored: the deadline that it certainly has, as text, or nil
local function change(id, text, deadline, stored)
  local tally = meta.recounting and need('tally')
  if tally then tally.remove(id) end
  if text ~= nil then unit.put(records, id, text) end
  if deadline ~= nil then unit.set_score(deadlines, id, deadline, stored) end
  if tally then tally.add(id) end
end

-- -> record or nil; one that cannot be read is set aside
function reservation.read(id)
  local record = reservation.peek(id)
  if record then return record end
  local text = unit.get(records, id)
  if not text or id == '' then return nil end
  need('aside').keep('reservation', id, text)
  change(id, false, false)
  return nil
end

-- -> zone time in ms at which effects/expiry.lua examines it, nil: never
function reservation.get_deadline(id)
  return tonumber(unit.get_score(deadlines, id) or nil)
end

-- at: zone time in ms
function reservation.set_deadline(id, at) change(id, nil, score(at)) end

-- The record has no deadline: set the one that it had.
function reservation.restore_deadline(record)
  local at = record.state == 'live' and record.deadline or record.state == 'releasing' and now + zone.release_within
  reservation.set_deadline(record.id, at or (record.released_at or now) + zone.retention)
end

-- deadline: zone time in ms at which effects/expiry.lua examines it, or nil: unchanged
function reservation.write(record, deadline)
  local id, text = record.id, reservation.text(record)
  local stored = deadline and record.due_at and score(record.due_at) or nil
  record.due_at = nil
  if meta.recounting then return change(id, text, deadline and score(deadline) or nil, stored) end
  unit.put(records, id, text)
  if deadline then unit.set_score(deadlines, id, score(deadline), stored) end
end

-- The record was read and is closed: of its fields only state, outcome, reported_at, ended_at and released_at differ from
-- the text, so the rest of the text stays as it is.
-- deadline: zone time in ms at which effects/expiry.lua deletes it
function reservation.write_closed(record, deadline)
  local text, t0, released_at, reported_at = record.text, record.granted_at, record.released_at, record.reported_at
  local released = after(t0, released_at)
  local reported = reported_at == released_at and released or reported_at and after(t0, reported_at) or ''
  local line = sub(text, 1, record.state_at - 1) .. LETTER[record.state] .. ' ' .. (record.outcome or '') .. ' '
    .. sub(text, record.marks_at, record.reported_text_at - 1) .. reported .. ' '
    .. (record.ended_at and after(t0, record.ended_at) or '') .. ' ' .. released .. ' ' .. sub(text, record.claim_at)
  local stored = record.due_at and score(record.due_at) or nil
  record.due_at = nil
  if meta.recounting then return change(record.id, line, score(deadline), stored) end
  unit.put(records, record.id, line)
  unit.set_score(deadlines, record.id, score(deadline), stored)
end

-- A new record. text: assembled from reservation.parts; deadline_text: from score
function reservation.write_new(id, text, deadline_text)
  unit.create(records, id, text)
  unit.add_new(deadlines, id, deadline_text)
  if meta.recounting then need('tally').add(id) end -- mutation: tally-new-record
end

local HAD_PORT = { completed = true, no_answer = true, busy = true, abandoned = true }

-- Did the call have a port, by its reports?
function reservation.had_port(record)
  return HAD_PORT[record.outcome] or record.taken
end

function reservation.is_live(record)
  return record.state == 'live'
end

-- A live one past its deadline counts as expired, before effects/expiry.lua reaches it.
function reservation.is_overdue(record)
  return record.state == 'live' and now > record.deadline
end

-- The state as dialers see it: releasing reads ended.
function reservation.public_state(record)
  return record.state == 'releasing' and 'ended' or record.state
end

-- Delete the record, and with the last record of a request its idempotency record.
function reservation.delete(record)
  change(record.id, false, false)
  if not record.request_id then return end
  local key = idempotency.key(record)
  local request = idempotency.read(key)
  if not request or not idempotency.has_granted(request, record.id) then return end
  request.remain = request.remain - 1
  if request.remain <= 0 then idempotency.delete(key) else idempotency.write(key, request) end
end

return reservation
