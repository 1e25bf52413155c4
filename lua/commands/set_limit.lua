-- commands/set_limit.lua: a temporary limit, set by a dialer that paces by its free agents, or by an operator.
--
-- op: pool, limit, ttl_ms, scope? (only the pools of these campaigns), by?
-- -> {pool, limit, set_limit, until (zone time in ms)} or a fault. The smaller of this and policy's limit applies.
local pools, limits, audit_log = need('pool'), need('limits'), need('audit_log')

return function(op)
  local p = pools.get(op.pool)
  if not p.known or p.kind == ON_KNOWN_MPP or p.kind == 'zone' or pools.is_whole_mpp(op.pool) then
    return fault('unknown_pool', 'pool', op.pool)
  end
  if op.scope and not (p.kind == 'campaign' and contains(op.scope, string.sub(op.pool, 10))) then
    return fault('forbidden', 'pool', op.pool)
  end
  local is_same = p.set_limit == op.limit and (p.set_until or 0) >= now -- pacing refreshes its limit all the time: no audit entry
  if not is_same then audit_log.note(op, 'limit', op.pool, { limit = op.limit, ttl_ms = op.ttl_ms }) end
  pools.change(p, { set_limit = op.limit, set_until = now + op.ttl_ms })
  return { pool = op.pool, limit = limits.get_limit(p), set_limit = op.limit, ['until'] = p.set_until }
end
