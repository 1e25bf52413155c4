-- effects/recount.lua: compares the counts of a zone with its records, and corrects them, a bounded slice in a call.
--
-- Counts follow from records, so a difference is an error: of an older version, of a write by hand, of an undo that
-- failed. Each correction is counted (stats: recounted) and has an entry in the audit log. A recount begins with a
-- recovery, when an entry was set aside, after a failed undo, and at intervals that grow with the number of records.
--
-- meta.recounting is its state between calls: phase, and the cursor of the phase. A call runs phases until it examined
-- SLICE entries, so a small zone is recounted within one call. While meta.in_doubt (counts may be too low) nothing is
-- granted (rules/checks.lua) and each call runs a slice; else there is a pause between slices.
local reservation, pools, shares, occupancy = need('reservation'), need('pool'), need('shares'), need('occupancy')
local idempotency, tally, audit_log = need('idempotency'), need('tally'), need('audit_log')
local recount = {}

local SLICE = 400             -- entries examined in one call
local SWEEP = 1000            -- entries of unmet demand that the end of a recount examines
local PAUSE_MS = 20           -- between the slices of a recount that nothing waits for
local INTERVAL_MS = 60000     -- between recounts of an empty zone
local INTERVAL_RECORD_MS = 20 -- more for each record
local REQUESTS_READ = 20      -- with one command: a request may have as many reservations as one call may grant
local POOLS_READ = 50         -- with one command: the state of the recount keeps the names of the fed ones
local NOTES_MAX = 20          -- entries of the audit log that one call writes
local deadlines = unit.zset(DEADLINES)

local noted = 0
local function note_correction(what, from, to)
  count('recounted')
  noted = noted + 1
  if noted <= NOTES_MAX then audit_log.note({ by = 'ledger' }, 'recount', what, { from = from, to = to }) end
end

-- Read entries of a hash from the cursor on. -> fields, texts; the cursor is nil at the end
local function scan(key, state, most)
  local page = call('HSCAN', key, state.cursor or '0', 'COUNT', most)
  local fields, texts, flat = {}, {}, page[2]
  for i = 1, #flat, 2 do
    if flat[i] ~= '' then fields[#fields + 1], texts[#texts + 1] = flat[i], flat[i + 1] end
  end
  state.cursor = page[1] ~= '0' and page[1] or nil
  return fields, texts
end

-- A count that was too high may have raised the ceiling as well, by as much: both fall. A ceiling never rises here.
local function correct_pool(name, in_use)
  local pool = pools.get(name)
  note_correction('pool ' .. name, pool.in_use, in_use)
  local excess = max(0, pool.in_use - in_use)
  pools.change(pool, {
    in_use = in_use,
    ceiling = pool.ceiling and max(0, pool.ceiling - excess), best = pool.best and max(0, pool.best - excess),
  })
  if pool.learns and excess > 0 then need('age_bins').drop(pool, excess) end
end

local function compare_pool(name)
  local in_use = tally.get('pool ' .. name)
  if pools.get(name).in_use ~= in_use then correct_pool(name, in_use) end
end

-- name: "pool campaign"
local function compare_share(name, state)
  local units, found = tally.get('share ' .. name), shares.read(name)
  if units == found then return end
  note_correction('share ' .. name, found, units)
  shares.correct(name, units)
  state.is_corrected = true
end

-- Reservations of a request have its id, or ID.2 ...
local function compare_request(key, request)
  local remain = 0
  for i = 1, request.granted do
    local record = reservation.peek(idempotency.nth_id(request.id, i))
    if record and record.request_id and idempotency.key(record) == key then remain = remain + 1 end
  end
  if remain == request.remain then return end
  note_correction('request ' .. key, request.remain, remain)
  request.remain = remain
  if remain > 0 then idempotency.write(key, request) else idempotency.delete(key) end
end

-- Pending reservations that are absent from the set of their pool would count as held: the next ceiling were too high.
-- list: reservations that occupy the pool
local function restore_pending(pool, list)
  if not (pool.fed and pool.w0 and pool.w0 > (pool.known_at or 0)) then return end
  local ids, due = {}, {}
  for _, record in ipairs(list) do
    if not occupancy.holds(pool, record) then ids[#ids + 1], due[#due + 1] = record.id, record.visible_by end
  end
  if #ids == 0 then return end
  for i, found in ipairs(call('ZMSCORE', PEND .. pool.name, unpack(ids))) do
    if tonumber(found) ~= due[i] then
      unit.set_score(pools.pending(pool), ids[i], score(due[i]))
      note_correction('pending ' .. pool.name .. ' ' .. ids[i], tonumber(found), due[i])
    end
  end
end

-- -> rank of the first member of a sorted set that was not visited
-- visited: the last one that was, {score, id}; no score: none was
local function find_rank(key, visited)
  if not visited.score then return 0 end
  local first = call('ZCOUNT', key, '-inf', '(' .. visited.score)
  local last = call('ZCOUNT', key, '-inf', visited.score)
  while first < last do -- among members of one score, by bisection
    local middle = floor((first + last) / 2)
    local member = call('ZRANGE', key, middle, middle)[1]
    if tally.is_before(visited.id, member) then last = middle else first = middle + 1 end
  end
  return first
end

-- Read members of a sorted set from that rank on. -> {member, score, ...}; visited is the last of them now
local function read_members(key, rank, visited, most)
  local flat = call('ZRANGE', key, rank, rank + most - 1, 'WITHSCORES')
  if #flat > 0 then visited.id, visited.score = flat[#flat - 1], flat[#flat] end
  return flat
end

-- The records of those ids are visited now. -> pool name -> reservations that occupy it
local function count_records(ids)
  local of_pools = {}
  reservation.load(ids)
  for _, id in ipairs(ids) do
    local record = reservation.read(id) -- one that cannot be read is set aside
    if not record then
      if reservation.get_deadline(id) then
        unit.set_score(deadlines, id, false)
        note_correction('deadline ' .. id)
      end
    elseif tally.occupies(record) then
      tally.count(record, 1)
      for _, name in ipairs(record.pools) do
        of_pools[name] = of_pools[name] or {}
        table.insert(of_pools[name], record)
      end
    end
  end
  return of_pools
end

-- Each phase: (state, most) -> entries examined. It is over when it sets state.is_over.
local phases = {}

-- What a recount left that did not end.
function phases.clear(state, most)
  local fields = scan(RECOUNT, state, most)
  for _, field in ipairs(fields) do tally.forget(field) end
  state.is_over = not state.cursor
  return #fields
end

-- Every record gets a deadline.
function phases.records(state, most)
  local ids = scan(RES, state, most)
  local scores = #ids > 0 and call('ZMSCORE', DEADLINES, unpack(ids)) or {}
  for i, id in ipairs(ids) do
    local record = not scores[i] and reservation.read(id)
    if record then
      reservation.restore_deadline(record)
      note_correction('deadline ' .. id)
    end
  end
  state.is_over = not state.cursor
  return #ids
end

-- Count the records in the order of their deadlines.
function phases.deadlines(state, most)
  local flat, ids = read_members(DEADLINES, find_rank(DEADLINES, state), state, most), {}
  for i = 1, #flat, 2 do
    if flat[i] ~= '' and not find(flat[i], '^pool ') then ids[#ids + 1] = flat[i] end
  end
  for name, list in pairs(count_records(ids)) do restore_pending(pools.get(name), list) end
  state.is_over = #flat < 2 * most
  state.is_all = state.is_over or nil
  return #flat / 2
end

function phases.pools(state, most)
  local names, texts = scan(POOLS, state, most)
  for i, name in ipairs(names) do
    local in_use = tonumber(match(texts[i], '"in_use":(%-?%d+)'))
    if in_use ~= tally.get('pool ' .. name) then compare_pool(name) end
  end
  state.is_over = not state.cursor
  return #names
end

function phases.shares(state, most)
  local names = scan(SHARES, state, most)
  for _, name in ipairs(names) do compare_share(name, state) end
  state.is_over = not state.cursor
  return #names
end

-- Pools and shares that have reservations and are not stored.
function phases.absent(state, most)
  local fields = scan(RECOUNT, state, most)
  for _, field in ipairs(chained(fields, tally.list_changes())) do
    local kind, name = match(field, '^(%a+) (.*)$')
    if kind == 'pool' then compare_pool(name) else compare_share(name, state) end
  end
  state.is_over = not state.cursor
  return #fields
end

-- Requests whose reservations are gone, or not as many as they say.
function phases.requests(state, most)
  local keys, requests, ids = scan(REQ, state, min(most, REQUESTS_READ)), {}, {}
  unit.load(unit.hash(REQ), keys)
  for i, key in ipairs(keys) do
    requests[i] = idempotency.read(key) or false
    for n = 1, requests[i] and requests[i].granted or 0 do ids[#ids + 1] = idempotency.nth_id(requests[i].id, n) end
  end
  reservation.load(ids)
  for i, key in ipairs(keys) do
    if requests[i] then compare_request(key, requests[i]) end
  end
  state.is_over = not state.cursor
  return #keys + #ids
end

-- -> the time that an entry of the pool's pending set should have; nil: none. found: the one that it has
-- One of a call that the ledger does not know any more still keeps a port for that call, which may be on its way, but no
-- longer than any launch may take.
local function find_due(pool, id, found)
  local record = reservation.peek(id)
  if not record then return min(found, now + zone.claim_longest) end -- mutation: pending-of-lost-call
  local occupies = tally.occupies(record) and contains(record.pools, pool.name) -- mutation: pending-of-reservation
  return occupies and record.visible_by or nil
end

-- An entry that no reservation accounts for lowers `held`, and the next ceiling with it.
local function correct_pending(pool, id, found)
  local due = find_due(pool, id, found)
  if due == found then return end
  unit.set_score(pools.pending(pool), id, due and score(due) or false)
  note_correction('pending ' .. pool.name .. ' ' .. id, found, due)
end

-- Entries before w0 count no more, and each ingest drops some of them. state.entry: the last entry examined
local function compare_pending(pool, state, most)
  local key, ids, found = PEND .. pool.name, {}, {}
  local rank = max(find_rank(key, state.entry), call('ZCOUNT', key, '-inf', '(' .. pool.w0))
  local flat = read_members(key, rank, state.entry, most)
  for i = 1, #flat, 2 do ids[#ids + 1], found[#found + 1] = flat[i], tonumber(flat[i + 1]) end
  reservation.load(ids)
  for i, id in ipairs(ids) do correct_pending(pool, id, found[i]) end
  if #flat < 2 * most then state.entry = nil end -- the last ones of the pool
  return #ids
end

-- Entries without a reservation. state.pending: {cursor (of pools), names? (pools whose entries are still to be examined),
-- entry? (the last one examined of the last of these pools)}
function phases.pending(state, most)
  local pending, examined = state.pending, 1
  local name = pending.names and pending.names[#pending.names]
  if name then
    local pool = pools.get(name)
    pending.entry = pending.entry or {}
    if pool.fed and pool.w0 then examined = compare_pending(pool, pending, most) else pending.entry = nil end
    if not pending.entry then pending.names[#pending.names] = nil end
  else
    local names, texts = scan(POOLS, pending, min(most, POOLS_READ))
    pending.names, examined = {}, #names
    for i, one in ipairs(names) do
      if find(texts[i], '"w0":', 1, true) then table.insert(pending.names, one) end
    end
  end
  state.is_over = #pending.names == 0 and not pending.cursor
  return examined
end

local IN_ORDER = { 'clear', 'records', 'deadlines', 'pools', 'shares', 'absent', 'requests' }

-- The phase `pending` follows `requests`. It has no number: a version without it stops at a number that it does not know,
-- while it only examines the requests a second time if it finds this mark.
local function get_phase(state) return state.pending and 'pending' or IN_ORDER[state.phase] end

-- -> whether a phase follows
local function begin_next_phase(state)
  state.cursor, state.is_over = nil, nil
  if state.pending then return false end
  if state.phase < #IN_ORDER then state.phase = state.phase + 1 else state.pending = {} end -- mutation: recount-of-pending
  return true
end

local function begin()
  meta.recount = nil
  meta.recounting = { phase = 1, settles = meta.in_doubt, at = now }
end

local function finish(state)
  if state.is_corrected then shares.recount() end
  if meta.waiters then meta.waiters = max(0, call('ZCARD', QUEUE) - 1) end
  if meta.waiters == 0 then call('DEL', CONTENTION .. 'callers') end
  if state.settles then
    meta.in_doubt = nil -- mutation: recount-settles-doubt
    need('notify').on('rules_changed')
  end
  need('contention').sweep(SWEEP)
  tally.reset()
  unit.discard('UNLINK', RECOUNT)
  meta.recount_at = now + INTERVAL_MS + INTERVAL_RECORD_MS * call('HLEN', RES)
  meta.recounting = nil
end

-- Run phases until the call has examined a slice.
local function run_slice(state)
  local left = SLICE
  while left > 0 do
    state.is_over = nil
    left = left - max(1, phases[get_phase(state)](state, left)) -- a page of a scan may be empty
    if state.is_over and not begin_next_phase(state) then return finish(state) end
  end
  state.at = now + PAUSE_MS
end

-- A client asks for a recount.
-- op: undo_failed? (calls whose undo failed and could not say so in the zone: ledger/script_client.py)
function recount.request(op)
  doubt_counts()
  if op.undo_failed then recover_from_failed_undo(op.undo_failed) end
  return {}
end

-- Is there anything to do in this call? Before anything else of the call reads a count.
function recount.run_if_due()
  local is_due = meta.recount or now >= (meta.recount_at or 0)
  if not meta.recounting and is_due then begin() end
  local state = meta.recounting
  if state and (meta.in_doubt or now >= state.at) then run_slice(state) end
end

return recount
