-- effects/pool_gc.lua: garbage collection of pools that exist only because a request named them: no reservation holds
-- them and policy names only their kind. State without effect is dropped; a pool without state is deleted.
--
-- State that still has an effect is examined again when it ends: the deadline "pool NAME" (no id has a space).
local pools = need('pool')
local pool_gc = {}

local CONTENTION_MS = 60000 -- unmet demand of a campaign lasts about as long

-- Each of these: -> zone time in ms until which the state has an effect, or 0; expired state is dropped.
local function rate_until(p)
  if p.tat and p.tat <= now_us then p.tat = nil end
  return p.tat and floor(p.tat / 1000) or 0
end

local function limit_until(p)
  if p.set_until and p.set_until < now then pools.change(p, { set_limit = false, set_until = false }) end
  return p.set_until or 0
end

-- The counts of a circuit breaker, until its window has passed.
local function calls_until(p)
  local ends = p.slots and p.rules.breaker and need('circuit_breaker').get_window_end(p)
  if not ends then return 0 end
  if ends <= now then p.slots = nil end
  return p.slots and ends or 0
end

local function contention_until(p) return p.contending_classes and now + CONTENTION_MS or 0 end

local function set_deadline(p, ends) unit.add(unit.zset(DEADLINES), 'pool ' .. p.name, score(ends)) end

-- A wildcard pool is fed: it is examined when its snapshot may have lapsed (state/pool.lua).
function pool_gc.await_lapse(p) set_deadline(p, (p.t0 or now) + zone.max_call + 1) end

-- The snapshot has a deadline of its own, and an open breaker stays open until a call closes it.
local function is_kept(p) return p.t0 ~= nil or p.open_until ~= nil end

-- p is about to be written: drop what has no effect, and set a deadline for what has.
function pool_gc.drop_expired(p)
  local ends = max(rate_until(p), limit_until(p), calls_until(p), contention_until(p))
  if ends > 0 and not is_kept(p) then set_deadline(p, ends) end
end

-- The deadline of a pool has come.
function pool_gc.examine(name)
  local p = pools.get(name)
  if p.t0 and p.wildcard then pool_gc.await_lapse(p) end
  if p.has_lapsed then pools.mark_dirty(p) end
  if not pools.is_collectable(p) then return end
  for class in gmatch(p.contending_classes or '', '%d') do
    need('contention').list(p, class, FOREVER)
  end
  pools.mark_dirty(p)
end

return pool_gc
