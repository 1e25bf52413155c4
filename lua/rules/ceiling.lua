-- rules/ceiling.lua: the most reservations that may hold a channel pool, by its snapshots.
--
-- The proved ceiling: the newest snapshot always counts. Where only this service uses the ports (dedicated), or others take no more
-- of them in a second than policy says (growth_per_s), an older snapshot stays true too, less what others may
-- have taken since. The higher ceiling of both counts. Where policy says ceilings = "learned", the learned ceiling
-- (rules/learned_ceiling.lua) counts beside it, while it is trusted.
local pools = need('pool')
local ceiling = {}

local function can_keep(pool)
  return pool.kind == 'channel' and (zone.dedicated or zone.growth_per_s > 0)
end

local function growth(w0)
  return ceil(zone.growth_per_s * (now - w0) / 1000)
end

-- -> the proved ceiling of a channel now
local function compute_proved(pool)
  local most = pool.ceiling - growth(pool.w0)
  if pool.best_w0 and can_keep(pool) then most = max(most, pool.best - growth(pool.best_w0)) end -- mutation: best-ceiling-shrinks
  return max(0, most)
end

-- -> the ceiling of the pool now, nil if the platform reported none
function ceiling.compute(pool)
  if not pool.ceiling or pool.kind ~= 'channel' then return pool.ceiling end
  local proved = compute_proved(pool)
  if zone.ceilings ~= 'learned' then return proved end -- mutation: proved-unless-policy-says
  return need('learned_ceiling').choose(pool, proved, can_keep(pool), growth)
end

-- -> the proved ceiling of a channel that has one, and the one that counts where policy says ceilings = "learned"
function ceiling.compare(pool)
  local proved = compute_proved(pool)
  return proved, need('learned_ceiling').choose(pool, proved, can_keep(pool), growth)
end

-- Does the kept ceiling count the reservation? Not if it was granted after the snapshot of that ceiling, or pending in it.
function ceiling.counts(pool, record)
  return pool.best_w0 ~= nil and record.visible_by < pool.best_w0
end

function ceiling.forget_kept(pool)
  if pool.best_w0 then pools.change(pool, { best = false, best_t1 = false, best_w0 = false }) end
end

-- A newer snapshot is about to replace the newest: keep that one if its ceiling is better than the kept one. This is
-- decided only now, after calls that ended before the old snapshot were reported. total: of the newer snapshot
function ceiling.keep_if_better(pool, total)
  -- A snapshot from before a loss of state counts ports of reservations that were lost.
  if pool.w0 <= meta.recover_until then return ceiling.forget_kept(pool) end -- mutation: best-ceiling-ends-with-loss
  if not can_keep(pool) or pool.total ~= total then return ceiling.forget_kept(pool) end
  -- Calls that were pending in so old a snapshot may have expired here, and be up.
  if not pool.ceiling or now - pool.t0 > zone.max_age then return end
  local grown = pool.best_w0 and zone.growth_per_s * (pool.w0 - pool.best_w0) / 1000
  if not grown or pool.ceiling > pool.best - grown then
    pools.change(pool, { best = pool.ceiling, best_t1 = pool.t1, best_w0 = pool.w0 })
  end
end

return ceiling
