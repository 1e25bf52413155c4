-- effects/pool_gc.lua: garbage collection of pools that exist only because a request named them: no reservation holds
-- them and policy names only their kind. State without effect is dropped; a pool without state is deleted.
--
-- State that still has an effect is examined again when it ends: the deadline "pool NAME" (no id has a space).
local pools = need('pool')
local pool_gc = {}

local CONTENTION_MS = 60000 -- unmet demand of a campaign lasts about as long

-- Each of these: -> zone time in ms until which the state has an effect, or 0; expired state is dropped.
local function rate_until(pool)
  if pool.tat and pool.tat <= now_us then pool.tat = nil end
  return pool.tat and floor(pool.tat / 1000) or 0
end

local function launches_until(pool)
  local ends = need('rate_limit').get_strict_end(pool)
  if ends == 0 then pool.launches = nil end
  return ends
end

local function made_until(pool)
  local ends = pool.made and need('records').get_end(pool) or 0
  if ends <= now then pool.made = nil end
  return pool.made and ends or 0
end

local function limit_until(pool)
  if pool.set_until and pool.set_until < now then pools.change(pool, { set_limit = false, set_until = false }) end
  return pool.set_until or 0
end

-- The counts of a circuit breaker, until its window has passed.
local function calls_until(pool)
  local ends = pool.slots and pool.rules.breaker and need('circuit_breaker').get_window_end(pool)
  if not ends then return 0 end
  if ends <= now then pool.slots = nil end
  return pool.slots and ends or 0
end

local function contention_until(pool) return pool.contending_classes and now + CONTENTION_MS or 0 end

local function set_deadline(pool, ends) unit.set_score(unit.zset(DEADLINES), 'pool ' .. pool.name, score(ends)) end

-- A wildcard pool is fed: it is examined when its snapshot may have lapsed (state/pool.lua).
function pool_gc.await_lapse(pool) set_deadline(pool, (pool.t0 or now) + zone.max_call + 1) end

-- The snapshot has a deadline of its own, and an open breaker stays open until a call closes it.
local function is_kept(pool) return pool.t0 ~= nil or pool.open_until ~= nil end

-- The pool is about to be written: drop what has no effect, and set a deadline for what has.
function pool_gc.drop_expired(pool)
  local ends = max(rate_until(pool), limit_until(pool), calls_until(pool), contention_until(pool),
    launches_until(pool), made_until(pool))
  if ends > 0 and not is_kept(pool) then set_deadline(pool, ends) end
end

-- The deadline of a pool has come.
function pool_gc.examine(name)
  local pool = pools.get(name)
  if pool.t0 and pool.wildcard then pool_gc.await_lapse(pool) end
  if pool.has_lapsed then pools.examine(pool) end
  if not pools.is_collectable(pool) then return end
  for class in gmatch(pool.contending_classes or '', '%d') do
    need('contention').list(pool, class, FOREVER)
  end
  pools.examine(pool)
end

return pool_gc
