-- commands/lease.lua: grants one replica the right to poll the platform of the zone.
--
-- op: holder (name of the replica), ttl_ms, release? (give the lease back)
-- -> {mine, token? (fencing token), until (zone time in ms), wanted (a denial waits for a newer snapshot),
--     idle_ms (since the last admit), t0 (of the newest channel snapshot, 0: none)}

local pools = need('pool')

local function newest_t0()
  local newest = 0
  for _, channel in ipairs(zone.channels) do
    newest = max(newest, pools.get('channel:' .. channel).t0 or 0)
  end
  return newest
end

-- The token grows whenever another replica may have held the lease in between: ingest refuses the snapshot of a
-- poller whose lease has lapsed.
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
