-- effects/release.lua: the effect of an end, an expiry or a withdrawal: ports come back, as far as that is known.
local reservation, pools, occupancy = need('reservation'), need('pool'), need('occupancy')
local release = {}

local HAD_A_PORT = set_of({ 'completed', 'no_answer', 'busy', 'abandoned' })

-- Did the call end after that photograph? Then its port was busy in it and is free now. Said of the
-- dialer's latest possible reading: the platform may have known earlier, the stopwatch may drift.
local function credit_of(r)
  if not r.ended_at then return nil end -- mutation: credit-needs-end-time
  if not (HAD_A_PORT[r.outcome] or r.taken) then return nil end -- mutation: credit-needs-port
  -- The port may have failed together with its media server.
  if r.outcome == 'failed' then return nil end -- mutation: credit-not-after-failure
  -- Zone time stood still while the server's clock stepped back, a stopwatch did not: what was
  -- measured across a step, or from an answer of before a loss, may be later than the moment meant.
  if r.granted_at <= (meta.stepped or 0) or r.adopted then return nil end -- mutation: credit-not-across-clock-step
  local drift = ceil((now - r.granted_at) / DRIFT)
  local busy_until = r.ended_at - zone.end_notice - drift -- mutation: credit-end-notice
  return function(photographed_at)
    return r.ended_at > meta.recovered_from and photographed_at > meta.recovered_from
      and busy_until > photographed_at -- mutation: credit-ended-after-snapshot
  end
end

local function leave_all(r, credit, expired)
  local list = occupancy.pools(r)
  for i = 1, #list do occupancy.leave(list[i], r, credit, expired) end
end

-- How long it held each pool: what a retry_after is learned from.
local function learn(r)
  occupancy.learn(occupancy.pools(r), now - r.granted_at)
end

-- What a breaker learns from it.
function release.record_outcome(r)
  local list = occupancy.pools(r)
  if not list.is_judged then return end
  for _, p in ipairs(list) do
    if p.rules.breaker then need('circuit_breaker').record_outcome(p, r) end
  end
end

-- How long it kept how many ports from others; campaigns that policy does not name count together.
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
  leave_all(r, credit, state == 'expired')
  r.state, r.released_at = state, now
  reservation.write(r, now + zone.retention)
end

function release.expire(r)
  close(r, 'expired', nil) -- mutation: expiry-has-no-credit
  count('expired')
end

-- Its dialer hung up before it was told of the grant: it was never anybody's. (commands/wait.lua)
function release.withdraw(r)
  r.outcome, r.request_id = 'not_launched', false
  release.record_outcome(r)
  close(r, 'ended', nil)
  count('withdrawn')
end

-- A measured over-launch: what was kept of better days is not to be trusted, nor all of the newest.
local function take_warning(r)
  for _, p in ipairs(occupancy.pools(r)) do
    if p.kind == 'channel' then
      need('ceiling').forget_kept(p)
      need('adaptive_headroom').grow(p) -- mutation: no-resource-raises-headroom
    end
  end
end

-- The effect of an end: now, or when release_within has passed (effects/expiry.lua).
function release.finish(r)
  if r.outcome == 'no_resource' then take_warning(r) end
  learn(r)
  close(r, 'ended', credit_of(r))
end

return release
