-- effects/occupancy.lua: adds reservations to pools and removes them; counts which of them a snapshot shows.
local pools, shares, ceiling = need('pool'), need('shares'), need('ceiling')
local occupancy = {}

-- Weight 1/8 of a new sample in the mean hold time: that of the smoothed round-trip time of TCP (RFC 6298, section 2).
local HOLD_PART = 8

local lists = pools.make_derived() -- names of pools, as reservations of a call share them -> the pools

-- -> the pools that a reservation occupies; ports: channels among them; is_judged: one has a breaker
function occupancy.pools(record)
  local list = lists[record.pools]
  if list then return list end
  list = { ports = 0, is_judged = false }
  for i, name in ipairs(record.pools) do
    local pool = pools.get(name)
    list[i] = pool
    if pool.kind == 'channel' then list.ports = list.ports + 1 end
    if pool.rules.breaker then list.is_judged = true end
  end
  lists[record.pools] = list
  return list
end

-- -> units that a snapshot whose window begins at w0 (zone time in ms) may not contain yet
function occupancy.pending(pool, w0)
  if not w0 then return pool.in_use end
  if w0 <= (pool.known_at or 0) then return pool.in_use end
  return call('ZCOUNT', PEND .. pool.name, w0, '+inf')
end

function occupancy.held(pool, w0)
  return pool.in_use - occupancy.pending(pool, w0)
end

-- Is the reservation held: must the newest snapshot of the pool show its port?
function occupancy.holds(pool, record)
  return pool.w0 ~= nil and record.visible_by < pool.w0 -- mutation: held-boundary
end

-- What the joins of several equal reservations have in common, while pools.version stays the same: pools, shares, sets of pending
-- reservations, channels that learn. -> nil where a join depends on more than counts: occupancy.join decides
local function prepare_joins(list, record)
  local joins = { version = pools.version, pools = list, shares = {}, pending = {}, channels = {} }
  for i = 1, #list do
    local pool = list[i]
    if pool.adaptive or pool.contending_classes or pool.name == zone.guaranteed then return nil end
    if pool.contended then joins.shares[#joins.shares + 1] = shares.get_entry(pool, record.campaign) end
    if pool.learns and not record.adopted then joins.channels[#joins.channels + 1] = pool end
    if pool.fed and not occupancy.holds(pool, record) then joins.pending[#joins.pending + 1] = pools.pending(pool) end
  end
  return joins
end

-- One of the reservations of a record joins. Its record was written before, so the call has changed something already.
local function join_prepared(joins, record)
  local id, visible_text, list = record.id, record.visible_text, joins.pools
  for i = 1, #list do
    local pool = list[i]
    pool.in_use, pool.is_written = pool.in_use + 1, true
  end
  list = joins.shares
  for i = 1, #list do
    local share = list[i]
    share.n, share.dirty = share.n + 1, true
  end
  list = joins.channels
  for i = 1, #list do list[i].joined = (list[i].joined or 0) + 1 end
  list = joins.pending
  for i = 1, #list do unit.add_new(list[i], id, visible_text) end
end

-- A reservation of a record joins the pools of the list: of a table that many grants of a call share but for its id
-- (effects/grant.lua). From the second one on, what they have in common is looked up once.
function occupancy.join_as(list, record)
  local joins = record.joins
  if joins and joins.version == pools.version then return join_prepared(joins, record) end
  occupancy.join(list, record)
  if record.is_used and record.prepared_at ~= pools.version then
    record.joins, record.visible_text, record.prepared_at = prepare_joins(list, record), score(record.visible_by), pools.version
  end
  record.is_used = true
end

-- The reservation joins the pools of the list without a check of room.
function occupancy.join(list, record)
  unit.change()
  local id, campaign, visible_by, guaranteed = record.id, record.campaign, record.visible_by, zone.guaranteed
  local visible_text = score(visible_by)
  for i = 1, #list do
    local pool = list[i]
    pool.in_use, pool.is_written = pool.in_use + 1, true
    if pool.kind == 'channel' then
      if pool.adaptive then need('adaptive_headroom').shrink(pool) end -- mutation: headroom-recovers
      if pool.learns and not record.adopted then pool.joined = (pool.joined or 0) + 1 end -- for state/age_bins.lua
    end
    if pool.contended then
      local share = pool.shares and pool.shares[campaign]
      if share and not pool.contending_classes and pool.name ~= guaranteed then
        share.n, share.dirty = share.n + 1, true -- shares.change, where no guarantee and no contention depends on it
      else
        shares.change(pool, campaign, 1)
      end
    end
    if pool.fed then
      local w0 = pool.w0
      if not (w0 and visible_by < w0) then unit.add_new(pool.pending_set or pools.pending(pool), id, visible_text) end
    end
  end
end

-- Every snapshot from that moment on shows the port. moment: zone time in ms
function occupancy.limit_visible_by(record, moment)
  if moment >= record.visible_by then return end
  record.visible_by = moment
  for _, pool in ipairs(occupancy.pools(record)) do
    if pool.fed and not occupancy.holds(pool, record) then unit.move(pools.pending(pool), record.id, score(moment)) end
  end
end

local function lower(pool, field, snapshot_at, credit)
  if pool[field] and not (credit and credit(snapshot_at)) then
    pools.change(pool, { [field] = max(0, pool[field] - 1) }) -- mutation: ceiling-falls
  end
end

-- Did a call fail that had a port of the pool? The port may be gone together with its media server, until a snapshot
-- shows it as unused. A call that failed before it took a port took none from the unused ones that the newest snapshot counts.
local function may_have_lost_port(pool, record, is_held)
  if pool.kind ~= 'channel' and pool.kind ~= 'mpp' then return false end -- mutation: failure-loses-ports-only
  return record.taken or is_held
end

-- The effect on the ceilings of the pool, which the reservation leaves. Of a held one the snapshot decided: its port may have been taken
-- over already, so the ceiling falls by one, unless credit(t1) shows that the port was busy at the snapshot and is free now.
local function lower_ceilings(pool, record, is_held, credit, expired)
  local is_lost = record.outcome == 'failed' and may_have_lost_port(pool, record, is_held)
  if is_held or is_lost then lower(pool, 'ceiling', pool.t1, credit) end -- mutation: held-end-lowers-ceiling
  if not pool.best then return end
  if expired or is_lost then -- mutation: failure-lowers-best-ceiling
    lower(pool, 'best')
  elseif ceiling.counts(pool, record) then -- mutation: end-lowers-best-ceiling
    lower(pool, 'best', pool.best_t1, credit) -- mutation: best-ceiling-falls
  end
end

local age_bins -- once it is needed

-- The reservation leaves the pools of the list.
-- expired: no report of an end came. Then, and when a port may be gone, a kept ceiling falls in any case.
-- held_ms: how long it held them, for their mean hold time, the source of retry_after_ms; or nil
function occupancy.leave(list, record, credit, expired, held_ms)
  unit.change()
  local id, campaign, has_failed, guaranteed = record.id, record.campaign, record.outcome == 'failed', zone.guaranteed
  local visible_text = score(record.visible_by)
  for i = 1, #list do
    local pool = list[i]
    if held_ms then
      local mean = pool.hold
      mean = mean and mean + (held_ms - mean) / HOLD_PART or held_ms
      pool.in_use, pool.hold, pool.is_written = pool.in_use - 1, mean - mean % 1, true
    else
      pool.in_use, pool.is_written = pool.in_use - 1, true
    end
    if pool.kind == 'mpp' then pools.note_growth(pool) end
    if pool.contended then
      local share = pool.shares and pool.shares[campaign]
      if share and not pool.contending_classes and pool.name ~= guaranteed then
        share.n, share.dirty = share.n - 1, true -- as in occupancy.join
      else
        shares.change(pool, campaign, -1)
      end
    end
    if pool.fed then
      local is_held, w0 = occupancy.holds(pool, record), pool.w0
      if is_held or has_failed or pool.best then lower_ceilings(pool, record, is_held, credit, expired) end
      -- It is certainly pending, with this score, if it is younger than the feed and no snapshot must show it.
      local is_pending = w0 and not is_held and w0 > (pool.known_at or 0)
      unit.set_score(pool.pending_set or pools.pending(pool), id, false, is_pending and visible_text or nil)
      if pool.learns then
        age_bins = age_bins or need('age_bins')
        age_bins.leave(pool, record, is_held, expired)
      end
    end
  end
end

return occupancy
