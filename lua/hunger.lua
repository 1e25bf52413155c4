-- hunger.lua: weighted max-min fairness. Who was turned away from a contended pool is hungry for it;
-- while somebody of the same or a higher class is, whoever has more for its weight steps back.
-- Asking more often buys nothing: only what a campaign has is weighed. No grant ends hunger, time does,
-- so that one who is given a port at a time is not overtaken after each.
--
-- hungry..pool..class   zset of campaigns, score = in_use in the pool / weight
-- hungry..until         hash "pool campaign" -> zone time in ms at which hunger ends, and " big" while the
--                       campaign waits there for several units at once
-- Who waits for several at once needs ports to stay free for a while: it comes before others that have
-- just as much, and its campaign's own smaller asks step back for it, else they would starve it.
local pools, share = need('pool'), need('share')
local hunger = {}

local HUNGER_MS_MIN = 1000
local LOOKS = 20 -- entries that one look passes over
local TIE = 0.000001 -- less than any two ratios differ by
local NOISE = 0.000000001 -- of a count that was divided by a weight and multiplied again
local MAKES_HUNGRY = set_of({ 'no_capacity', 'mpp_full', 'pool_full', 'fair_share', 'rate_limited' })

local function set_key(p, class)
  return HUNGRY .. p.name .. ':' .. class
end

local function until_key() return HUNGRY .. 'until' end

local function rules_of(campaign)
  return pools.get('campaign:' .. campaign).rules
end

-- -> zone time in ms at which its hunger ends, and whether it waits for several at once
local function state_of(p, campaign)
  local text = call('HGET', until_key(), p.name .. ' ' .. campaign)
  if not text then return 0, false end
  local ends = tonumber(string.match(text, '^%d+'))
  return ends, ends >= now and string.find(text, 'big', 1, true) ~= nil
end

local function write(p, campaign, ends, is_big)
  call('HSET', until_key(), p.name .. ' ' .. campaign, string.format('%.0f', ends) .. (is_big and ' big' or ''))
end

local function ratio(p, campaign, is_big)
  return share.of(p, campaign) / (rules_of(campaign).weight or 1) - (is_big and TIE or 0)
end

-- What the campaign has in p changed.
function hunger.weigh(p, campaign)
  local class = rules_of(campaign).priority or 0
  if string.find(p.hungry, class, 1, true) then
    local _, big = state_of(p, campaign)
    call('ZADD', set_key(p, class), 'XX', ratio(p, campaign, big), campaign)
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

-- waits: ms that the request stays open -> name of the pool, or nil
function hunger.note(ask, c, limiting)
  local p = wanted_pool(ask, c, limiting)
  if not p then return end
  local campaign, class = ask.op.campaign, ask.campaign.rules.priority or 0
  local lasts = max(HUNGER_MS_MIN, 2 * (limiting.retry_after_ms or 0), ask.op.waits or 0)
  local ends, big = state_of(p, campaign)
  big = big or (ask.is_big and ask.op.waits > 0)
  begin(p, class)
  write(p, campaign, max(ends, now + lasts), big)
  call('ZADD', set_key(p, class), ratio(p, campaign, big), campaign)
  return p.name
end

-- One of the campaign waits no more. If nobody of it does, its hunger is that of one just turned away.
function hunger.sate(p, campaign, others_wait)
  local ends = state_of(p, campaign)
  if not p.hungry or ends < now then return end
  write(p, campaign, others_wait and ends or min(ends, now + HUNGER_MS_MIN), false)
  hunger.weigh(p, campaign)
  if not others_wait and meta.held_back then need('wake').better_in(HUNGER_MS_MIN + 1) end
end

local function forget(p, class, campaign)
  call('ZREM', set_key(p, class), campaign)
  call('HDEL', until_key(), p.name .. ' ' .. campaign)
end

-- -> the smallest ratio of a campaign of that class, other than me, that is hungry for p, and when its
-- hunger ends; or nil
local function hungriest_of(p, class, me)
  for rank = 0, LOOKS do
    local list = call('ZRANGE', set_key(p, class), 0, 1, 'WITHSCORES')
    local first = (list[1] == me and rank >= 0) and 3 or 1
    local campaign = list[first]
    if not campaign or campaign == '' then return nil end
    local ends = state_of(p, campaign)
    if ends >= now then return tonumber(list[first + 1]), ends end
    forget(p, class, campaign)
  end
  return nil
end

local function hungriest(p, my_class, me)
  local least, until_then
  for class in string.gmatch(p.hungry, '%d') do
    if tonumber(class) <= my_class then
      local r, ends = hungriest_of(p, class, me)
      if r and (not least or r < least) then least, until_then = r, ends end
    end
  end
  return least, until_then
end

-- -> units of k that p may give the campaign, by what the hungriest other one has.
-- own: units within its guarantee, which nobody judges. Also: when that one's hunger ends.
function hunger.allowed(p, ask, k, own)
  if not p.hungry or own >= k then return k end
  local me, rules = ask.op.campaign, ask.campaign.rules
  local ends, big = state_of(p, me)
  if big and not ask.is_big then return own, ends end
  local least
  least, ends = hungriest(p, rules.priority or 0, me)
  if not least then return k end
  local weight = rules.weight or 1
  local mine, fair = share.of(p, me), least * weight
  if mine > fair + NOISE + (ask.is_big and 2 * TIE * weight or 0) then return own, ends end
  return min(k, max(ask.min_count, own, floor(fair - mine + NOISE) + 1))
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
