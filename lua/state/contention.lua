-- state/contention.lua: who is hungry for what, how much, and until when. What that means for others is in rules/fair_share.lua.
--
-- hungry..pool..class   zset of campaigns, score = in_use in the pool / weight
-- hungry..until         hash "pool campaign" -> "ends want since sum[ rate][ big]":
--                       ends   zone time in ms at which its hunger ends
--                       want   most units it was turned away for within BURST_MS while hungry
--                       since, sum   the last such burst: when it began, its units
--                       rate   a shared rate turned it away; big: it waits there for several units at once
local pools, shares = need('pool'), need('shares')
local contention = { TIE = 0.000001 } -- less than any two ratios differ by

local LOOKS = 20 -- hungry campaigns that one look passes over

local function set_key(p, class)
  return CONTENTION .. p.name .. ':' .. class
end

local function until_key() return CONTENTION .. 'until' end

local PLAIN = { ends = 0, want = 0, since = 0, sum = 0, is_rate = false, is_big = false }

-- -> its hunger: ends, want, since, sum, is_rate, is_big
function contention.read(p, campaign)
  local text = call('HGET', until_key(), p.name .. ' ' .. campaign)
  if not text then return PLAIN end
  local ends, want, since, sum = string.match(text, '^(%d+) (%d+) (%d+) (%d+)')
  local h = { ends = tonumber(ends), want = tonumber(want), since = tonumber(since), sum = tonumber(sum) }
  if h.ends < now then return PLAIN end
  h.is_rate, h.is_big = string.find(text, 'rate', 1, true) ~= nil, string.find(text, 'big', 1, true) ~= nil
  return h
end

function contention.write(p, campaign, h)
  local text = string.format('%.0f %.0f %.0f %.0f', h.ends, h.want, h.since, h.sum)
  text = text .. (h.is_rate and ' rate' or '') .. (h.is_big and ' big' or '')
  call('HSET', until_key(), p.name .. ' ' .. campaign, text)
end

local function rules_of(campaign)
  return pools.get('campaign:' .. campaign).rules
end

local function ratio(p, campaign, is_big)
  return shares.get(p, campaign) / (rules_of(campaign).weight or 1) - (is_big and contention.TIE or 0)
end

-- What the campaign has in p changed.
function contention.update_ratio(p, campaign)
  local class = rules_of(campaign).priority or 0
  if string.find(p.contending_classes, class, 1, true) then
    call('ZADD', set_key(p, class), 'XX', ratio(p, campaign, contention.read(p, campaign).is_big), campaign)
  end
end

local function begin(p, class)
  if p.contending_classes and string.find(p.contending_classes, class, 1, true) then return end
  p.contending_classes = (p.contending_classes or '') .. class
  call('ZADD', set_key(p, class), FOREVER, '')
  pools.mark_changed(p)
end

-- From now on the campaign is hungry for p, or goes on to be, in that way.
function contention.enter(p, campaign, class, h)
  begin(p, class)
  contention.write(p, campaign, h)
  call('ZADD', set_key(p, class), ratio(p, campaign, h.is_big), campaign)
end

local function forget(p, class, campaign)
  call('ZREM', set_key(p, class), campaign)
  call('HDEL', until_key(), p.name .. ' ' .. campaign)
end

-- Nobody of that class is hungry any more: asks for p may be easy again (rules/fast_path.lua).
local function finish(p, class)
  call('DEL', set_key(p, class))
  local others = string.gsub(p.contending_classes, class, '')
  p.contending_classes = others ~= '' and others or nil
  pools.mark_changed(p)
end

-- Call f with the ratio and the hunger of campaigns of that class, other than me, that are hungry for p,
-- least ratio first, as long as f answers true. Those whose hunger is over are forgotten.
function contention.each(p, class, me, f)
  local list = call('ZRANGE', set_key(p, class), 0, LOOKS, 'WITHSCORES')
  local is_any = false
  for i = 1, #list, 2 do
    local campaign = list[i]
    if campaign == '' then -- the last
      if not is_any then finish(p, class) end
    else
      local h = contention.read(p, campaign)
      if h.ends < now then
        forget(p, class, campaign)
      else
        is_any = true
        if campaign ~= me and not f(tonumber(list[i + 1]), h) then return end
      end
    end
  end
end

-- The policy changed: weights and classes may have.
function contention.clear(p)
  for class in string.gmatch(p.contending_classes or '', '%d') do
    for _, campaign in ipairs(call('ZRANGE', set_key(p, class), 0, -1)) do
      if campaign ~= '' then call('HDEL', until_key(), p.name .. ' ' .. campaign) end
    end
    call('DEL', set_key(p, class))
  end
  p.contending_classes = nil
  pools.mark_changed(p)
end

return contention
