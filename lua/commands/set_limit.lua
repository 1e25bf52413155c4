-- commands/set_limit.lua: a temporary limit, set by a dialer that paces by its free agents, or by an operator.
--
-- op: pool, limit, ttl_ms, scope? (only the pools of these campaigns), by?
-- -> {pool, limit, set_limit, until (zone time in ms)} or a fault. The smaller of this and policy's limit applies.
local pools, limits, audit_log = need('pool'), need('limits'), need('audit_log')

local MAX_POOLS = 10000 -- of a policy that an older version compiled

-- Would the limit be the first that is stored of a pool that only a wildcard names, though there are too many?
local function is_one_too_many(pool)
  if not pool.wildcard or pool.set_until or unit.get(unit.hash(POOLS), pool.name) then return false end
  return call('HLEN', POOLS) >= (zone.max_pools or MAX_POOLS)
end

return function(op)
  local pool = pools.get(op.pool)
  if not pool.known or pool.kind == ON_KNOWN_MPP or pool.kind == 'zone' or pools.is_whole_mpp(op.pool) then
    return fault('unknown_pool', 'pool', op.pool)
  end
  if op.scope and not (pool.kind == 'campaign' and contains(op.scope, string.sub(op.pool, 10))) then
    return fault('forbidden', 'pool', op.pool)
  end
  if is_one_too_many(pool) then return fault('too_many_pools', 'pool', op.pool) end
  -- Pacing refreshes its limit all the time: no audit entry.
  local is_same = pool.set_limit == op.limit and (pool.set_until or 0) >= now
  if not is_same then audit_log.note(op, 'limit', op.pool, { limit = op.limit, ttl_ms = op.ttl_ms }) end
  pools.change(pool, { set_limit = op.limit, set_until = now + op.ttl_ms })
  return { pool = op.pool, limit = limits.get_limit(pool), set_limit = op.limit, ['until'] = pool.set_until }
end
