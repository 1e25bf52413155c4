-- pool.lua: a pool's counts, read at most once and written at most once in a call.
--
-- pools hash, pool -> JSON object of what is known of:
--   in_use    live reservations that name it
--   t0, t1, w0, total, unused   its newest snapshot
--   ceiling   the most reservations that may hold it, by that snapshot
--   known_at  held counts as 0 until w0 is later: older reservations are not in its pend set
--   foreign, group   of a channel: ports that others used then; the channels that are counted together
--   best, best_t1, best_w0   an older ceiling that is kept, and its snapshot's t1, w0 (ceiling.lua)
--   adaptive  headroom that measured over-launches called for, in parts of a port (adaptive.lua)
--   hold      mean time in ms that a reservation holds it, learned from ends
--   hungry    digits: priority classes that have campaigns hungry for it (hunger.lua)
--   unmet     units of guarantees that their campaigns do not use now (share.lua)
--   tat       theoretical arrival time of its rate, us, as text (rate.lua)
--   set_limit, set_until   a limit for a while, from outside
--   slots, open_until, probe_until   its circuit breaker (breaker.lua)
local ceiling = need('ceiling')
local pools = {}
local cache, dirty, lists = {}, {}, {}

-- What was kept of pools that were read belongs to this generation: a flush begins the next.
pools.generation = 0
-- As long as this does not grow, nothing but counts changed.
pools.changes = 0

local SNAPSHOT = {
  't0', 't1', 'w0', 'total', 'unused', 'ceiling', 'known_at', 'best', 'best_t1', 'best_w0', 'foreign', 'group',
}
local REST = { 'adaptive', 'hold', 'hungry', 'unmet', 'tat', 'set_limit', 'set_until', 'slots', 'open_until', 'probe_until' }

local RETRY_MS_MAX = 30000
local HOLD_PART = 8 -- a new hold time moves the mean by one part in this many

-- Read several at once that are wanted soon: a command for each would cost more than all else.
local ahead, ahead_rules = {}, {}
function pools.read_ahead(names)
  local missing = {}
  for _, name in ipairs(names) do
    if not cache[name] and ahead[name] == nil then missing[#missing + 1] = name end
  end
  if #missing < 2 then return end
  local texts, rules = call('HMGET', POOLS, unpack(missing)), call('HMGET', POLICY, unpack(missing))
  for i, name in ipairs(missing) do ahead[name], ahead_rules[name] = texts[i], rules[i] end
end

-- What policy says of a pool, or nil if it knows none of that name; and whether it says so of the
-- whole kind (campaign:*, agent:*) and not of this one.
local function rules_of(name, kind)
  if kind == 'channel' then
    local channel = string.sub(name, 9)
    if not zone.is_channel[channel] then return nil end
    return { limit = zone.capacity[channel] }
  end
  if name == ON_KNOWN_MPP then return {} end
  if name == 'zone' then return { rate_per_s = zone.rate_per_s, burst = zone.burst } end
  -- The policy hash has more than pools: what has no kind, and applications.
  if kind == name or kind == 'application' then return nil end
  local text = ahead_rules[name]
  if text == nil then text = call('HGET', POLICY, name) end
  if text then return decode(text) end
  if kind == 'mpp' then
    -- A channel that policy does not list for an MPP has no ports there.
    local mpp, channel = string.match(name, '^mpp:([^:]+):?([^:]*)$')
    if mpp and channel == '' then return zone.is_mpp[mpp] and {} or nil end -- the whole MPP
    return mpp and zone.is_mpp[mpp] and zone.is_channel[channel] and { limit = 0 } or nil
  end
  text = call('HGET', POLICY, kind .. ':*')
  if not text then return nil end
  return decode(text), true
end

-- mpp:mpp1 has a rate and can be paused, but no reservation holds it: its channels are the pools.
function pools.is_whole_mpp(name)
  return string.match(name, '^mpp:[^:]+$') ~= nil
end

function pools.get(name)
  if cache[name] then return cache[name] end
  local kind = kind_of(name)
  local text = ahead[name]
  if text == nil then text = call('HGET', POOLS, name) end
  local p, rules, wildcard = text and decode(text) or { in_use = 0 }, rules_of(name, kind)
  p.name, p.kind, p.rules, p.known, p.wildcard = name, kind, rules or {}, rules ~= nil, wildcard
  p.pend = PEND .. name
  -- Several campaigns may want it: not a campaign's own pool, nor one that only counts.
  p.contended = kind ~= 'campaign' and kind ~= ON_KNOWN_MPP and kind ~= 'zone'
  if kind == 'channel' and not zone.is_fed[string.sub(name, 9)] then
    for _, field in ipairs(SNAPSHOT) do p[field] = nil end
  else
    p.fed = p.t0 ~= nil or kind == 'channel' or kind == ON_KNOWN_MPP
  end
  cache[name] = p
  if need('wake').is_wanted() then need('wake').measure(p) end
  return p
end

-- Call f with every pool that was read in this call.
function pools.each(f)
  for _, p in pairs(cache) do f(p) end
end

-- -> the pools that a reservation occupies
function pools.all(r)
  local list = lists[r.pools]
  if list then return list end
  list = {}
  for i, name in ipairs(r.pools) do list[i] = pools.get(name) end
  lists[r.pools] = list
  return list
end

-- What a decision is worked out from, other than counts, has changed.
function pools.forget_limit(p)
  p.limit_now, p.usable_now, p.shown_as = nil, nil, nil
  pools.changes = pools.changes + 1
end

-- To be written, and its limit may be another now.
function pools.touch(p)
  dirty[p.name] = p
  pools.forget_limit(p)
end

-- To be written; what may hold it has not changed.
function pools.keep(p)
  dirty[p.name] = p
end

-- Nobody holds it, and policy does not name it: such pools come with every new name that is asked for.
local NAMED_BY_ALL = set_of({ 'channel', 'mpp', ON_KNOWN_MPP })
local function is_passing(p)
  return p.in_use == 0 and (p.wildcard or not p.known) and not NAMED_BY_ALL[p.kind]
end

local function saved(p)
  if is_passing(p) then
    p.hold = nil
    if p.tat and tonumber(p.tat) <= now_us then p.tat = nil end
  end
  local text, is_worth = { in_use = p.in_use }, p.in_use ~= 0
  for _, fields in ipairs({ SNAPSHOT, REST }) do
    for _, field in ipairs(fields) do
      if p[field] then text[field], is_worth = p[field], true end
    end
  end
  return is_worth and encode(text)
end

function pools.flush()
  local written = {}
  for name, p in pairs(dirty) do
    if p.was_worth then need('wake').compare(p) end
    local text = saved(p)
    if text then
      written[#written + 1], written[#written + 2] = name, text
    else
      call('HDEL', POOLS, name)
    end
  end
  write_all(POOLS, written)
  cache, dirty, lists, ahead, ahead_rules = {}, {}, {}, {}, {}
  pools.generation = pools.generation + 1
end

-- Live reservations that the newest snapshot, seen from w0 on, may not contain yet.
function pools.pending(p, w0)
  if not w0 then return p.in_use end
  if w0 <= (p.known_at or 0) then return p.in_use end
  return call('ZCOUNT', PEND .. p.name, w0, '+inf')
end

function pools.held(p, w0)
  return p.in_use - pools.pending(p, w0)
end

-- A reservation is held by a pool when the pool's newest photograph must show its port.
function pools.holds(p, r)
  return p.w0 ~= nil and r.visible_by < p.w0
end

local shares
local function share()
  shares = shares or need('share') -- which needs this module
  return shares
end

-- r joins p, unchecked.
function pools.join(p, r)
  p.in_use = p.in_use + 1
  if p.adaptive then need('adaptive').went_well(p) end
  if p.contended then share().change(p, r.campaign, 1) end
  if p.fed and not pools.holds(p, r) then call('ZADD', p.pend, score(r.visible_by), r.id) end
  pools.keep(p)
end

local function lower(p, field, photographed_at, credit)
  if p[field] and not (credit and credit(photographed_at)) then
    p[field] = max(0, p[field] - 1)
    pools.touch(p)
  end
end

-- r leaves p. The snapshot had the last word on a held one: its port may be gone already, so the
-- ceiling falls with it, unless credit(t1) knows that it was busy in the photograph and is free now.
-- expired: nobody said that it ended; a ceiling that is kept then falls in any case. So it does when a call
-- failed that had a port: that may be gone with its media server.
function pools.leave(p, r, credit, expired)
  p.in_use = p.in_use - 1
  if p.contended then share().change(p, r.campaign, -1) end
  if p.fed then
    if pools.holds(p, r) then lower(p, 'ceiling', p.t1, credit) end
    if expired or (r.outcome == 'failed' and (r.taken or pools.holds(p, r))) then
      lower(p, 'best')
    elseif ceiling.counts(p, r) then
      lower(p, 'best', p.best_t1, credit)
    end
    call('ZREM', p.pend, r.id)
  end
  pools.keep(p)
end

-- Is its snapshot to be believed? (An MPP's lapses: then the estimate stands in for it.)
function pools.is_fresh(p)
  return p.t0 and p.w0 > meta.recover_until and now - p.t0 <= zone.max_age
end

local function smaller(a, b)
  if a and b then return min(a, b) end
  return a or b
end

-- -> the most reservations that may hold p now, nil if nothing limits it. Found once for many asks:
-- whatever changes it touches p.
function pools.limit(p)
  if p.limit_now == nil then
    local set = p.set_until and now < p.set_until and p.set_limit or nil
    p.limit_now = smaller(set, pools.lasting_limit(p)) or false
  end
  return p.limit_now or nil
end

-- -> the same without what somebody set for a while
function pools.lasting_limit(p)
  local capacity = p.rules.limit
  if p.kind ~= 'mpp' or capacity == nil then return smaller(capacity, ceiling.of(p)) end
  if pools.is_fresh(p) then return smaller(capacity, ceiling.of(p)) end
  if not capacity or zone.mpp_total == 0 then return capacity end
  return max(0, capacity - ceil(meta.foreign * capacity / zone.mpp_total))
end

-- -> ports of p that are never granted
function pools.headroom(p, limit)
  if p.kind ~= 'channel' or not limit then return 0 end
  return zone.headroom + ceil(limit * zone.headroom_percent / 100) + (p.adaptive and need('adaptive').headroom(p, limit) or 0)
end

-- A reservation held it for so long.
function pools.learn(p, held_ms)
  p.hold = p.hold and floor(p.hold + (held_ms - p.hold) / HOLD_PART) or held_ms
  pools.keep(p)
end

-- -> ms until so many units are likely to be free, from how fast they were freed lately
function pools.retry_after(p, units)
  if not p.hold or p.in_use == 0 then return zone.poll_interval end
  return max(zone.poll_min, min(RETRY_MS_MAX, ceil(p.hold * units / p.in_use)))
end

-- -> free units, nil if nothing limits it
function pools.room(p)
  if p.usable_now == nil then
    local limit = pools.limit(p)
    p.usable_now = limit and limit - pools.headroom(p, limit) or false
  end
  return p.usable_now and p.usable_now - p.in_use or nil
end

return pools
