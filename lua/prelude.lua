-- prelude.lua: shared by all modules: keys, schema, bounds, small functions.
--
-- The script is this prelude, then state/unit_of_work.lua, then every other file as a module: a function that need(name)
-- runs at its first use in a call, so that a call pays for what it uses (a closure costs 0.3 us); then main.lua. Signature and operations:
-- lua/README.md.
--
-- Schema 1
--   KEYS[1] zone   hash  schema = number of this schema; meta = JSON object:
--                        offset, last     clock: ms added to TIME; TIME when last read
--                        stepped          zone time at which TIME last stepped back
--                        called           zone time of the last call
--                        run_id, heir_of  the server that last wrote this zone (clock.lua)
--                        recovered_from, recover_until   the last recovery
--                        holder, token, lease_until      the lease of the poller (commands/lease.lua)
--                        wanted           a denial waits for a newer snapshot
--                        asked            zone time of the last admit
--                        foreign          estimated foreign use of the MPPs' ports
--                        waiters, arrivals, beats, held_back   of the wait queue (state/wait_queue.lua)
--                        undo_failed      calls whose undo failed
--                        tombstones, adopt, adoption_refused   since the last recovery began (commands/report.lua, effects/adopt.lua)
--                        older_call       zone time of the last call by an older version of this script
--                        recount, recount_at, recounting, in_doubt   of the recount (effects/recount.lua)
--   KEYS[2] res    hash  id -> record (state/reservation.lua)
--   KEYS[3] req    hash  campaign/request_id -> idempotency record (state/idempotency.lua)
--   KEYS[4] due    zset  deadlines: id or "pool NAME", score = zone time in ms (effects/expiry.lua)
--   KEYS[5] pools  hash  pool -> in_use and snapshot state (state/pool.lua)
--   KEYS[6] policy hash  compiled policy, and version, digest, source, applied, paused, secret (commands/policy.lua)
--   KEYS[7] stats  hash  counters
--   KEYS[8] shares hash  "pool campaign" -> its reservations there (rules/shares.lua)
--   KEYS[9] hungry prefix of the keys of state/contention.lua
--   KEYS[10] pend  prefix; pend..pool = zset of reservations that the pool's newest snapshot may
--                        not contain yet: id, score = visible_by
--   KEYS[11] queue zset, KEYS[12] waiters hash, KEYS[13] arrived zset: waiting requests (state/wait_queue.lua)
--   KEYS[14] audit stream  manual actions and their actors (state/audit_log.lua)
--   KEYS[15] aside hash  "KIND NAME" -> an entry that could not be read (state/aside.lua)
--   KEYS[16] learn prefix; learn..pool = hash of own calls by age, and what was learned (state/age_bins.lua)
--   KEYS[17] recount hash  what a recount under way has counted (state/tally.lua)

local SCHEMA = 1
local ZONE, RES, REQ, DEADLINES = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local POOLS, POLICY, STATS, SHARES, CONTENTION, PEND = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local QUEUE, WAITERS, ARRIVED, AUDIT, ASIDE, LEARN, RECOUNT = KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17]
local CHANNEL = ARGV[2]

local call, unit = nil, {} -- state/unit_of_work.lua
local encode, decode = cjson.encode, cjson.decode
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max
local format, match, gmatch, find, sub, concat = string.format, string.match, string.gmatch, string.find, string.sub, table.concat

-- Bounds of the work of a call besides its operations.
local EXPIRY_SLICE = 100        -- deadlines processed
local TRIM_SLICE = 500       -- entries dropped from one pend set by one ingest
local UNKNOWN_AGAIN_MS = 500 -- a launch of unknown outcome is examined again after this
local DRIFT = 2000           -- a dialer's stopwatch drifts by at most one part in this many: 500 ppm, the bound of NTP (RFC 5905)
local FOREVER = 9007199254740991

local now       -- zone time in ms, the same for the whole call
local now_us    -- the same in us
local meta      -- the zone's meta
local zone      -- the zone's part of the compiled policy

local modules, loaded = {}, {}
local define_rare -- defines the modules that few calls need
local function need(name)
  local module = loaded[name]
  if not module then
    if not modules[name] then define_rare() end
    module = modules[name]()
    loaded[name] = module
  end
  return module
end

local function contains(list, value)
  for _, v in ipairs(list) do
    if v == value then return true end
  end
  return false
end

local function chained(...)
  local all, n = {}, 0
  for _, list in ipairs({ ... }) do
    for i = 1, #list do
      n = n + 1
      all[n] = list[i]
    end
  end
  return all
end

local function set_of(list)
  local set = {}
  for _, v in ipairs(list or {}) do set[v] = true end
  return set
end

-- -> a whole number as text: formatting is expensive, and many times and counts of a call are equal
local scores = {}
local function score(ms)
  local text = scores[ms]
  if not text then
    text = format('%d', ms)
    scores[ms] = text
  end
  return text
end

local function kind_of(pool_name)
  return match(pool_name, '^[^:]*')
end

-- The hidden pool that every reservation with a known MPP names: separates own from foreign use of MPPs.
local ON_KNOWN_MPP = 'mpps'

-- An error of the caller, answered for this operation alone. field: the part of the request that is wrong.
local function fault(code, field, value)
  return { error = code, field = field, value = value }
end

-- Does any replica keep a request open until units are available? (commands/wait.lua)
local function has_waiters()
  return meta ~= nil and (meta.waiters or 0) > 0
end

-- Counters since the zone was created, written once for each call.
local counted = {}
local function count(name, n)
  counted[name] = (counted[name] or 0) + (n or 1)
end

local function flush_counts()
  local names, stats = {}, unit.hash(STATS)
  for name in pairs(counted) do names[#names + 1] = name end
  unit.load(stats, names)
  for _, name in ipairs(names) do
    -- A text that is no number begins anew.
    unit.put(stats, name, format('%.0f', (tonumber(unit.get(stats, name) or 0) or 0) + counted[name]))
  end
  counted = {}
end

local function reset_counts() counted = {} end

-- Counts may be too low: nothing is granted until a recount that begins after this has ended (effects/recount.lua).
local function doubt_counts()
  meta.recount, meta.in_doubt = true, true
  if meta.recounting then meta.recounting.settles = nil end -- mutation: doubt-outlives-recount
end

-- Calls may be up that the ledger does not know: nothing is granted until each of them has ended or is in a snapshot.
local function begin_recovery()
  meta.recovered_from, meta.recover_until = now, now + zone.claim_longest
  meta.wanted = true
  meta.tombstones, meta.adopt, meta.adoption_refused = nil, nil, nil -- counted since the last loss
  if loaded.pool then loaded.pool.each(loaded.pool.drop_limit) end -- of pools whose snapshots no longer count
  doubt_counts()
  count('recovery')
end

-- Calls wrote a part of what they changed, ceilings too.
local function recover_from_failed_undo(calls)
  count('undo_failed', calls)
  meta.undo_failed = nil
  begin_recovery()
end

-- A text of a hash without which no decision is possible; main.lua sets the key aside.
local function decode_of(key, text)
  local ok, found = pcall(decode, text)
  if not ok or type(found) ~= 'table' then error({ unreadable = key }, 0) end
  return found
end

-- -> true if a policy is stored; then `zone` is its zone part
local function load_policy()
  local got = call('HMGET', POLICY, 'zone', 'paused')
  if not got[1] then return false end
  zone = decode_of(POLICY, got[1])
  zone.paused = got[2] and decode_of(POLICY, got[2]) or {}
  -- Calls granted by an earlier policy may claim later than this one allows (commands/policy.lua).
  zone.claim_longest = max(zone.claim_max, zone.claim_before or 0) -- mutation: claims-of-earlier-policies
  zone.is_channel, zone.is_fed, zone.is_mpp = set_of(zone.channels), set_of(zone.fed), set_of(zone.mpps)
  return true
end
