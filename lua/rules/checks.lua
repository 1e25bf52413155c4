-- rules/checks.lua: may the request launch? Each check allows some of the wanted units, in the order of
-- rules/reasons.lua; the first check that leaves fewer than min_count is the reason. Reads only: a denied
-- request changes nothing.
--
-- A check: (ask, candidate, k) -> units allowed of k, why. why: {reason, pool, in_use, limit, retry_after_ms};
-- in_use and limit only where the reason is about room. again_ms: after that time alone may end the denial.
local reasons, pools, limits, shares, rate_limit = need('reasons'), need('pool'), need('limits'), need('shares'), need('rate_limit')
local checks = {}

-- retry_after: ms, or false where only an operator helps
local function no(reason, p, retry_after)
  return 0, { reason = reason, pool = p and p.name, retry_after_ms = retry_after or nil }
end

function checks.zone_paused(_, _, k)
  if zone.paused.zone then return no('zone_paused', nil, false) end
  return k
end

function checks.pool_paused(_, c, k)
  if next(zone.paused) == nil then return k end
  for _, p in ipairs(c.pools) do
    if zone.paused[p.name] then return no('pool_paused', p, false) end
  end
  if c.mpp and zone.paused['mpp:' .. c.mpp] then return no('pool_paused', { name = 'mpp:' .. c.mpp }, false) end
  return k
end

-- Half open: no more than the request needs at least may try.
function checks.breaker_open(ask, c, k)
  local why
  if #c.broken == 0 then return k end
  local circuit_breaker = need('circuit_breaker')
  for _, p in ipairs(c.broken) do
    if circuit_breaker.is_open(p) then return no('breaker_open', p, circuit_breaker.get_wait(p)) end
    if circuit_breaker.is_half_open(p) and k > ask.min_count then
      k, why = ask.min_count, { reason = 'breaker_open', pool = p.name, retry_after_ms = zone.poll_interval }
    end
  end
  return k, why
end

function checks.rate_limited(ask, c, k)
  local why
  for _, p in ipairs(c.rated) do
    local allowed = rate_limit.get_allowed(p)
    if allowed < k then
      k = allowed
      why = { reason = 'rate_limited', pool = p.name, retry_after_ms = rate_limit.get_wait(p, max(ask.min_count, allowed + 1)) }
    end
  end
  return k, why
end

function checks.recovering(_, c, k)
  local until_then = meta.recover_until
  local wait = max(until_then - now, zone.poll_interval)
  if now < until_then then return no('recovering', nil, wait) end
  for _, p in ipairs(c.watched) do
    -- The next snapshot shows every lost reservation whose call is up.
    if p.fed and p.t0 and p.w0 <= until_then then return no('recovering', p, wait) end
  end
  return k
end

function checks.no_snapshot(_, c, k)
  for _, p in ipairs(c.watched) do
    local is_needed = p.kind == 'channel' and p.fed or p.rules.needs_snapshot
    if is_needed and not (p.t0 and (p.ceiling or p.rules.limit)) then
      return no('no_snapshot', p, zone.poll_interval)
    end
  end
  return k
end

function checks.stale_snapshot(_, c, k)
  for _, p in ipairs(c.watched) do
    if p.t0 and now - p.t0 > zone.max_age then return no('stale_snapshot', p, zone.poll_interval) end
  end
  return k
end

-- A check of one limit (limits.KINDS) in all of the candidate's pools that have the limit.
local function make_limit_check(limit)
  return function(ask, c, k)
    local why
    for _, p in ipairs(c[limit.pools]) do
      local most = limit.get_most(p)
      local free = most and max(0, most - limit.get_used(p))
      if free and free < k then
        k = free -- mutation: partial-grant
        why = {
          reason = limit.reason, pool = p.name, in_use = limit.get_used(p), limit = most,
          retry_after_ms = limits.estimate_retry_after(p, ask.min_count),
        }
      end
    end
    return k, why
  end
end

for _, limit in ipairs(limits.KINDS) do checks[limit.reason] = make_limit_check(limit) end

-- -> units of k that the campaign's own guarantee covers, on the channel that has guarantees
local function get_guaranteed(ask, c, k)
  for _, p in ipairs(c.pools) do
    if p.name == zone.guaranteed then
      return min(k, (shares.get_unused_guarantees(p, ask.op.campaign, limits.get_limit(p) or FOREVER)))
    end
  end
  return 0
end

-- -> units of k that leave headroom free and, beyond the campaign's own guarantee, what is reserved for other
-- campaigns and for higher classes (trunk reservation)
local function get_unreserved(ask, p, limit, k)
  local mine = shares.get_unused_guarantees(p, ask.op.campaign, limit)
  local own = min(k, mine, max(0, limits.get_room(p)))
  return max(own, min(k, shares.get_unreserved(p, ask, limit)))
end

function checks.reserved(ask, c, k)
  local why
  for _, p in ipairs(c.channels) do
    local limit = limits.get_limit(p)
    local allowed = limit and max(0, get_unreserved(ask, p, limit, k))
    if allowed and allowed < k then
      k = allowed
      why = {
        reason = 'reserved', pool = p.name, in_use = p.in_use, limit = limit,
        retry_after_ms = limits.estimate_retry_after(p, ask.min_count),
      }
    end
  end
  return k, why
end

function checks.fair_share(ask, c, k)
  local why, own
  for _, p in ipairs(c.contended) do
    local allowed, ends
    if p.contending_classes then
      own = own or get_guaranteed(ask, c, k)
      allowed, ends = need('fair_share').get_allowed(p, ask, c, k, own)
    end
    if allowed and allowed < k then
      k = allowed
      why = {
        reason = 'fair_share', pool = p.name, in_use = p.in_use, limit = limits.get_limit(p),
        retry_after_ms = limits.estimate_retry_after(p, ask.min_count),
        again_ms = ends and max(1, ends - now + 1) or nil,
      }
    end
  end
  return k, why
end

local in_order, first_of_counts = {}, nil
for i, reason in ipairs(reasons.IN_ORDER) do
  in_order[i] = checks[reason.name]
  if reason.name == 'rate_limited' then first_of_counts = i end
end

-- No grant and hardly an end changes what the checks before the first of counts read: a candidate that
-- passed them needs them again only after pools.changes grew.
local function get_first_check(c)
  return c.base and c.base.passed == pools.changes and #c.broken == 0 and first_of_counts or 1
end

local function note_passed(ask, c, k)
  if c.base and k == ask.count and #c.broken == 0 and next(zone.paused) == nil then c.base.passed = pools.changes end
end

-- -> units granted (fewer than min_count: denied), and what limited it
function checks.run(ask, c)
  local k, limiting = ask.count, nil
  for i = get_first_check(c), #in_order do
    if i == first_of_counts then note_passed(ask, c, k) end
    local allowed, why = in_order[i](ask, c, k)
    if allowed < k then k, limiting = allowed, why end
    if k < ask.min_count then break end
  end
  return k, limiting
end

return checks
