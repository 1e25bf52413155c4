-- rules/checks.lua: may the request launch? Each check allows some of the units, in the order of
-- rules/reasons.lua; the first check that leaves fewer than min_count is the reason. Reads only: a denied
-- request changes nothing.
--
-- A check: (ask, plan, units) -> units allowed, why. why: {reason, pool, in_use, limit,
-- retry_after_ms}; in_use and limit only where the reason is about room. again_ms: after that time alone may end the denial.
--
-- Two shortcuts, beside the checks that they stand for; neither may change a decision:
--   early checks   those before rate_limited read neither counts nor the campaign. Where they allowed all that a plan's
--                  request asked for, they do so for every request with the same shared part, as long as pools.version
--                  stays the same (plan.shared.early_passed_at).
--   fast path      find_room decides one launch while none of its pools is scarce, as nearly always: then no later
--                  check would object either. Where one might, it answers nil.
local reasons, pools, limits = need('reasons'), need('pool'), need('limits')
local shares, rate_limit = need('shares'), need('rate_limit')
local checks = {}

-- retry_after: ms, or false where only an operator helps
local function no(reason, pool, retry_after)
  return 0, { reason = reason, pool = pool and pool.name, retry_after_ms = retry_after or nil }
end

function checks.zone_paused(_, _, units)
  if zone.paused.zone then return no('zone_paused', nil, false) end
  return units
end

function checks.pool_paused(_, plan, units)
  if next(zone.paused) == nil then return units end
  for _, pool in ipairs(plan.pools) do
    if zone.paused[pool.name] then return no('pool_paused', pool, false) end
  end
  local whole_mpp = plan.shared.mpp and 'mpp:' .. plan.shared.mpp
  if whole_mpp and zone.paused[whole_mpp] then return no('pool_paused', { name = whole_mpp }, false) end
  return units
end

-- Half open: no more than the request needs at least may try.
function checks.breaker_open(ask, plan, units)
  local why
  if #plan.breakers == 0 then return units end
  local circuit_breaker = need('circuit_breaker')
  for _, pool in ipairs(plan.breakers) do
    if circuit_breaker.is_open(pool) then return no('breaker_open', pool, circuit_breaker.get_wait(pool)) end
    if circuit_breaker.is_half_open(pool) and units > ask.min_count then
      units, why = ask.min_count, { reason = 'breaker_open', pool = pool.name, retry_after_ms = zone.poll_interval }
    end
  end
  return units, why
end

function checks.rate_limited(ask, plan, units)
  local why
  for _, pool in ipairs(plan.rated) do
    local allowed = rate_limit.get_allowed(pool)
    if allowed < units then
      units = allowed
      why = { reason = 'rate_limited', pool = pool.name, retry_after_ms = rate_limit.get_wait(pool, max(ask.min_count, allowed + 1)) }
    end
  end
  return units, why
end

function checks.recovering(_, plan, units)
  local until_then = meta.recover_until
  local wait = max(until_then - now, zone.poll_interval)
  local is_sure = now >= until_then and not meta.in_doubt -- mutation: doubt-denies
  if not is_sure then return no('recovering', nil, wait) end
  for _, pool in ipairs(plan.shared.watched) do
    -- The next snapshot shows every lost reservation whose call is up.
    if pool.fed and pool.t0 and pool.w0 <= until_then then return no('recovering', pool, wait) end
  end
  return units
end

function checks.no_snapshot(_, plan, units)
  for _, pool in ipairs(plan.shared.watched) do
    local is_needed = pool.kind == 'channel' and pool.fed or pool.rules.needs_snapshot
    if is_needed and not (pool.t0 and (pool.ceiling or pool.rules.limit)) then
      return no('no_snapshot', pool, zone.poll_interval)
    end
  end
  return units
end

function checks.stale_snapshot(_, plan, units)
  for _, pool in ipairs(plan.shared.watched) do
    if pool.t0 and now - pool.t0 > zone.max_age then return no('stale_snapshot', pool, zone.poll_interval) end
  end
  return units
end

-- A check of one limit (limits.KINDS) in all of the plan's pools that have the limit.
local function make_limit_check(limit)
  return function(ask, plan, units)
    local why
    for _, pool in ipairs(plan.lists[limit.pools]) do
      local most = limit.get_most(pool)
      local free = most and max(0, most - limit.get_used(pool))
      if free and free < units then
        units = free -- mutation: partial-grant
        why = {
          reason = limit.reason, pool = pool.name, in_use = limit.get_used(pool), limit = most,
          retry_after_ms = limits.estimate_retry_after(pool, ask.min_count),
        }
      end
    end
    return units, why
  end
end

for _, limit in ipairs(limits.KINDS) do checks[limit.reason] = make_limit_check(limit) end

-- -> those of the units that the campaign's own guarantee covers, on the channel that has guarantees
local function get_guaranteed(ask, plan, units)
  for _, pool in ipairs(plan.pools) do
    if pool.name == zone.guaranteed then
      return min(units, (shares.get_unused_guarantees(pool, ask.op.campaign, limits.get_limit(pool) or FOREVER)))
    end
  end
  return 0
end

-- -> those of the units that leave headroom free and, beyond the campaign's own guarantee, what is reserved for other
-- campaigns and for higher classes (trunk reservation)
local function get_unreserved(ask, pool, limit, units)
  local mine = shares.get_unused_guarantees(pool, ask.op.campaign, limit)
  local own = min(units, mine, max(0, limits.get_room(pool)))
  return max(own, min(units, shares.get_unreserved(pool, ask, limit)))
end

function checks.reserved(ask, plan, units)
  local why
  for _, pool in ipairs(plan.lists.channels) do
    local limit = limits.get_limit(pool)
    local allowed = limit and max(0, get_unreserved(ask, pool, limit, units))
    if allowed and allowed < units then
      units = allowed
      why = {
        reason = 'reserved', pool = pool.name, in_use = pool.in_use, limit = limit,
        retry_after_ms = limits.estimate_retry_after(pool, ask.min_count),
      }
    end
  end
  return units, why
end

function checks.fair_share(ask, plan, units)
  local why, own
  for _, pool in ipairs(plan.shared.contended) do
    local allowed, ends
    if pool.contending_classes then
      own = own or get_guaranteed(ask, plan, units)
      allowed, ends = need('fair_share').get_allowed(pool, ask, plan, units, own)
    end
    if allowed and allowed < units then
      units = allowed
      why = {
        reason = 'fair_share', pool = pool.name, in_use = pool.in_use, limit = limits.get_limit(pool),
        retry_after_ms = limits.estimate_retry_after(pool, ask.min_count),
        again_ms = ends and max(1, ends - now + 1) or nil,
      }
    end
  end
  return units, why
end

local in_order, first_of_counts = {}, nil
for i, reason in ipairs(reasons.IN_ORDER) do
  in_order[i] = checks[reason.name]
  if reason.name == 'rate_limited' then first_of_counts = i end
end

-- A breaker may belong to the campaign, and so may a pause: neither is of the shared part.
local function get_first_check(plan)
  local has_passed = plan.shared.early_passed_at == pools.version and #plan.breakers == 0 -- mutation: early-checks-valid
  return has_passed and first_of_counts or 1
end

local function note_early_passed(ask, plan, allowed)
  if allowed == ask.count and #plan.breakers == 0 and next(zone.paused) == nil then
    plan.shared.early_passed_at = pools.version
  end
end

-- Run the checks. -> units granted (fewer than min_count: denied), and what limited them
function checks.run(ask, plan)
  local granted, limiting = ask.count, nil
  for i = get_first_check(plan), #in_order do
    if i == first_of_counts then note_early_passed(ask, plan, granted) end
    local allowed, why = in_order[i](ask, plan, granted)
    if allowed < granted then granted, limiting = allowed, why end
    if granted < ask.min_count then break end
  end
  return granted, limiting
end

-- The fast path. -> the smallest room of the plan's pools (FOREVER: none is limited), or nil: the checks decide
local function find_room(ask, plan)
  if plan.shared.early_passed_at ~= pools.version or ask.count ~= 1 or not plan.is_simple then return nil end -- mutation: fast-path-valid
  local reserved, least, list = plan.reserved, FOREVER, plan.pools
  for i = 1, #list do
    local pool = list[i]
    local usable = pool.usable_now
    if usable == nil then usable = limits.get_usable(pool) end
    if pool.contending_classes then return nil end -- mutation: fast-path-contention
    if usable then
      local room, kept = usable - pool.in_use, reserved[i] or 0
      if room <= kept then return nil end -- mutation: fast-path-room
      if room < least then least = room end
    end
  end
  local rated = plan.rated
  for i = 1, #rated do
    local pool = rated[i]
    if (pool.tat or 0) > (pool.full_from or rate_limit.get_full_from(pool)) then return nil end -- mutation: fast-path-rate
  end
  return least
end

-- -> units granted (fewer than min_count: denied), what limited them, and the room of the tightest pool before, if
-- the fast path decided
function checks.decide(ask, plan)
  local room = find_room(ask, plan)
  if room then return 1, nil, room end
  return checks.run(ask, plan)
end

return checks
