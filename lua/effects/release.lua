-- effects/release.lua: the effect of an end, an expiry or a withdrawal: units return to their pools, and ceilings fall
-- where it is not certain that the port is free.
local reservation, pools, occupancy = need('reservation'), need('pool'), need('occupancy')
local release = {}

-- -> a function that answers for the time of a snapshot: did the call end after it? Then the snapshot shows the port
-- as busy and the port is free now. The bound is the earliest possible end: the platform may have noticed
-- earlier than the dialer (end_notice), and the dialer's stopwatch may drift. nil: there is no evidence.
local function make_credit(record)
  if not record.ended_at then return nil end -- mutation: credit-needs-end-time
  if not reservation.had_port(record) then return nil end -- mutation: credit-needs-port
  -- The port may have failed together with its media server.
  if record.outcome == 'failed' then return nil end -- mutation: credit-not-after-failure
  -- Zone time stands still while the server's clock is stepped back; the dialer's stopwatch runs on. A time
  -- measured across a step, or from an answer before a loss, may be later than the true end.
  if record.granted_at <= (meta.stepped or 0) or record.adopted then return nil end -- mutation: credit-not-across-clock-step
  local drift = ceil((now - record.granted_at) / DRIFT)
  local busy_until = record.ended_at - zone.end_notice - drift -- mutation: credit-end-notice
  return function(snapshot_at)
    return record.ended_at > meta.recovered_from and snapshot_at > meta.recovered_from
      and busy_until > snapshot_at -- mutation: credit-ended-after-snapshot
  end
end

-- Report the outcome of the reservation to the circuit breakers of its pools.
function release.record_outcome(record)
  local list = occupancy.pools(record)
  if not list.is_judged then return end
  for _, pool in ipairs(list) do
    if pool.rules.breaker then need('circuit_breaker').record_outcome(pool, record) end
  end
end

-- Count ports x ms for the campaign; campaigns that policy does not name share one counter.
local function count_port_time(record, list)
  if not list.counter then
    local pool = pools.get('campaign:' .. record.campaign)
    list.counter = 'port_ms:' .. (pool.known and not pool.wildcard and record.campaign or '*')
  end
  count(list.counter, list.ports * (now - record.granted_at))
end

-- held_ms: how long it held its pools; nil: that says nothing of calls
local function close(record, state, credit, held_ms)
  local list = occupancy.pools(record)
  count_port_time(record, list)
  occupancy.leave(list, record, credit, state == 'expired', held_ms)
  record.state, record.released_at = state, now
  local write = record.is_withdrawn and reservation.write or reservation.write_closed
  write(record, now + zone.retention)
end

function release.expire(record)
  close(record, 'expired', nil) -- mutation: expiry-has-no-credit
  count('expired')
end

-- The dialer disconnected before the answer of the grant reached it (commands/wait.lua).
function release.withdraw(record)
  record.outcome, record.request_id, record.is_withdrawn = 'not_launched', false, true
  release.record_outcome(record)
  close(record, 'ended', nil)
  count('withdrawn')
end

-- A launch that found no port is a measured over-launch: kept ceilings are dropped, adaptive headroom grows.
local function distrust_ceilings(record)
  for _, pool in ipairs(occupancy.pools(record)) do
    if pool.kind == 'channel' then
      need('ceiling').forget_kept(pool)
      need('adaptive_headroom').grow(pool) -- mutation: no-resource-raises-headroom
    end
  end
end

-- The effect of an end: at the report, or after release_within (effects/expiry.lua).
function release.finish(record)
  if record.outcome == 'no_resource' then distrust_ceilings(record) end
  close(record, 'ended', make_credit(record), now - record.granted_at)
end

return release
