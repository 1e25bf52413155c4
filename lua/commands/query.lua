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

local function view(r)
  if reservation.is_overdue(r) then r.state = 'expired' end
  r.releasing = r.state == 'releasing' or nil
  r.state = reservation.public_state(r)
  local shown = {}
  for _, name in ipairs(r.pools) do
    if name ~= ON_KNOWN_MPP then shown[#shown + 1] = name end
  end
  r.pools, r.due_at = shown, nil
  for _, name in ipairs(reservation.FIELDS) do
    if r[name] == false and name ~= 'taken' then r[name] = nil end
  end
  return r
end

function query.get(op)
  local r = reservation.read(op.id)
  if not r or #r.pools == 0 then return fault('unknown_reservation', 'id', op.id) end
  if op.scope and not contains(op.scope, r.campaign) then return fault('forbidden', 'id', op.id) end
  return view(r)
end

local function matches(op, r)
  return (not op.campaign or r.campaign == op.campaign) and (not op.owner or r.owner == op.owner)
    and (not op.state or r.state == op.state) and (not op.scope or contains(op.scope, r.campaign))
end

function query.list(op)
  local page = call('HSCAN', RES, op.cursor, 'COUNT', op.limit)
  local found = {}
  for i = 1, #page[2], 2 do
    local r = page[2][i] ~= '' and reservation.read(page[2][i])
    if r and #r.pools > 0 then
      r = view(r)
      if matches(op, r) then found[#found + 1] = r end
    end
  end
  return { cursor = page[1], reservations = found }
end

local function has_temporary_limit(p)
  return p.set_until ~= nil and now < p.set_until
end

-- What was learned of a channel, and which of its ceilings counts.
local function learned_view(p)
  local e = learned_ceiling.get_estimate(p)
  local fallback = learned_ceiling.find_fallback(p)
  return {
    ceiling = e and learned_ceiling.compute(p) or nil, fallback = fallback,
    in_force = zone.ceilings == 'learned' and not fallback, doubts = e and e.doubts ~= '-' and e.doubts or nil,
    t0 = e and e.t0 or nil, valid_until = e and e.valid_until or nil, pending = e and e.pending or nil,
    frozen_at = p.frozen_at, state = e and unit.get(age_bins.get_hash(p), 'state') or nil, target = zone.overlaunch_target,
  }
end

local function pool_view(p)
  local limit, snapshot = limits.get_limit(p), nil
  if p.t0 then
    snapshot = {
      t0 = p.t0, t1 = p.t1, w0 = p.w0, total = p.total or nil, unused = p.unused or nil, age_ms = now - p.t0,
      foreign = p.foreign, group = p.group,
    }
  end
  local pending = p.fed and occupancy.pending(p, p.w0) or nil
  return {
    pool = p.name, in_use = p.in_use, pending = pending, held = pending and p.in_use - pending,
    ceiling = p.ceiling or nil, capacity = p.rules.limit, limit = limit,
    headroom = limits.get_headroom(p, limit), room = limit and max(0, limits.get_room(p)), snapshot = snapshot,
    adaptive_headroom = p.adaptive and need('adaptive_headroom').get_headroom(p, limit or 0) or nil,
    set_limit = has_temporary_limit(p) and p.set_limit or nil, set_until = has_temporary_limit(p) and p.set_until or nil,
    wildcard = p.wildcard, learned = p.learns and learned_view(p) or nil,
  }
end

-- A pool without reservations that policy does not name is left out.
local function is_shown(p)
  local is_known = p.known and (not p.wildcard or p.t0 ~= nil)
  return is_known or p.in_use > 0 or has_temporary_limit(p) or zone.paused[p.name] ~= nil
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
  local n = #names
  if place == 'pools' and n > 0 then
    local own, others = call('HMGET', POLICY, unpack(names)), {}
    for i, name in ipairs(names) do
      local is_listed = own[i] or zone.is_channel[match(name, '^channel:(.*)')]
      if not is_listed then others[#others + 1] = name end
    end
    names = others
  end
  return names, follows, n
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
    local names, follows, n = scan_names(cursor)
    cursor, read = follows, read + n
    for _, name in ipairs(names) do
      if is_pool(name) and not found[name] then list[#list + 1], found[name] = name, true end
    end
  until not cursor or read >= SLICE
  pools.read_ahead(list)
  table.sort(list)
  local views = {}
  for _, name in ipairs(list) do
    local p = pools.get(name)
    if is_shown(p) then views[#views + 1] = pool_view(p) end
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
    policy = { version = zone.version, digest = call('HGET', POLICY, 'digest') },
    paused = zone.paused, shadow = zone.shadow or false,
    recovering = now < meta.recover_until or meta.in_doubt or false, recovered_from = meta.recovered_from,
    recover_until = meta.recover_until, max_age_ms = zone.max_age, pools = list, cursor = cursor, stats = counters, denied = denied, foreign = meta.foreign,
    waiters = need('wait_queue').count(), longest_wait_ms = need('wait_queue').get_longest_wait(),
    aside = need('aside').list(), recount = { in_doubt = meta.in_doubt or false, running = meta.recounting ~= nil },
    lease = { holder = meta.holder, token = meta.token, ['until'] = meta.lease_until },
  }
end

return query
