-- effects/release.lua: the effect of an end, an expiry or a withdrawal: units return to their pools, and ceilings fall
-- where it is not certain that the port is free.
local reservation, pools, occupancy = need('reservation'), need('pool'), need('occupancy')
local release = {}

-- -> a function that answers for the time of a snapshot: did the call end after it? Then the snapshot shows the port
-- as busy and the port is free now. The bound is the earliest possible end: the platform may have noticed
-- earlier than the dialer (end_notice), and the dialer's stopwatch may drift. nil: there is no evidence.
local function make_credit(r)
  if not r.ended_at then return nil end -- mutation: credit-needs-end-time
  if not reservation.had_port(r) then return nil end -- mutation: credit-needs-port
  -- The port may have failed together with its media server.
  if r.outcome == 'failed' then return nil end -- mutation: credit-not-after-failure
  -- Zone time stands still while the server's clock is stepped back; the dialer's stopwatch runs on. A time
  -- measured across a step, or from an answer before a loss, may be later than the true end.
  if r.granted_at <= (meta.stepped or 0) or r.adopted then return nil end -- mutation: credit-not-across-clock-step
  local drift = ceil((now - r.granted_at) / DRIFT)
  local busy_until = r.ended_at - zone.end_notice - drift -- mutation: credit-end-notice
  return function(snapshot_at)
    return r.ended_at > meta.recovered_from and snapshot_at > meta.recovered_from
      and busy_until > snapshot_at -- mutation: credit-ended-after-snapshot
  end
end

-- The mean hold time of a pool is the source of retry_after_ms.
local function learn_hold_time(r)
  occupancy.learn(occupancy.pools(r), now - r.granted_at)
end

-- Report the outcome of r to the circuit breakers of its pools.
function release.record_outcome(r)
  local list = occupancy.pools(r)
  if not list.is_judged then return end
  for _, p in ipairs(list) do
    if p.rules.breaker then need('circuit_breaker').record_outcome(p, r) end
  end
end

-- Count ports x ms for the campaign; campaigns that policy does not name share one counter.
local function count_port_time(r)
  local list = occupancy.pools(r)
  if not list.counter then
    local p = pools.get('campaign:' .. r.campaign)
    list.counter = 'port_ms:' .. (p.known and not p.wildcard and r.campaign or '*')
  end
  count(list.counter, list.ports * (now - r.granted_at))
end

local function close(r, state, credit)
  count_port_time(r)
  occupancy.leave(occupancy.pools(r), r, credit, state == 'expired')
  r.state, r.released_at = state, now
  reservation.write(r, now + zone.retention)
end

function release.expire(r)
  close(r, 'expired', nil) -- mutation: expiry-has-no-credit
  count('expired')
end

-- The dialer disconnected before the answer of the grant reached it (commands/wait.lua).
function release.withdraw(r)
  r.outcome, r.request_id, r.is_withdrawn = 'not_launched', false, true
  release.record_outcome(r)
  close(r, 'ended', nil)
  count('withdrawn')
end

-- A launch that found no port is a measured over-launch: kept ceilings are dropped, adaptive headroom grows.
local function distrust_ceilings(r)
  for _, p in ipairs(occupancy.pools(r)) do
    if p.kind == 'channel' then
      need('ceiling').forget_kept(p)
      need('adaptive_headroom').grow(p) -- mutation: no-resource-raises-headroom
    end
  end
end

-- The effect of an end: at the report, or after release_within (effects/expiry.lua).
function release.finish(r)
  if r.outcome == 'no_resource' then distrust_ceilings(r) end
  learn_hold_time(r)
  close(r, 'ended', make_credit(r))
end

return release
