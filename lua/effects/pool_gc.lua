-- effects/pool_gc.lua: pools that come with every new name that is asked for: nobody holds them now, and policy names
-- no more than their kind. What does not count any more is forgotten, and with the last of it the pool.
--
-- What counts still is looked at again when it no longer does: due has a member "pool NAME" (no id has a space).
local pools = need('pool')
local pool_gc = {}

local HUNGER_AGAIN_MS = 60000 -- about as long as hunger lasts

-- -> zone time in ms until which it counts, or 0; what does not count any more is dropped. So the others.
local function rate_until(p)
  if p.tat and p.tat <= now_us then p.tat = nil end
  return p.tat and floor(p.tat / 1000) or 0
end

local function limit_until(p)
  if p.set_until and p.set_until < now then p.set_limit, p.set_until = nil, nil end
  return p.set_until or 0
end

-- What no breaker's window measures stays.
local function calls_until(p)
  local ends = p.slots and p.rules.breaker and need('circuit_breaker').get_window_end(p)
  if not ends then return 0 end
  if ends <= now then p.slots = nil end
  return p.slots and ends or 0
end

local function hunger_until(p) return p.contending_classes and now + HUNGER_AGAIN_MS or 0 end

-- Snapshots go on, and an open breaker stays until a call closes it: such a pool is not to be looked at.
local function is_kept(p) return p.t0 ~= nil or p.open_until ~= nil end

-- p is written.
function pool_gc.forget(p)
  local ends = max(rate_until(p), limit_until(p), calls_until(p), hunger_until(p))
  if ends > 0 and not is_kept(p) then buffer_write('ZADD', DEADLINES, score(ends), 'pool ' .. p.name) end
end

-- The time of what was left has come.
function pool_gc.look(name)
  local p = pools.get(name)
  if not pools.is_collectable(p) then return end
  for class in gmatch(p.contending_classes or '', '%d') do
    need('contention').each(p, class, nil, function() return true end)
  end
  pools.mark_dirty(p)
end

return pool_gc
