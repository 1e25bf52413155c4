-- rules/fair_share.lua: weighted max-min fairness. Who was turned away from a contended pool is hungry for it;
-- while somebody of the same or a higher class is, whoever has more for its weight steps back.
-- Asking more often buys nothing: only what a campaign has is weighed. No grant ends hunger, time does,
-- so that one who is given a port at a time is not overtaken after each.
--
-- Stepping back means to leave as much free as the hungry were turned away for at once, and no more:
-- else a campaign that wants one port now and then would empty the zone, and one that cannot take more
-- (its own limit) would keep ports free for nobody. Whoever was turned away by a shared rate wants
-- launches of that rate to be left in the same way.
--
-- Who waits for several at once needs ports to stay free for a while: it comes before others that have
-- just as much, and its campaign's own smaller asks step back for it, else they would starve it.
local pools, limits, shares, contention = need('pool'), need('limits'), need('shares'), need('contention')
local fair_share = {}

local HUNGER_MS_MIN = 1000 -- mutation: contention-lasts
local BURST_MS = 100 -- asks of one dialer that belong together come within this
local WANT_MAX = 1000000
local NOISE = 0.000000001 -- of a count that was divided by a weight and multiplied again
local MAKES_CONTEND = set_of({
  'no_capacity', 'mpp_full', 'pool_full', 'fair_share', 'rate_limited',
  'reserved', -- mutation: reserved-contends
})

-- Could p, with nobody else in it, give the request what it needs at least? Who waits for what never
-- comes would keep ports free for nobody.
local function could_give(p, ask)
  local limit = limits.get_limit(p)
  if not limit then return true end
  local usable = limit - limits.get_headroom(p, limit)
  if p.kind ~= 'channel' then return ask.min_count <= usable end
  local own, others = shares.get_guarantees(p, ask.op.campaign, limit)
  local reserve = zone.priority_reserve[tostring(ask.campaign.rules.priority or 0)] or 0
  return ask.min_count <= max(usable - others - reserve, min(usable, own))
end

-- Turned away, or given less than wanted: for which pool does that make hungry?
local function wanted_pool(ask, c, limiting)
  if not limiting or not MAKES_CONTEND[limiting.reason] then return nil end
  for _, one in ipairs(c.pools) do
    if not could_give(one, ask) then return nil end -- mutation: unattainable-does-not-contend
  end
  if limiting.pool == 'zone' then return pools.get('channel:' .. c.channel) end
  local p = pools.get(limiting.pool)
  if pools.is_whole_mpp(p.name) then p = pools.get(p.name .. ':' .. c.channel) end
  return p.contended and p or nil
end

-- Turned away for so many units: what it wants at once grows to what a burst of asks wanted.
local function wants(h, units)
  local is_new = now - h.since > BURST_MS
  local sum = min(WANT_MAX, is_new and units or h.sum + units)
  return { since = is_new and now or h.since, sum = sum, want = max(h.want, sum) }
end

-- k: units that it was given nevertheless -> name of the pool that it is hungry for, or nil
function fair_share.record_unmet_demand(ask, c, k, limiting)
  local p = wanted_pool(ask, c, limiting)
  if not p then return end
  local campaign, class = ask.op.campaign, ask.campaign.rules.priority or 0
  local lasts = max(HUNGER_MS_MIN, 2 * (limiting.retry_after_ms or 0), ask.op.waits or 0)
  local before = contention.read(p, campaign)
  local h = wants(before, ask.count - k)
  h.ends = max(before.ends, now + lasts)
  h.is_rate = before.is_rate or limiting.reason == 'rate_limited'
  h.is_big = before.is_big or (ask.is_big and ask.op.waits > 0) or false
  contention.enter(p, campaign, class, h)
  return p.name
end

-- One of the campaign waits no more. If nobody of it does, its hunger is that of one just turned away.
function fair_share.stop_contending(p, campaign, others_wait)
  local h = contention.read(p, campaign)
  if not p.contending_classes or h.ends < now then return end
  if not others_wait then h.ends = min(h.ends, now + HUNGER_MS_MIN) end
  h.is_big = false
  contention.write(p, campaign, h)
  contention.update_ratio(p, campaign)
  if not others_wait and meta.held_back then need('notify').notify_waiters_in(HUNGER_MS_MIN + 1) end
end

-- Of the hungry whom me may not have more than: the least ratio, what they want of p's units and of its
-- rate, and when the first of them is hungry no more. Those above `most` do not count.
local function rivals(p, my_class, me, most)
  local r = { units = 0, launches = 0 }
  for class in string.gmatch(p.contending_classes, '%d') do
    if tonumber(class) <= my_class then -- mutation: priority-classes
      contention.each(p, class, me, function(their_ratio, h)
        r.least = min(r.least or their_ratio, their_ratio)
        if their_ratio > most then return false end
        r.units = r.units + (h.is_big and FOREVER or h.want)
        r.launches = r.launches + (h.is_rate and h.want or 0)
        r.ends = min(r.ends or h.ends, h.ends)
        return true
      end)
    end
  end
  return r
end

-- -> units that the rivals leave over, of what nobody else is kept
local function spare(p, ask, c, r)
  local limit = limits.get_limit(p)
  local free = limit and (p.kind == 'channel' and shares.get_unreserved(p, ask, limit) or limits.get_room(p)) or FOREVER
  local left = free - r.units -- mutation: rivals-keep-units
  if r.launches == 0 then return left end
  for _, one in ipairs(c.rated) do
    if one.kind ~= 'campaign' then left = min(left, need('rate_limit').get_allowed(one) - r.launches) end
  end
  return left
end

-- -> units of k that p may give the campaign, by what hungry ones have and want.
-- own: units within its guarantee, which nobody judges. Also: when hunger of one of those ends.
function fair_share.get_allowed(p, ask, c, k, own)
  if not p.contending_classes or own >= k then return k end
  local me, rules = ask.op.campaign, ask.campaign.rules
  local h = contention.read(p, me)
  if h.is_big and not ask.is_big then return own, h.ends end
  local weight, mine = rules.weight or 1, shares.get(p, me) -- mutation: weights
  local r = rivals(p, rules.priority or 0, me, (mine + k + NOISE) / weight)
  if not r.least then return k end
  local fair = r.least * weight
  local is_above = mine > fair + NOISE + (ask.is_big and 2 * contention.TIE * weight or 0)
  local by_ratio = is_above and own or max(ask.min_count, own, floor(fair - mine + NOISE) + 1)
  local left = spare(p, ask, c, r)
  return min(k, max(by_ratio, left >= ask.min_count and left or 0)), r.ends -- mutation: spare-units-granted
end

return fair_share
