-- commands/lease.lua: which replica polls the platform of this zone, and what its poller must know.
--
-- lease: holder, ttl_ms, release? -> {mine, token?, until, wanted, idle_ms, t0}

local pools = need('pool')

local function newest_t0()
  local newest = 0
  for _, channel in ipairs(zone.channels) do
    newest = max(newest, pools.get('channel:' .. channel).t0 or 0)
  end
  return newest
end

-- The token grows whenever the lease may have been somebody else's in between, so that a late answer
-- of a deposed poller can be told from its successor's.
local function take_lease(op)
  if meta.holder ~= op.holder or now > meta.lease_until then
    meta.token = max(meta.token + 1, now) -- with time, so that it grows across a loss too
  end
  meta.holder, meta.lease_until = op.holder, now + op.ttl_ms
end

return function(op)
  local mine = meta.holder == op.holder or now > meta.lease_until
  if mine and op.release then
    meta.holder, meta.lease_until = '', 0
    mine = false
  elseif mine then
    take_lease(op)
  end
  return {
    mine = mine, token = mine and meta.token or nil, ['until'] = meta.lease_until,
    wanted = meta.wanted, idle_ms = now - meta.asked, t0 = newest_t0(),
  }
end
