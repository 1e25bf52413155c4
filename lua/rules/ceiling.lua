-- rules/ceiling.lua: the most reservations that may hold a channel pool, by its snapshots.
--
-- The proved ceiling: the newest snapshot always counts. Where only this service uses the ports (dedicated), or others take no more
-- of them in a second than policy says (growth_per_s), an older snapshot stays true too, less what others may
-- have taken since. The higher ceiling of both counts. Where policy says ceilings = "learned", the learned ceiling
-- (rules/learned_ceiling.lua) counts instead, while it is trusted.
local pools = need('pool')
local ceiling = {}

local function can_keep(p)
  return p.kind == 'channel' and (zone.dedicated or zone.growth_per_s > 0)
end

local function growth(w0)
  return ceil(zone.growth_per_s * (now - w0) / 1000)
end

-- -> the proved ceiling of a channel now
local function compute_proved(p)
  local most = p.ceiling - growth(p.w0)
  if p.best_w0 and can_keep(p) then most = max(most, p.best - growth(p.best_w0)) end -- mutation: best-ceiling-shrinks
  return max(0, most)
end

-- -> the ceiling of p now, nil if the platform reported none
function ceiling.compute(p)
  if not p.ceiling or p.kind ~= 'channel' then return p.ceiling end
  local proved = compute_proved(p)
  if zone.ceilings ~= 'learned' then return proved end -- mutation: proved-unless-policy-says
  return need('learned_ceiling').choose(p, proved, can_keep(p), growth)
end

-- Does the kept ceiling count r? Not if r was granted after its snapshot, or pending in it.
function ceiling.counts(p, r)
  return p.best_w0 ~= nil and r.visible_by < p.best_w0
end

function ceiling.forget_kept(p)
  if p.best_w0 then pools.change(p, { best = false, best_t1 = false, best_w0 = false }) end
end

-- A newer snapshot is about to replace the newest: keep that one if its ceiling is better than the kept one. This is
-- decided only now, after calls that ended before the old snapshot were reported. total: of the newer snapshot
function ceiling.keep_if_better(p, total)
  -- A snapshot from before a loss of state counts ports of reservations that were lost.
  if p.w0 <= meta.recover_until then return ceiling.forget_kept(p) end -- mutation: best-ceiling-ends-with-loss
  if not can_keep(p) or p.total ~= total then return ceiling.forget_kept(p) end
  -- Calls that were pending in so old a snapshot may have expired here, and be up.
  if not p.ceiling or now - p.t0 > zone.max_age then return end
  local grown = p.best_w0 and zone.growth_per_s * (p.w0 - p.best_w0) / 1000
  if not grown or p.ceiling > p.best - grown then pools.change(p, { best = p.ceiling, best_t1 = p.t1, best_w0 = p.w0 }) end
end

return ceiling
