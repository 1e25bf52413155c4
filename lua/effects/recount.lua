-- effects/recount.lua: compares the counts of pools, shares and requests with the records, and corrects them.
--
-- Counts follow from records, so a difference is an error: of an older version, or of a write by hand. Each correction
-- is counted (stats: recounted). A zone is recounted when a recovery begins, when an entry was unreadable, and at
-- intervals that grow with the number of records, so that recounting takes a fixed small part of the time.
local reservation, pools, shares = need('reservation'), need('pool'), need('shares')
local idempotency = need('idempotency')
local recount = {}

local RECORDS_MAX = 20000     -- a zone with more is not recounted: a call would take more than about 50 ms
local INTERVAL_MS = 60000     -- between recounts of an empty zone
local INTERVAL_RECORD_MS = 20 -- more for each record: about 2 us of work in 20 ms, 0.01 %

local HOLDS = set_of({ 'live', 'releasing' })

-- Call f with every record.
local function each_record(f)
  local flat = call('HGETALL', RES)
  for i = 1, #flat, 2 do
    local ok, r = pcall(reservation.parse, flat[i], flat[i + 1])
    if ok and r then f(r) end
  end
end

-- -> reservations that occupy the pool
function recount.count_pool(name)
  local n = 0
  each_record(function(r)
    if HOLDS[r.state] and contains(r.pools, name) then n = n + 1 end
  end)
  return n
end

-- A count that was too high may have raised the ceiling as well, by as much: both fall. A ceiling never rises here.
local function correct_pool(name, in_use)
  local p = pools.get(name)
  local excess = max(0, p.in_use - in_use)
  pools.change(p, {
    in_use = in_use,
    ceiling = p.ceiling and max(0, p.ceiling - excess), best = p.best and max(0, p.best - excess),
  })
  if p.learns and excess > 0 then need('age_bins').drop(p, excess) end
  count('recounted')
end

local function compare_pools(found)
  local flat, stored = call('HGETALL', POOLS), {}
  for i = 1, #flat, 2 do
    if flat[i] ~= '' then stored[flat[i]] = tonumber(match(flat[i + 1], '"in_use":(%d+)') or -1) end
  end
  for name, in_use in pairs(stored) do
    if in_use ~= (found[name] or 0) then correct_pool(name, found[name] or 0) end
  end
  for name, in_use in pairs(found) do
    if not stored[name] then correct_pool(name, in_use) end
  end
end

local function compare_shares(found)
  local flat, stored = call('HGETALL', SHARES), {}
  for i = 1, #flat, 2 do
    if flat[i] ~= '' then stored[flat[i]] = tonumber(flat[i + 1]) or -1 end
  end
  local is_corrected = false
  for _, names in ipairs({ stored, found }) do
    for name in pairs(names) do
      if (stored[name] or 0) ~= (found[name] or 0) then
        shares.correct(name, found[name] or 0)
        stored[name], is_corrected = found[name] or 0, true
        count('recounted')
      end
    end
  end
  if is_corrected then shares.recount() end
end

-- records: key of a request -> its records
local function compare_requests(records)
  local keys = call('HKEYS', REQ)
  unit.load(unit.hash(REQ), keys)
  for _, key in ipairs(keys) do
    local n = records[key] or 0
    local q = key ~= '' and idempotency.read(key)
    if q and q.remain ~= n then
      q.remain = n
      if n > 0 then idempotency.write(key, q) else idempotency.delete(key) end
      count('recounted')
    end
  end
end

local function add(counts, name) counts[name] = (counts[name] or 0) + 1 end

-- Recount the zone if it is time to, before anything else of the call reads a count.
function recount.run_if_due()
  if not meta.recount and now < (meta.recount_at or 0) then return end
  local n = call('HLEN', RES)
  meta.recount, meta.recount_at = nil, now + INTERVAL_MS + INTERVAL_RECORD_MS * n
  if n > RECORDS_MAX then return end
  local in_pools, of_campaigns, of_requests = {}, {}, {}
  each_record(function(r)
    if r.request_id then add(of_requests, idempotency.key(r)) end
    for _, name in ipairs(HOLDS[r.state] and r.pools or {}) do
      add(in_pools, name)
      if pools.is_contended(kind_of(name)) then add(of_campaigns, name .. ' ' .. r.campaign) end
    end
  end)
  compare_pools(in_pools)
  compare_shares(of_campaigns)
  compare_requests(of_requests)
end

return recount
