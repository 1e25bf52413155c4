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
local PATTERN = '^(%d+) (%-?%d+) (%-?%d*) (%a) (%S*) (%a*) (%S*) (%S*) (%S*) (%S*) (%d*) (%d+)(%S*) (%S*) ([^\n]*)\n(.*)$'

local shared_texts = {} -- pools (a table that is replaced, never changed) -> text
local parsed = {} -- text -> shared fields

-- -> pool name -> abbreviation
local function abbreviations(r)
  return {
    ['channel:' .. (r.channel or '')] = 'c', ['mpp:' .. (r.mpp or '') .. ':' .. (r.channel or '')] = 'm',
    [ON_KNOWN_MPP] = 'k', ['campaign:' .. r.campaign] = 'n',
  }
end

-- The same text for reservations that differ by their campaign only.
local function abbreviate_pools(r)
  local letters, names = abbreviations(r), {}
  for i, name in ipairs(r.pools) do names[i] = letters[name] or name end
  return concat(names, ' ')
end

local function shared_text(r)
  local text = shared_texts[r.pools]
  if not text then
    text = format('%s %s %s %s %s %s', r.campaign, r.channel or '', r.mpp or '',
      r.answer_within or '', r.max_call or '', r.brief or abbreviate_pools(r))
    shared_texts[r.pools] = text
  end
  return text
end

local function parse_shared(text)
  local campaign, channel, mpp, answer_within, max_call, names = match(text, '^(%S*) (%S*) (%S*) (%d*) (%d*) ?(.*)$')
  local k = {
    campaign = campaign, channel = channel, mpp = mpp ~= '' and mpp or false, pools = {},
    answer_within = tonumber(answer_within), max_call = tonumber(max_call),
  }
  local long = {}
  for name, brief in pairs(abbreviations(k)) do long[brief] = name end
  for name in gmatch(names, '%S+') do k.pools[#k.pools + 1] = long[name] or name end
  shared_texts[k.pools], parsed[text] = text, k
  return k
end

local function after(r, t) return t and format('%d', t - r.granted_at) or '' end
local function at(r, text) return text ~= '' and r.granted_at + text end

-- -> the record as text
function reservation.text(r)
  local t0, owner, marks = r.granted_at, r.owner or '', r.taken and 't' or ''
  if r.adopted then marks = marks .. 'a' end
  local deadline = r.deadline - t0
  local line = format(LINE, t0, r.visible_by - t0, deadline == r.answer_within and '' or format('%d', deadline),
    LETTER[r.state], r.outcome or '', marks,
    after(r, r.launched_at), after(r, r.reported_at), after(r, r.ended_at), after(r, r.released_at),
    r.claim_within or '', #owner, r.tail or '', r.request_id == 'r-' .. r.id and '=' or r.request_id or '', shared_text(r))
  return line .. owner .. (r.session or '') -- string.format would cut a text at a zero byte
end

-- -> the text in three parts, before request_id, between it and campaign, and after: grants of one template share them
local FIRST, SECOND = '\1', '\2'
function reservation.parts(r)
  local blank = { id = '', request_id = FIRST, campaign = SECOND, brief = abbreviate_pools(r), pools = {} }
  local text = reservation.text(setmetatable(blank, { __index = r }))
  local one, two = find(text, FIRST, 1, true), find(text, SECOND, 1, true)
  return sub(text, 1, one - 1), sub(text, one + 1, two - 1), sub(text, two + 1)
end

local records, deadlines = unit.hash(RES), unit.zset(DEADLINES)

-- Read the records of all reports of a call with one command.
local IS_REPORT = set_of({ 'launched', 'renew', 'end' })
function reservation.read_ahead(ops)
  local ids = {}
  for _, op in ipairs(ops) do
    if IS_REPORT[op.op] then ids[#ids + 1] = op.id end
  end
  if #ids > 1 then unit.load(records, ids) end
end

-- Read several records with one command.
function reservation.load(ids) unit.load(records, ids) end

-- -> the record, or nil if the text is none
function reservation.parse(id, text)
  local t0, visible, deadline, state, outcome, marks, launched, reported, ended, released, claim_within, bytes, tail,
    request_id, common, free = match(text, PATTERN)
  if not STATE[state] then return nil end
  local k = parsed[common] or parse_shared(common)
  t0, bytes = tonumber(t0), tonumber(bytes)
  local r = {
    id = id, state = STATE[state], granted_at = t0, visible_by = t0 + visible,
    deadline = t0 + (deadline == '' and k.answer_within or deadline),
    campaign = k.campaign, channel = k.channel, mpp = k.mpp, pools = k.pools,
    answer_within = k.answer_within, max_call = k.max_call, claim_within = tonumber(claim_within),
    outcome = outcome ~= '' and outcome, taken = sub(marks, 1, 1) == 't', adopted = sub(marks, -1) == 'a',
    request_id = request_id == '=' and 'r-' .. id or request_id ~= '' and request_id,
    owner = bytes > 0 and sub(free, 1, bytes), session = #free > bytes and sub(free, bytes + 1),
  }
  r.launched_at, r.reported_at = at(r, launched), at(r, reported)
  r.ended_at, r.released_at = at(r, ended), at(r, released)
  if tail ~= '' then r.tail = tail end
  -- Its score in the deadlines follows from the text, unless the outcome is unknown (commands/report.lua).
  if state == 'l' and outcome ~= 'unknown' then r.due_at = r.deadline end
  return r
end

-- -> the record, or nil if there is none that can be read
function reservation.peek(id)
  local text = unit.get(records, id)
  if not text or text == '' then return nil end
  local ok, r = pcall(reservation.parse, id, text)
  return ok and r or nil
end

-- Change a record, its deadline, or both, so that a recount under way takes part.
-- text, deadline (as text): nil: unchanged, false: removed; stored: the deadline that it certainly has, as text, or nil
local function change(id, text, deadline, stored)
  local tally = meta.recounting and need('tally')
  if tally then tally.remove(id) end
  if text ~= nil then unit.put(records, id, text) end
  if deadline then
    unit.add(deadlines, id, deadline, stored)
  elseif deadline == false then
    unit.remove(deadlines, id)
  end
  if tally then tally.add(id) end
end

-- -> record or nil; one that cannot be read is set aside
function reservation.read(id)
  local r = reservation.peek(id)
  if r then return r end
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
function reservation.restore_deadline(r)
  local at = r.state == 'live' and r.deadline or r.state == 'releasing' and now + zone.release_within
  reservation.set_deadline(r.id, at or (r.released_at or now) + zone.retention)
end

-- deadline: zone time in ms at which effects/expiry.lua examines it, or nil: unchanged
function reservation.write(r, deadline)
  local stored = deadline and r.due_at and score(r.due_at)
  r.due_at = nil
  change(r.id, reservation.text(r), deadline and score(deadline) or nil, stored or nil)
end

-- A new record. text: assembled from reservation.parts; deadline_text: from score
function reservation.write_new(id, text, deadline_text)
  unit.create(records, id, text)
  unit.add_new(deadlines, id, deadline_text)
  if meta.recounting then need('tally').add(id) end -- mutation: tally-new-record
end

local HAD_PORT = set_of({ 'completed', 'no_answer', 'busy', 'abandoned' })

-- Did the call have a port, by its reports?
function reservation.had_port(r)
  return HAD_PORT[r.outcome] or r.taken
end

function reservation.is_live(r)
  return r.state == 'live'
end

-- A live one past its deadline counts as expired, before effects/expiry.lua reaches it.
function reservation.is_overdue(r)
  return r.state == 'live' and now > r.deadline
end

-- The state as dialers see it: releasing reads ended.
function reservation.public_state(r)
  return r.state == 'releasing' and 'ended' or r.state
end

-- Delete the record, and with the last record of a request its idempotency record.
function reservation.delete(r)
  change(r.id, false, false)
  if not r.request_id then return end
  local key = idempotency.key(r)
  local q = idempotency.read(key)
  if not q or not idempotency.has_granted(q, r.id) then return end
  q.remain = q.remain - 1
  if q.remain <= 0 then idempotency.delete(key) else idempotency.write(key, q) end
end

return reservation
