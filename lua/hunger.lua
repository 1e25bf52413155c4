-- hunger.lua: weighted max-min fairness. Who was turned away from a contended pool is hungry for it;
-- while somebody of the same or a higher class is, whoever has more for its weight steps back.
-- Asking more often buys nothing: only what a campaign has is weighed. No grant ends hunger, time does,
-- so that one who is given a port at a time is not overtaken after each.
--
-- Stepping back means to leave as much free as the hungry were turned away for at once, and no more:
-- else a campaign that wants one port now and then would empty the zone, and one that cannot take more
-- (its own limit) would keep ports free for nobody. Whoever was turned away by a shared rate wants
-- launches of that rate to be left in the same way.
--
-- hungry..pool..class   zset of campaigns, score = in_use in the pool / weight
-- hungry..until         hash "pool campaign" -> "ends want since sum[ rate][ big]":
--                       ends   zone time in ms at which its hunger ends
--                       want   most units it was turned away for within BURST_MS while hungry
--                       since, sum   the last such burst: when it began, its units
--                       rate   a shared rate turned it away; big: it waits there for several units at once
-- Who waits for several at once needs ports to stay free for a while: it comes before others that have
-- just as much, and its campaign's own smaller asks step back for it, else they would starve it.
local pools, share = need('pool'), need('share')
local hunger = {}

local HUNGER_MS_MIN = 1000
local LOOKS = 20 -- hungry campaigns that one look passes over
local BURST_MS = 100 -- asks of one dialer that belong together come within this
local WANT_MAX = 1000000
local TIE = 0.000001 -- less than any two ratios differ by
local NOISE = 0.000000001 -- of a count that was divided by a weight and multiplied again
local MAKES_HUNGRY = set_of({
  'no_capacity', 'mpp_full', 'pool_full', 'reserved', 'fair_share', 'rate_limited',
})

local function set_key(p, class)
  return HUNGRY .. p.name .. ':' .. class
end

local function until_key() return HUNGRY .. 'until' end

local function rules_of(campaign)
  return pools.get('campaign:' .. campaign).rules
end

local PLAIN = { ends = 0, want = 0, since = 0, sum = 0, is_rate = false, is_big = false }

-- -> its hunger: ends, want, since, sum, is_rate, is_big
local function state_of(p, campaign)
  local text = call('HGET', until_key(), p.name .. ' ' .. campaign)
  if not text then return PLAIN end
  local ends, want, since, sum = string.match(text, '^(%d+) (%d+) (%d+) (%d+)')
  local h = { ends = tonumber(ends), want = tonumber(want), since = tonumber(since), sum = tonumber(sum) }
  if h.ends < now then return PLAIN end
  h.is_rate, h.is_big = string.find(text, 'rate', 1, true) ~= nil, string.find(text, 'big', 1, true) ~= nil
  return h
end

local function write(p, campaign, h)
  local text = string.format('%.0f %.0f %.0f %.0f', h.ends, h.want, h.since, h.sum)
  text = text .. (h.is_rate and ' rate' or '') .. (h.is_big and ' big' or '')
  call('HSET', until_key(), p.name .. ' ' .. campaign, text)
end

local function ratio(p, campaign, is_big)
  return share.of(p, campaign) / (rules_of(campaign).weight or 1) - (is_big and TIE or 0)
end

-- What the campaign has in p changed.
function hunger.weigh(p, campaign)
  local class = rules_of(campaign).priority or 0
  if string.find(p.hungry, class, 1, true) then
    call('ZADD', set_key(p, class), 'XX', ratio(p, campaign, state_of(p, campaign).is_big), campaign)
  end
end

local function begin(p, class)
  if p.hungry and string.find(p.hungry, class, 1, true) then return end
  p.hungry = (p.hungry or '') .. class
  call('ZADD', set_key(p, class), FOREVER, '')
  pools.touch(p)
end

-- Could p, with nobody else in it, give the request what it needs at least? Who waits for what never
-- comes would keep ports free for nobody.
local function could_give(p, ask)
  local limit = pools.limit(p)
  if not limit then return true end
  local usable = limit - pools.headroom(p, limit)
  if p.kind ~= 'channel' then return ask.min_count <= usable end
  local own, others = share.promised(p, ask.op.campaign, limit)
  local reserve = zone.priority_reserve[tostring(ask.campaign.rules.priority or 0)] or 0
  return ask.min_count <= max(usable - others - reserve, min(usable, own))
end

-- Turned away, or given less than wanted: for which pool does that make hungry?
local function wanted_pool(ask, c, limiting)
  if not limiting or not MAKES_HUNGRY[limiting.reason] then return nil end
  for _, one in ipairs(c.pools) do
    if not could_give(one, ask) then return nil end
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
function hunger.note(ask, c, k, limiting)
  local p = wanted_pool(ask, c, limiting)
  if not p then return end
  local campaign, class = ask.op.campaign, ask.campaign.rules.priority or 0
  local lasts = max(HUNGER_MS_MIN, 2 * (limiting.retry_after_ms or 0), ask.op.waits or 0)
  local before = state_of(p, campaign)
  local h = wants(before, ask.count - k)
  h.ends = max(before.ends, now + lasts)
  h.is_rate = before.is_rate or limiting.reason == 'rate_limited'
  h.is_big = before.is_big or (ask.is_big and ask.op.waits > 0) or false
  begin(p, class)
  write(p, campaign, h)
  call('ZADD', set_key(p, class), ratio(p, campaign, h.is_big), campaign)
  return p.name
end

-- One of the campaign waits no more. If nobody of it does, its hunger is that of one just turned away.
function hunger.sate(p, campaign, others_wait)
  local h = state_of(p, campaign)
  if not p.hungry or h.ends < now then return end
  if not others_wait then h.ends = min(h.ends, now + HUNGER_MS_MIN) end
  h.is_big = false
  write(p, campaign, h)
  hunger.weigh(p, campaign)
  if not others_wait and meta.held_back then need('wake').better_in(HUNGER_MS_MIN + 1) end
end

local function forget(p, class, campaign)
  call('ZREM', set_key(p, class), campaign)
  call('HDEL', until_key(), p.name .. ' ' .. campaign)
end

-- Call f with the ratio and the hunger of campaigns of that class, other than me, that are hungry for p,
-- least ratio first, as long as f answers true.
local function each_hungry(p, class, me, f)
  local key = set_key(p, class)
  local list = call('ZRANGE', key, 0, LOOKS, 'WITHSCORES')
  for i = 1, #list, 2 do
    local campaign = list[i]
    local h = campaign ~= '' and campaign ~= me and state_of(p, campaign)
    if h and h.ends < now then
      forget(p, class, campaign)
    elseif h and not f(tonumber(list[i + 1]), h) then
      return
    end
  end
end

-- Of the hungry whom me may not have more than: the least ratio, what they want of p's units and of its
-- rate, and when the first of them is hungry no more. Those above `most` do not count.
local function rivals(p, my_class, me, most)
  local r = { units = 0, launches = 0 }
  for class in string.gmatch(p.hungry, '%d') do
    if tonumber(class) <= my_class then
      each_hungry(p, class, me, function(their_ratio, h)
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
  local limit = pools.limit(p)
  local free = limit and (p.kind == 'channel' and share.rest(p, ask, limit) or pools.room(p)) or FOREVER
  local left = free - r.units
  if r.launches == 0 then return left end
  for _, one in ipairs(c.rated) do
    if one.kind ~= 'campaign' then left = min(left, need('rate').allowed(one) - r.launches) end
  end
  return left
end

-- -> units of k that p may give the campaign, by what hungry ones have and want.
-- own: units within its guarantee, which nobody judges. Also: when hunger of one of those ends.
function hunger.allowed(p, ask, c, k, own)
  if not p.hungry or own >= k then return k end
  local me, rules = ask.op.campaign, ask.campaign.rules
  local h = state_of(p, me)
  if h.is_big and not ask.is_big then return own, h.ends end
  local weight, mine = rules.weight or 1, share.of(p, me)
  local r = rivals(p, rules.priority or 0, me, (mine + k + NOISE) / weight)
  if not r.least then return k end
  local fair = r.least * weight
  local is_above = mine > fair + NOISE + (ask.is_big and 2 * TIE * weight or 0)
  local by_ratio = is_above and own or max(ask.min_count, own, floor(fair - mine + NOISE) + 1)
  local left = spare(p, ask, c, r)
  return min(k, max(by_ratio, left >= ask.min_count and left or 0)), r.ends
end

-- The policy changed: weights and classes may have.
function hunger.clear(p)
  for class in string.gmatch(p.hungry or '', '%d') do
    for _, campaign in ipairs(call('ZRANGE', set_key(p, class), 0, -1)) do
      if campaign ~= '' then call('HDEL', until_key(), p.name .. ' ' .. campaign) end
    end
    call('DEL', set_key(p, class))
  end
  p.hungry = nil
  pools.touch(p)
end

return hunger
