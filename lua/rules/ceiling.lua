-- rules/ceiling.lua: the most reservations that may hold a channel pool, by its photographs.
--
-- The newest photograph always has a word. Where nobody else uses the ports (dedicated), or others take
-- no more of them in a second than policy says (growth_per_s), an older one stays true too, less what
-- others may have taken since. The better one of both counts.
local ceiling = {}

local function is_kept(p)
  return p.kind == 'channel' and (zone.dedicated or zone.growth_per_s > 0)
end

local function growth(w0)
  return ceil(zone.growth_per_s * (now - w0) / 1000)
end

-- -> nil if the platform said nothing of it
function ceiling.compute(p)
  if not p.ceiling or p.kind ~= 'channel' then return p.ceiling end
  local most = p.ceiling - growth(p.w0)
  if p.best_w0 and is_kept(p) then most = max(most, p.best - growth(p.best_w0)) end -- mutation: best-ceiling-shrinks
  return max(0, most)
end

-- Does the kept ceiling count r? Not what was granted after its photograph, or was pending in it.
function ceiling.counts(p, r)
  return p.best_w0 ~= nil and r.visible_by < p.best_w0
end

function ceiling.forget_kept(p)
  p.best, p.best_t1, p.best_w0 = nil, nil, nil
end

-- A newer photograph is about to replace the newest: is that worth keeping? Judged only now, when calls
-- that were over as it was taken have said so. total: of the coming one
function ceiling.keep_if_better(p, total)
  -- One of before a loss does not know what was lost: ports that only calls of ours have.
  if p.w0 <= meta.recover_until then return ceiling.forget_kept(p) end -- mutation: best-ceiling-ends-with-loss
  if not is_kept(p) or p.total ~= total then return ceiling.forget_kept(p) end
  -- Calls that were pending in one as old as that may have expired, and be up.
  if not p.ceiling or now - p.t0 > zone.max_age then return end
  local grown = p.best_w0 and zone.growth_per_s * (p.w0 - p.best_w0) / 1000
  if not grown or p.ceiling > p.best - grown then p.best, p.best_t1, p.best_w0 = p.ceiling, p.t1, p.w0 end
end

return ceiling
