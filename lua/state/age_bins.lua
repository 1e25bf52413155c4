-- state/age_bins.lua: own calls of a channel pool by age, and running totals of events, from which the service learns the
-- pool's ceiling (admission/estimator; commands/learn.lua). Kept for every channel that snapshots feed, whatever policy
-- says of its ceiling.
--
-- A bin is zone ms / BIN_MS. Hash LEARN..pool, field -> text:
--   gBIN     live reservations that were granted then, neither reported as launched nor known to have a port
--   lBIN     the same of those whose launch was reported then
--   eBIN, fBIN   calls with a port that ended then: of each two digits, its age in bins (at most AGE_MAX) since its
--            grant (e), or since its launch report where there was one (f)
--   reports, report_delay   first launch reports, and the ms from the grants to them, summed up
--   state    of the estimator (commands/learn.lua)
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
function age_bins.get_hash(p)
  p.bins = p.bins or unit.hash(LEARN .. p.name)
  return p.bins
end

-- Add n to a number of the hash; a number that is absent is not lowered, and 0 is not stored.
local function add(p, field, n)
  local hash = age_bins.get_hash(p)
  local text = unit.get(hash, field)
  if not text and n < 0 then return end
  local sum = (text and tonumber(text) or 0) + n -- a text that is no number counts as 0
  unit.put(hash, field, sum > 0 and format('%d', sum))
end

-- The calls of a bin change by n; stored with the pool. is_launched: of l, else of g
local function change_bin(p, is_launched, bin, n)
  local changes = p.age_changes or { g = {}, l = {} }
  p.age_changes = changes
  local bins = is_launched and changes.l or changes.g
  bins[bin] = (bins[bin] or 0) + n
end

-- Store how the bins of p changed in this call; occupancy.join counts its grants in p.joined, age_bins.leave its ends in p.ended.
function age_bins.flush(p)
  local joined, ended, changes = p.joined, p.ended, p.age_changes
  p.joined, p.ended, p.age_changes = nil, nil, nil
  if ended then
    local events = age_bins.get_events(p)
    events.ends = events.ends + ended
  end
  if joined then add(p, 'g' .. get_bin(now), joined) end
  for letter, bins in pairs(changes or {}) do
    for bin, n in pairs(bins) do add(p, letter .. bin, n) end
  end
end

-- -> the totals of p, which the caller may change
function age_bins.get_events(p)
  pools.set(p, { events = p.events or { ends = 0, failures = 0, drops = 0, failed_at = 0, burst_at = 0, burst = 0 } })
  return p.events
end

-- r counts no longer as a call that may be without a port. Older bins are not read any more.
local function remove(p, r)
  if r.adopted or r.taken then return end
  local bin = get_bin(r.launched_at or r.granted_at)
  if bin >= get_bin(now) - BINS then change_bin(p, r.launched_at, bin, -1) end
end

-- A report of a launch is about to change r; list: its pools. is_taken: it says that the port is taken
function age_bins.note_launch(list, r, is_taken)
  local is_first = not r.launched_at
  if r.adopted or not (is_first or is_taken) then return end
  for _, p in ipairs(list) do
    if p.learns then
      remove(p, r)
      if is_first then
        add(p, 'reports', 1)
        add(p, 'report_delay', now - r.granted_at)
        if not (is_taken or r.taken) then change_bin(p, true, get_bin(now), 1) end -- mutation: launched-calls-have-an-age
      end
    end
  end
end

-- n reservations left p without an end: what they may still hold did not become free.
function age_bins.drop(p, n)
  local events = age_bins.get_events(p)
  events.drops = events.drops + n
  pools.change(p, {
    lowered = (p.lowered or 0) + n, -- mutation: drop-lowers-learned-ceiling
    failed_ceiling = p.failed_ceiling and max(0, p.failed_ceiling - n),
  })
end

-- A launch found no port: p was full. Until the next snapshot no more calls than had their port may hold it.
local function fail(p)
  local events, estimate = age_bins.get_events(p), need('learned_ceiling').get_estimate(p)
  events.failures = events.failures + 1
  if estimate and now > events.failed_at + FAILURES_MS then
    local full = max(0, p.in_use - estimate.pending)
    pools.change(p, { failed_ceiling = min(p.failed_ceiling or FOREVER, full) }) -- mutation: failure-lowers-learned-ceiling
  end
  events.failed_at = now
end

-- Calls that were not answered end by a timer or at the far end: those that were launched together end together.
local NO_CONVERSATION = { no_answer = true, busy = true, bad_number = true }

-- More ends at once than chance explains: a part of the platform may be gone, with the ports of these calls.
local function count_burst(p)
  local events, estimate = age_bins.get_events(p), need('learned_ceiling').get_estimate(p)
  if now - events.burst_at >= BURST_MS then events.burst_at, events.burst = now, 0 end
  events.burst = events.burst + 1
  if estimate and events.burst > estimate.burst_limit then pools.change(p, { frozen_at = now }) end -- mutation: mass-of-ends-freezes
end

local function note_end(p, r)
  local at = r.state ~= 'releasing' and r.ended_at or now
  local start = r.adopted and 0 or r.launched_at or r.granted_at
  local age = max(0, min(AGE_MAX, get_bin(at) - get_bin(start)))
  local hash, field = age_bins.get_hash(p), (r.launched_at and 'f' or 'e') .. get_bin(at)
  unit.put(hash, field, (unit.get(hash, field) or '') .. format('%02d', age))
  if now - at <= LATE_END_MS and not NO_CONVERSATION[r.outcome] then count_burst(p) end -- mutation: no-answers-are-no-mass
end

-- r has left p, which is marked as written. is_held: the newest snapshot must show its port; is_expired: no end was reported
function age_bins.leave(p, r, is_held, is_expired)
  remove(p, r)
  if is_expired then return age_bins.drop(p, 1) end
  if r.is_withdrawn then return end
  p.ended = (p.ended or 0) + 1
  if r.outcome == 'no_resource' then return fail(p) end
  if not (is_held or reservation.had_port(r)) then return end
  note_end(p, r)
  -- Its port may be gone with its media server: it is not granted again before a snapshot shows it.
  if r.outcome == 'failed' then pools.change(p, { lowered = (p.lowered or 0) + 1 }) end -- mutation: failed-call-lowers-learned-ceiling
end

-- -> the fields of the pool's hash that are read any more, without the state; and the state. The others are deleted.
local function read(p)
  local flat, fields, state, old = call('HGETALL', LEARN .. p.name), {}, nil, {}
  local newest = get_bin(now)
  for i = 1, #flat, 2 do
    local name = flat[i]
    local bin, first = tonumber(sub(name, 2)), sub(name, 1, 1)
    local age = bin and newest - bin
    if age and age > ((first == 'g' or first == 'l') and BINS or ENDS_BINS) then -- mutation: old-bins-go
      old[#old + 1] = name
    elseif name == 'state' then
      state = flat[i + 1]
    else
      fields[name] = flat[i + 1]
    end
  end
  if #old > 0 then unit.discard('HDEL', LEARN .. p.name, unpack(old, 1, min(#old, TRIM_SLICE))) end
  return fields, state
end

-- -> what the estimator needs of the snapshot that p has just taken; ledger/learning.py reads it
-- shares_total: another pool counts under the same total
function age_bins.observe(p, shares_total)
  age_bins.flush(p)
  local events, estimate = age_bins.get_events(p), need('learned_ceiling').get_estimate(p)
  local fields, state = read(p)
  local after = estimate and estimate.t0 >= meta.recovered_from and estimate.t0 or 0 -- mutation: recovery-forgets-what-was-learned
  return {
    t0 = p.t0, t1 = p.t1, total = p.total, unused = p.unused, in_use = p.in_use, shares_total = shares_total,
    bins = fields, ends = events.ends, failures = events.failures, drops = events.drops,
    failed_at = events.failed_at, frozen_at = p.frozen_at or 0,
    after = after, state = after > 0 and state or nil, target = zone.overlaunch_target,
  }
end

return age_bins
