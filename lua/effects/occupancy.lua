-- effects/occupancy.lua: adds reservations to pools and removes them; counts which of them a snapshot shows.
local pools, shares, ceiling = need('pool'), need('shares'), need('ceiling')
local occupancy = {}

-- Weight 1/8 of a new sample in the mean hold time: that of the smoothed round-trip time of TCP (RFC 6298, section 2).
local HOLD_PART = 8

local lists, generation = {}, nil

-- -> the pools that a reservation occupies; ports: channels among them; is_judged: one has a breaker
function occupancy.pools(r)
  if generation ~= pools.generation then lists, generation = {}, pools.generation end
  local list = lists[r.pools]
  if list then return list end
  list = { ports = 0, is_judged = false }
  for i, name in ipairs(r.pools) do
    local p = pools.get(name)
    list[i] = p
    if p.kind == 'channel' then list.ports = list.ports + 1 end
    if p.rules.breaker then list.is_judged = true end
  end
  lists[r.pools] = list
  return list
end

-- -> units that a snapshot whose window begins at w0 (zone time in ms) may not contain yet
function occupancy.pending(p, w0)
  if not w0 then return p.in_use end
  if w0 <= (p.known_at or 0) then return p.in_use end
  return call('ZCOUNT', PEND .. p.name, w0, '+inf')
end

function occupancy.held(p, w0)
  return p.in_use - occupancy.pending(p, w0)
end

-- Is r held: must the newest snapshot of p show its port?
function occupancy.holds(p, r)
  return p.w0 ~= nil and r.visible_by < p.w0 -- mutation: held-boundary
end

-- r joins the pools of the list without a check of room. The caller marks them as dirty.
function occupancy.join(list, r)
  unit.change()
  local campaign, visible_by, guaranteed = r.campaign, r.visible_by, zone.guaranteed
  local visible_text = score(visible_by)
  for i = 1, #list do
    local p = list[i]
    p.in_use = p.in_use + 1
    if p.adaptive then need('adaptive_headroom').shrink(p) end -- mutation: headroom-recovers
    if p.contended then
      local s = p.shares and p.shares[campaign]
      if s and not p.contending_classes and p.name ~= guaranteed then
        s.n, s.dirty = s.n + 1, true -- shares.change, where no guarantee and no contention depends on it
      else
        shares.change(p, campaign, 1)
      end
    end
    if p.fed and not (p.w0 and visible_by < p.w0) then unit.add_new(p.pending_set or pools.pending(p), r.id, visible_text) end
  end
end

-- Every snapshot from that moment on shows the port. moment: zone time in ms
function occupancy.limit_visible_by(r, moment)
  if moment >= r.visible_by then return end
  r.visible_by = moment
  for _, p in ipairs(occupancy.pools(r)) do
    if p.fed and not occupancy.holds(p, r) then unit.move(pools.pending(p), r.id, score(moment)) end
  end
end

local function lower(p, field, snapshot_at, credit)
  if p[field] and not (credit and credit(snapshot_at)) then
    pools.change(p, { [field] = max(0, p[field] - 1) }) -- mutation: ceiling-falls
  end
end

-- Did a call fail that had a port of p? The port may be gone together with its media server, until a snapshot shows it
-- as unused. A call that failed before it took a port took none from the unused ones that the newest snapshot counts.
local function may_have_lost_port(p, r)
  if p.kind ~= 'channel' and p.kind ~= 'mpp' then return false end -- mutation: failure-loses-ports-only
  return r.outcome == 'failed' and (r.taken or occupancy.holds(p, r))
end

-- r leaves p. For a held r the snapshot decided: its port may have been taken over already, so the ceiling falls by
-- one, unless credit(t1) shows that the port was busy at the snapshot and is free now.
-- expired: no report of an end came. Then, and when a port may be gone, a kept ceiling falls in any case.
function occupancy.leave(p, r, credit, expired)
  unit.change()
  p.in_use = p.in_use - 1
  if p.kind == 'mpp' then pools.grown[#pools.grown + 1] = p end
  if p.contended then shares.change(p, r.campaign, -1) end
  if p.fed then
    local is_lost = may_have_lost_port(p, r)
    if occupancy.holds(p, r) or is_lost then lower(p, 'ceiling', p.t1, credit) end -- mutation: held-end-lowers-ceiling
    if expired or is_lost then -- mutation: failure-lowers-best-ceiling
      lower(p, 'best')
    elseif ceiling.counts(p, r) then -- mutation: end-lowers-best-ceiling
      lower(p, 'best', p.best_t1, credit) -- mutation: best-ceiling-falls
    end
    unit.remove(pools.pending(p), r.id)
  end
  pools.mark_dirty(p)
end

-- Update the mean hold time of the pools of the list. held_ms: how long a reservation held them
function occupancy.learn(list, held_ms)
  for i = 1, #list do
    local p = list[i]
    p.hold = p.hold and floor(p.hold + (held_ms - p.hold) / HOLD_PART) or held_ms
    pools.mark_dirty(p)
  end
end

return occupancy
