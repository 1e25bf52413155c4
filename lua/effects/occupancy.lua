-- effects/occupancy.lua: reservations come to pools, and leave them.
local pools, shares, ceiling = need('pool'), need('shares'), need('ceiling')
local occupancy = {}

local HOLD_PART = 8 -- a new hold time moves the mean by one part in this many

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

-- Live reservations that the newest snapshot, seen from w0 on, may not contain yet.
function occupancy.pending(p, w0)
  if not w0 then return p.in_use end
  if w0 <= (p.known_at or 0) then return p.in_use end
  flush_writes()
  return call('ZCOUNT', PEND .. p.name, w0, '+inf')
end

function occupancy.held(p, w0)
  return p.in_use - occupancy.pending(p, w0)
end

-- A reservation is held by a pool when the pool's newest photograph must show its port.
function occupancy.holds(p, r)
  return p.w0 ~= nil and r.visible_by < p.w0 -- mutation: held-boundary
end

-- r joins those pools, unchecked. Whoever calls keeps them.
function occupancy.join(list, r)
  local campaign, visible_by, guaranteed = r.campaign, r.visible_by, zone.guaranteed
  local visible_text = score(visible_by)
  for i = 1, #list do
    local p = list[i]
    p.in_use = p.in_use + 1
    if p.adaptive then need('adaptive_headroom').shrink(p) end -- mutation: headroom-recovers
    if p.contended then
      local s = p.shares and p.shares[campaign]
      if s and not p.contending_classes and p.name ~= guaranteed then
        s.n, s.dirty = s.n + 1, true -- as shares.change does where nothing hangs on it
      else
        shares.change(p, campaign, 1)
      end
    end
    if p.fed and not (p.w0 and visible_by < p.w0) then buffer_write('ZADD', p.pend, visible_text, r.id) end
  end
end

local function lower(p, field, photographed_at, credit)
  if p[field] and not (credit and credit(photographed_at)) then
    p[field] = max(0, p[field] - 1) -- mutation: ceiling-falls
    pools.mark_changed(p)
  end
end

-- r leaves p. The snapshot had the last word on a held one: its port may be gone already, so the ceiling
-- falls with it, unless credit(t1) knows that it was busy in the photograph and is free now.
-- expired: nobody said that it ended; a ceiling that is kept then falls in any case. So it does when a call
-- failed that had a port: that may be gone with its media server.
function occupancy.leave(p, r, credit, expired)
  p.in_use = p.in_use - 1
  if p.contended then shares.change(p, r.campaign, -1) end
  if p.fed then
    if occupancy.holds(p, r) then lower(p, 'ceiling', p.t1, credit) end -- mutation: held-end-lowers-ceiling
    if expired or (r.outcome == 'failed' and (r.taken or occupancy.holds(p, r))) then -- mutation: failure-lowers-best-ceiling
      lower(p, 'best')
    elseif ceiling.counts(p, r) then -- mutation: end-lowers-best-ceiling
      lower(p, 'best', p.best_t1, credit) -- mutation: best-ceiling-falls
    end
    buffer_removal(p.pend, r.id)
  end
  pools.mark_dirty(p)
end

-- A reservation held those for so long.
function occupancy.learn(list, held_ms)
  for i = 1, #list do
    local p = list[i]
    p.hold = p.hold and floor(p.hold + (held_ms - p.hold) / HOLD_PART) or held_ms
    pools.mark_dirty(p)
  end
end

return occupancy
