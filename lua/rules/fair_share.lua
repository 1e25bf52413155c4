-- rules/fair_share.lua: weighted max-min fairness. A campaign that is denied units of a contended pool contends for that
-- pool; while one of the same or a higher class does, campaigns that have more for their weight yield.
-- Asking more often gains nothing: only the units that a campaign has are weighed. No grant ends contention,
-- time does, so that a campaign that is granted one unit at a time is not overtaken after each.
--
-- To yield means to leave as many units free as the contending campaigns were denied at once, and no more:
-- otherwise a campaign that needs one port now and then would empty the zone, and one that cannot take more
-- (its own limit, another pool) would keep ports free in vain: once another pool denies a campaign, its demand for the
-- pools that did not lasts no longer than DEMAND_MS_MIN, so that two campaigns cannot yield to each other for long. A
-- campaign that a shared rate denied needs launches of that rate left over in the same way.
--
-- A waiter that needs several units at once needs ports to stay free for a while: its campaign precedes others
-- with the same ratio, and smaller requests of its own campaign yield too; otherwise they would starve it.
local reasons, pools, limits = need('reasons'), need('pool'), need('limits')
local shares, contention = need('shares'), need('contention')
local fair_share = {}

local DEMAND_MS_MIN = 1000 -- mutation: contention-lasts
local BURST_MS = 100 -- requests of one dialer that belong together arrive within this time
local WANT_MAX = 1000000
local NOISE = 0.000000001 -- of a count that was divided by a weight and multiplied again

-- Could the pool, with no other campaign in it, give the request what it needs at least? Contending for what can
-- never be granted would keep ports free in vain.
local function can_ever_satisfy(pool, ask)
  if ask.min_count > limits.get_most_of_others(pool) then return false end
  local limit = limits.get_limit(pool)
  if not limit then return true end
  local usable = limit - limits.get_headroom(pool, limit)
  if pool.kind ~= 'channel' then return ask.min_count <= usable end
  local own, others = shares.get_guarantees(pool, ask.op.campaign, limit)
  local reserve = zone.priority_reserve[tostring(ask.campaign.rules.priority or 0)] or 0
  return ask.min_count <= max(usable - others - reserve, min(usable, own))
end

-- -> the pool for which a campaign contends that was granted less than it asked for, or nil
local function get_contended_pool(ask, plan, limiting)
  if not limiting or not reasons.get(limiting.reason).contends then return nil end
  for _, one in ipairs(plan.pools) do
    if not can_ever_satisfy(one, ask) then return nil end -- mutation: unattainable-does-not-contend
  end
  if limiting.pool == 'zone' then return pools.get('channel:' .. plan.shared.channel) end
  local pool = pools.get(limiting.pool)
  if pools.is_whole_mpp(pool.name) then pool = pools.get(pool.name .. ':' .. plan.shared.channel) end
  return pool.contended and pool or nil
end

-- -> the demand after so many more units were denied: it grows to what a burst of requests needed
local function add_units(demand, units)
  local is_new = now - demand.since > BURST_MS
  local sum = min(WANT_MAX, is_new and units or demand.sum + units)
  return { since = is_new and now or demand.since, sum = sum, want = max(demand.want, sum) }
end

-- The request was denied, not by the pools other than `limiting_pool`: demand for them is short from now on.
local function shorten_other_demand(ask, plan, limiting_pool)
  local campaign, ends = ask.op.campaign, now + DEMAND_MS_MIN
  for _, pool in ipairs(plan.shared.contended) do
    local demand = pool ~= limiting_pool and pool.contending_classes and contention.read(pool, campaign)
    if demand and demand.ends > ends then
      demand.ends = ends
      contention.change(pool, campaign, demand) -- mutation: demand-elsewhere-shortens
      if meta.held_back then need('notify').on('demand_ends', DEMAND_MS_MIN + 1) end
    end
  end
end

-- granted: units granted nevertheless -> name of the pool for which the campaign contends, or nil
function fair_share.record_unmet_demand(ask, plan, granted, limiting)
  local pool = get_contended_pool(ask, plan, limiting)
  if granted < ask.min_count then shorten_other_demand(ask, plan, pool) end
  if not pool then return end
  local campaign, class = ask.op.campaign, ask.campaign.rules.priority or 0
  if not contention.has_place(pool, campaign) then return end
  local lasts = max(DEMAND_MS_MIN, 2 * (limiting.retry_after_ms or 0), ask.op.waits or 0)
  local before = contention.read(pool, campaign)
  local demand = add_units(before, ask.count - granted)
  demand.ends = max(before.ends, now + lasts)
  demand.is_rate = before.is_rate or limiting.reason == 'rate_limited'
  demand.is_big = before.is_big or (ask.is_big and ask.op.waits > 0) or false
  contention.enter(pool, campaign, class, demand)
  return pool.name
end

-- A waiter of the campaign left. If it was the last one, the campaign contends like one that was just denied.
function fair_share.stop_contending(pool, campaign, has_other_waiters)
  local demand = contention.read(pool, campaign)
  if not pool.contending_classes or demand.ends < now then return end
  if not has_other_waiters then demand.ends = min(demand.ends, now + DEMAND_MS_MIN) end
  local was_big = demand.is_big
  demand.is_big = false
  contention.change(pool, campaign, demand)
  if was_big and has_other_waiters then need('notify').on('large_request_left') end
  if not has_other_waiters and meta.held_back then need('notify').on('demand_ends', DEMAND_MS_MIN + 1) end
end

-- -> the campaigns to which one of that class with that ratio yields: {ratio, want, is_rate, ends}, in any order
local function list_rivals(pool, my_class, me, most)
  local rivals = {}
  for class in gmatch(pool.contending_classes, '%d') do
    if tonumber(class) <= my_class then -- mutation: priority-classes
      for _, one in ipairs(contention.list(pool, class, most)) do
        local demand = one.demand
        if one.campaign ~= me then
          local want = demand.is_big and FOREVER or demand.want
          rivals[#rivals + 1] = { ratio = one.ratio, want = want, is_rate = demand.is_rate, ends = demand.ends }
        end
      end
    end
  end
  return rivals
end

-- -> units of those wished for that a campaign may have, from its own units, weight and rivals alone.
-- wish    {units, min_count, own (units within its guarantee, which are never weighed), is_big}
-- mine    units that the campaign has in the pool
-- free    units of the pool that are free and not reserved for others
-- starts  launches that shared rates allow now
function fair_share.weigh(wish, mine, weight, rivals, free, starts)
  if #rivals == 0 then return wish.units end
  local least, wanted, launches = FOREVER, 0, 0
  for _, rival in ipairs(rivals) do
    least = min(least, rival.ratio)
    if rival.ratio <= (mine + wish.units + NOISE) / weight then
      wanted = wanted + rival.want
      launches = launches + (rival.is_rate and rival.want or 0)
    end
  end
  local fair = least * weight
  local is_above = mine > fair + NOISE + (wish.is_big and 2 * contention.TIE * weight or 0)
  local by_ratio = is_above and wish.own or max(wish.min_count, wish.own, floor(fair - mine + NOISE) + 1)
  local left = free - wanted -- mutation: rivals-keep-units
  if launches > 0 then left = min(left, starts - launches) end
  return min(wish.units, max(by_ratio, left >= wish.min_count and left or 0)) -- mutation: spare-units-granted
end

-- -> units of the pool that are free and not reserved for others
local function get_free(pool, ask)
  local limit = limits.get_limit(pool)
  return limit and (pool.kind == 'channel' and shares.get_unreserved(pool, ask, limit) or limits.get_room(pool)) or FOREVER
end

-- -> launches that the plan's shared rates allow now
local function get_starts(plan)
  local least = FOREVER
  for _, pool in ipairs(plan.rated) do
    if pool.kind ~= 'campaign' then least = min(least, need('rate_limit').get_allowed(pool)) end
  end
  return least
end

-- -> the time at which the first of the rivals up to the ratio `most` no longer contends, or nil
local function get_first_end(rivals, most)
  local ends
  for _, rival in ipairs(rivals) do
    if rival.ratio <= most then ends = min(ends or rival.ends, rival.ends) end
  end
  return ends
end

-- -> those of the units that the pool may give the campaign while others contend for it, and when the first of them stops.
-- own: units within the campaign's guarantee
function fair_share.get_allowed(pool, ask, plan, units, own)
  if not pool.contending_classes or own >= units then return units end
  local me, rules = ask.op.campaign, ask.campaign.rules
  local demand = contention.read(pool, me)
  if demand.is_big and not ask.is_big then return own, demand.ends end
  local weight, mine = rules.weight or 1, shares.get(pool, me) -- mutation: weights
  local most = (mine + units + NOISE) / weight
  local rivals = list_rivals(pool, rules.priority or 0, me, most)
  if #rivals == 0 then return units end
  local wish = { units = units, min_count = ask.min_count, own = own, is_big = ask.is_big }
  return fair_share.weigh(wish, mine, weight, rivals, get_free(pool, ask), get_starts(plan)), get_first_end(rivals, most)
end

return fair_share
