-- commands/query.lua: records, lists and the status of a zone. Changes nothing.
--
-- get:    id, scope?                                              -> the record, or a fault
-- list:   cursor, limit, state?, campaign?, owner?, scope?        -> {cursor, reservations}
-- status: -                                                       -> {policy, paused, shadow,
--         recovering, ..., pools, stats, denied, lease}
local reservation, pools = need('reservation'), need('pool')
local occupancy, limits = need('occupancy'), need('limits')
local query = {}

local function view(r)
  if reservation.is_overdue(r) then r.state = 'expired' end
  r.releasing = r.state == 'releasing' or nil
  r.state = reservation.public_state(r)
  local shown = {}
  for _, name in ipairs(r.pools) do
    if name ~= ON_KNOWN_MPP then shown[#shown + 1] = name end
  end
  r.pools = shown
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
    wildcard = p.wildcard,
  }
end

-- A pool without reservations that policy does not name is left out.
local function is_shown(p)
  local is_known = p.known and (not p.wildcard or p.t0 ~= nil)
  return is_known or p.in_use > 0 or has_temporary_limit(p) or zone.paused[p.name] ~= nil
end

-- Every pool that policy names, that is in use or fed by snapshots, paused, or under a temporary limit.
local function list_pools()
  local names = {}
  for _, channel in ipairs(zone.channels) do names['channel:' .. channel] = true end
  for _, source in ipairs({ POLICY, POOLS }) do
    for _, name in ipairs(call('HKEYS', source)) do
      local kind, rest = string.match(name, '^([^:]+):(.+)$')
      local is_pool = kind and kind ~= 'application' and rest ~= '*' and not pools.is_whole_mpp(name)
      if is_pool then names[name] = true end
    end
  end
  local list = {}
  for name in pairs(names) do
    if is_shown(pools.get(name)) then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

-- -> the counters, and the recent denials, newest first (state/deny_log.lua)
local function read_stats()
  local flat, named, denied = call('HGETALL', STATS), {}, {}
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 7) == 'denied:' then
      denied[#denied + 1] = decode(flat[i + 1])
    elseif flat[i] ~= '' then
      named[flat[i]] = tonumber(flat[i + 1])
    end
  end
  table.sort(denied, function(a, b) return a.at > b.at end)
  return named, denied
end

function query.status()
  pools.flush() -- the list shows what this call changed
  local list = {}
  for i, name in ipairs(list_pools()) do list[i] = pool_view(pools.get(name)) end
  local counters, denied = read_stats()
  return {
    schema = SCHEMA,
    policy = { version = zone.version, digest = call('HGET', POLICY, 'digest') },
    paused = zone.paused, shadow = zone.shadow or false,
    recovering = now < meta.recover_until, recovered_from = meta.recovered_from,
    recover_until = meta.recover_until, max_age_ms = zone.max_age, pools = list, stats = counters, denied = denied, foreign = meta.foreign,
    waiters = need('wait_queue').count(), longest_wait_ms = need('wait_queue').get_longest_wait(),
    lease = { holder = meta.holder, token = meta.token, ['until'] = meta.lease_until },
  }
end

return query
