-- state/age_bins.lua: own calls of a channel pool by age, and running totals of events, from which the service learns the
-- pool's ceiling (admission/estimator; commands/learn.lua). Kept for every channel that snapshots feed, whatever policy
-- says of its ceiling.
--
-- A bin is zone ms / BIN_MS. Hash LEARN..pool, field -> text:
--   gBIN     live reservations that were granted then, neither reported as launched nor known to have a port
--   lBIN     the same of those whose launch was reported then
--   eBIN, fBIN   calls with a port that ended then: of each two digits, its age in bins (at most AGE_MAX) since its
--            grant (e), or since its launch report where there was one (f)
--   tBIN, uBIN   live calls whose port was reported then: the same digits, since its grant (t), or its launch report (u). A count of an
--            earlier moment need not show these ports
--   reports, report_delay   first launch reports, and the ms from the grants to them, summed up
--   state    of the estimator (commands/learn.lua)
--   past_gain   what the learned ceiling would have allowed beyond the proved one (state/learned_gain.lua)
-- Pool, field events: ends, failures, drops: totals; failed_at: when the last launch found no port; burst_at, burst: when
-- the present window of BURST_MS began, and the ends in it.
-- A restated reservation is in no bin: it counts as having a port.
local pools, reservation = need('pool'), need('reservation')
local age_bins = {}

-- The same numbers stand in admission/estimator/parameters.py; a test compares them.
local BIN_MS, BINS, ENDS_BINS, AGE_MAX = 100, 72, 25, 99
local BURST_MS = 200       -- ends that come within so long of each other belong to one event
local LATE_END_MS = 500    -- an end that was earlier than this belongs to no burst
local FAILURES_MS = 200    -- failing launches that come within so long of each other say the same

local function get_bin(ms) return (ms - ms % BIN_MS) / BIN_MS end

-- -> the handle of the pool's hash
function age_bins.get_hash(pool)
  pool.bins = pool.bins or unit.hash(LEARN .. pool.name)
  return pool.bins
end

-- Add n to a number of the hash; a number that is absent is not lowered, and 0 is not stored.
local function add(pool, field, n)
  local hash = age_bins.get_hash(pool)
  local text = unit.get(hash, field)
  if not text and n < 0 then return end
  local sum = (text and tonumber(text) or 0) + n -- a text that is no number counts as 0
  unit.put(hash, field, sum > 0 and format('%d', sum))
end

-- The calls of a bin change by n; stored with the pool. is_launched: of l, else of g
local function change_bin(pool, is_launched, bin, n)
  local changes = pool.age_changes or { g = {}, l = {} }
  pool.age_changes = changes
  local bins = is_launched and changes.l or changes.g
  bins[bin] = (bins[bin] or 0) + n
end

-- Store how the bins of a pool changed in this call; occupancy.join counts its grants in pool.joined, age_bins.leave its ends in
-- pool.ended.
function age_bins.flush(pool)
  local joined, ended, changes = pool.joined, pool.ended, pool.age_changes
  pool.joined, pool.ended, pool.age_changes = nil, nil, nil
  if ended then
    local events = age_bins.get_events(pool)
    events.ends = events.ends + ended
  end
  if joined then add(pool, 'g' .. get_bin(now), joined) end
  for letter, bins in pairs(changes or {}) do
    for bin, n in pairs(bins) do add(pool, letter .. bin, n) end
  end
end

-- -> the totals of a pool, which the caller may change
function age_bins.get_events(pool)
  pools.set(pool, { events = pool.events or { ends = 0, failures = 0, drops = 0, failed_at = 0, burst_at = 0, burst = 0 } })
  return pool.events
end

-- The reservation counts no longer as a call that may be without a port. Older bins are not read any more.
local function remove(pool, record)
  if record.adopted or record.taken then return end
  local bin = get_bin(record.launched_at or record.granted_at)
  if bin >= get_bin(now) - BINS then change_bin(pool, record.launched_at, bin, -1) end
end

-- A call leaves its bin for a list of calls that had its age at a moment. at_launch, at_grant: letters of the list of calls whose
-- launch was reported, and of the others
local function append_age(pool, record, at, at_launch, at_grant)
  local start = record.adopted and 0 or record.launched_at or record.granted_at
  local age = max(0, min(AGE_MAX, get_bin(at) - get_bin(start)))
  local hash, field = age_bins.get_hash(pool), (record.launched_at and at_launch or at_grant) .. get_bin(at)
  unit.put(hash, field, (unit.get(hash, field) or '') .. format('%02d', age))
end

-- A report of a launch is about to change the record; list: its pools. is_taken: it says that the port is taken
function age_bins.note_launch(list, record, is_taken)
  local is_first = not record.launched_at
  if record.adopted or not (is_first or is_taken) then return end
  for _, pool in ipairs(list) do
    if pool.learns then
      remove(pool, record)
      if is_taken and not record.taken then append_age(pool, record, now, 'u', 't') end -- mutation: reported-ports-have-an-age
      if is_first then
        add(pool, 'reports', 1)
        add(pool, 'report_delay', now - record.granted_at)
        if not (is_taken or record.taken) then change_bin(pool, true, get_bin(now), 1) end -- mutation: launched-calls-have-an-age
      end
    end
  end
end

-- n reservations left the pool without an end: what they may still hold did not become free.
function age_bins.drop(pool, n)
  local events = age_bins.get_events(pool)
  events.drops = events.drops + n
  pools.change(pool, {
    lowered = (pool.lowered or 0) + n, -- mutation: drop-lowers-learned-ceiling
    failed_ceiling = pool.failed_ceiling and max(0, pool.failed_ceiling - n),
  })
end

-- A launch found no port: the pool was full. Until the next snapshot no more calls than had their port may hold it.
local function fail(pool)
  local events, estimate = age_bins.get_events(pool), need('learned_ceiling').get_estimate(pool)
  events.failures = events.failures + 1
  if estimate and now > events.failed_at + FAILURES_MS then
    local full = max(0, pool.in_use - estimate.pending)
    pools.change(pool, { failed_ceiling = min(pool.failed_ceiling or FOREVER, full) }) -- mutation: failure-lowers-learned-ceiling
  end
  events.failed_at = now
end

-- Calls that were not answered end by a timer or at the far end: those that were launched together end together.
local NO_CONVERSATION = { no_answer = true, busy = true, bad_number = true }

-- More ends at once than chance explains: a part of the platform may be gone, with the ports of these calls.
local function count_burst(pool)
  local events, estimate = age_bins.get_events(pool), need('learned_ceiling').get_estimate(pool)
  if now - events.burst_at >= BURST_MS then events.burst_at, events.burst = now, 0 end
  events.burst = events.burst + 1
  if estimate and events.burst > estimate.burst_limit then pools.change(pool, { frozen_at = now }) end -- mutation: mass-of-ends-freezes
end

local function note_end(pool, record)
  local at = record.state ~= 'releasing' and record.ended_at or now
  append_age(pool, record, at, 'f', 'e')
  if now - at <= LATE_END_MS and not NO_CONVERSATION[record.outcome] then count_burst(pool) end -- mutation: no-answers-are-no-mass
end

-- The reservation has left the pool, which is marked as written. is_held: the newest snapshot must show its port; is_expired: no
-- end was reported
function age_bins.leave(pool, record, is_held, is_expired)
  remove(pool, record)
  if is_expired then return age_bins.drop(pool, 1) end
  if record.is_withdrawn then return end
  pool.ended = (pool.ended or 0) + 1
  if record.outcome == 'no_resource' then return fail(pool) end
  if not (is_held or reservation.had_port(record)) then return end
  note_end(pool, record)
  -- Its port may be gone with its media server: it is not granted again before a snapshot shows it.
  if record.outcome == 'failed' then pools.change(pool, { lowered = (pool.lowered or 0) + 1 }) end -- mutation: failed-call-lowers-learned-ceiling
end

-- -> the fields of the pool's hash that are read any more, without the state; and the state. The others are deleted.
local function read(pool)
  local flat, fields, state, old = call('HGETALL', LEARN .. pool.name), {}, nil, {}
  local newest = get_bin(now)
  for i = 1, #flat, 2 do
    local name = flat[i]
    local bin, first = tonumber(sub(name, 2)), sub(name, 1, 1)
    local age = bin and newest - bin
    if age and age > ((first == 'g' or first == 'l') and BINS or ENDS_BINS) then -- mutation: old-bins-go
      old[#old + 1] = name
    elseif name == 'state' then
      state = flat[i + 1]
    elseif name ~= 'past_gain' then
      fields[name] = flat[i + 1]
    end
  end
  if #old > 0 then unit.discard('HDEL', LEARN .. pool.name, unpack(old, 1, min(#old, TRIM_SLICE))) end
  return fields, state
end

-- -> what the estimator needs of the snapshot that the pool has just taken; ledger/learning.py reads it
-- shares_total: another pool counts under the same total
function age_bins.observe(pool, shares_total)
  age_bins.flush(pool)
  local events, estimate = age_bins.get_events(pool), need('learned_ceiling').get_estimate(pool)
  local fields, state = read(pool)
  local after = estimate and estimate.t0 >= meta.recovered_from and estimate.t0 or 0 -- mutation: recovery-forgets-what-was-learned
  return {
    t0 = pool.t0, t1 = pool.t1, total = pool.total, unused = pool.unused, in_use = pool.in_use, shares_total = shares_total,
    bins = fields, ends = events.ends, failures = events.failures, drops = events.drops,
    failed_at = events.failed_at, frozen_at = pool.frozen_at or 0,
    after = after, state = after > 0 and state or nil, target = zone.overlaunch_target,
  }
end

return age_bins
