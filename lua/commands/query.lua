-- commands/query.lua: records, lists and the status of a zone. Changes nothing.
--
-- get:    id, scope?                                              -> the record, or a fault
-- list:   cursor, limit, state?, campaign?, owner?, scope?        -> {cursor, reservations}
-- status: cursor?                                                 -> {policy, paused, shadow,
--         recovering, ..., pools, cursor?, stats, denied, lease}; with cursor {pools, cursor?}: the following pools
local reservation, pools = need('reservation'), need('pool')
local occupancy, limits = need('occupancy'), need('limits')
local learned_ceiling, age_bins = need('learned_ceiling'), need('age_bins')
local query = {}

-- -> the record as it is shown: without what the script keeps with it
local function view(record)
  local state = reservation.is_overdue(record) and 'expired' or record.state
  local shown = { id = record.id, releasing = state == 'releasing' or nil }
  for _, name in ipairs(reservation.FIELDS) do shown[name] = record[name] or nil end
  shown.taken, shown.pools = record.taken, {}
  for _, name in ipairs(record.pools) do
    if name ~= ON_KNOWN_MPP then shown.pools[#shown.pools + 1] = name end
  end
  shown.state = state == 'releasing' and 'ended' or state
  return shown
end

function query.get(op)
  local record = reservation.read(op.id)
  if not record or #record.pools == 0 then return fault('unknown_reservation', 'id', op.id) end
  if op.scope and not contains(op.scope, record.campaign) then return fault('forbidden', 'id', op.id) end
  return view(record)
end

local function matches(op, record)
  return (not op.campaign or record.campaign == op.campaign) and (not op.owner or record.owner == op.owner)
    and (not op.state or record.state == op.state) and (not op.scope or contains(op.scope, record.campaign))
end

function query.list(op)
  local page = call('HSCAN', RES, op.cursor, 'COUNT', op.limit)
  local found = {}
  for i = 1, #page[2], 2 do
    local record = page[2][i] ~= '' and reservation.read(page[2][i])
    if record and #record.pools > 0 then
      local shown = view(record)
      if matches(op, shown) then found[#found + 1] = shown end
    end
  end
  return { cursor = page[1], reservations = found }
end

local function has_temporary_limit(pool)
  return pool.set_until ~= nil and now < pool.set_until
end

-- What was learned of a channel, and which of its ceilings counts.
local function learned_view(pool)
  local estimate = learned_ceiling.get_estimate(pool)
  local fallback = learned_ceiling.find_fallback(pool)
  local wanted_ms, port_ms = need('learned_gain').get(pool)
  return {
    ceiling = estimate and learned_ceiling.compute(pool) or nil, fallback = fallback,
    in_force = zone.ceilings == 'learned' and not fallback,
    doubts = estimate and estimate.doubts ~= '-' and estimate.doubts or nil, t0 = estimate and estimate.t0 or nil,
    valid_until = estimate and estimate.valid_until or nil, pending = estimate and estimate.pending or nil,
    state = estimate and unit.get(age_bins.get_hash(pool), 'state') or nil,
    frozen_at = pool.frozen_at, target = zone.overlaunch_target, wanted_ms = wanted_ms, gain_port_ms = port_ms,
  }
end

local function pool_view(pool)
  local limit, snapshot = limits.get_limit(pool), nil
  if pool.t0 then
    snapshot = {
      t0 = pool.t0, t1 = pool.t1, w0 = pool.w0, total = pool.total or nil, unused = pool.unused or nil, age_ms = now - pool.t0,
      foreign = pool.foreign, group = pool.group,
    }
  end
  local pending = pool.fed and occupancy.pending(pool, pool.w0) or nil
  return {
    pool = pool.name, in_use = pool.in_use, pending = pending, held = pending and pool.in_use - pending,
    ceiling = pool.ceiling or nil, capacity = pool.rules.limit, limit = limit,
    headroom = limits.get_headroom(pool, limit), room = limit and max(0, limits.get_room(pool)), snapshot = snapshot,
    adaptive_headroom = pool.adaptive and need('adaptive_headroom').get_headroom(pool, limit or 0) or nil,
    set_limit = has_temporary_limit(pool) and pool.set_limit or nil,
    set_until = has_temporary_limit(pool) and pool.set_until or nil,
    wildcard = pool.wildcard, learned = pool.learns and learned_view(pool) or nil,
  }
end

-- A pool without reservations that policy does not name is left out.
local function is_shown(pool)
  local is_known = pool.known and (not pool.wildcard or pool.t0 ~= nil)
  return is_known or pool.in_use > 0 or has_temporary_limit(pool) or zone.paused[pool.name] ~= nil
end

local SLICE = 500 -- names of pools read in one call: a zone with thousands of pools is shown by several calls
local CURSOR = '^(%a+) (%d+)$'

-- Read names of pools: first those of policy, then those that have state only.
-- cursor: "policy N" or "pools N", N of HSCAN -> names, the next cursor (nil after the last), and how many were read
local function scan_names(cursor)
  local place, at = match(cursor, CURSOR)
  local page, names = call('HSCAN', place == 'policy' and POLICY or POOLS, at, 'COUNT', SLICE), {}
  for i = 1, #page[2], 2 do names[#names + 1] = page[2][i] end
  local follows = page[1] ~= '0' and place .. ' ' .. page[1] or place == 'policy' and 'pools 0' or nil
  local read = #names
  if place == 'pools' and read > 0 then
    local own, others = call('HMGET', POLICY, unpack(names)), {}
    for i, name in ipairs(names) do
      local is_listed = own[i] or zone.is_channel[match(name, '^channel:(.*)')]
      if not is_listed then others[#others + 1] = name end
    end
    names = others
  end
  return names, follows, read
end

local function is_pool(name)
  local kind, rest = match(name, '^([^:]+):(.+)$')
  return kind and kind ~= 'application' and rest ~= '*' and not pools.is_whole_mpp(name)
end

-- Every pool that policy names, that is in use or fed by snapshots, paused, or under a temporary limit: a slice.
-- -> pools in the order of their names, and the cursor of the next slice, nil after the last
local function list_pools(cursor)
  local found, list, read = {}, {}, 0
  if cursor == 'policy 0' then
    for i, channel in ipairs(zone.channels) do list[i], found['channel:' .. channel] = 'channel:' .. channel, true end
  end
  repeat
    local names, follows, read_now = scan_names(cursor)
    cursor, read = follows, read + read_now
    for _, name in ipairs(names) do
      if is_pool(name) and not found[name] then list[#list + 1], found[name] = name, true end
    end
  until not cursor or read >= SLICE
  pools.read_ahead(list)
  table.sort(list)
  local views = {}
  for _, name in ipairs(list) do
    local pool = pools.get(name)
    if is_shown(pool) then views[#views + 1] = pool_view(pool) end
  end
  return views, cursor
end

-- -> the counters, and the recent denials, newest first (state/deny_log.lua)
local function read_stats()
  local flat, named, denied = call('HGETALL', STATS), {}, {}
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 7) == 'denied:' then
      local ok, denial = pcall(decode, flat[i + 1])
      if ok and type(denial) == 'table' and denial.at then denied[#denied + 1] = denial end
    elseif flat[i] ~= '' then
      named[flat[i]] = tonumber(flat[i + 1])
    end
  end
  table.sort(denied, function(a, b) return a.at > b.at end)
  return named, denied
end

function query.status(op)
  pools.flush() -- the list shows what this call changed
  local list, cursor = list_pools(op.cursor or 'policy 0')
  if op.cursor then return { pools = list, cursor = cursor } end
  local counters, denied = read_stats()
  return {
    schema = SCHEMA,
    stored = {
      reservations = call('HLEN', RES) - 1, max_reservations = zone.max_records, pools = call('HLEN', POOLS) - 1, max_pools = zone.max_pools,
    },
    policy = { version = zone.version, digest = call('HGET', POLICY, 'digest') },
    paused = zone.paused, shadow = zone.shadow or false,
    recovering = now < meta.recover_until or meta.in_doubt or false, recovered_from = meta.recovered_from,
    recover_until = meta.recover_until, max_age_ms = zone.max_age, pools = list, cursor = cursor, stats = counters,
    denied = denied, foreign = meta.foreign,
    waiters = need('wait_queue').count(), longest_wait_ms = need('wait_queue').get_longest_wait(),
    aside = need('aside').list(), recount = { in_doubt = meta.in_doubt or false, running = meta.recounting ~= nil },
    lease = { holder = meta.holder, token = meta.token, ['until'] = meta.lease_until },
  }
end

return query
