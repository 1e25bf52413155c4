-- share.lua: how much of a contended pool each campaign has, and what is kept free for whom.
--
-- shares hash, "pool campaign" -> live reservations of the campaign that name the pool
local pools = need('pool')
local share = {}
local cache = {}

local function key(p, campaign)
  return p.name .. ' ' .. campaign
end

function share.of(p, campaign)
  local k = key(p, campaign)
  if not cache[k] then cache[k] = { n = tonumber(call('HGET', SHARES, k) or 0) } end
  return cache[k].n
end

local function guarantee_of(p, campaign)
  if p.name ~= zone.guaranteed then return 0 end
  return pools.get('campaign:' .. campaign).rules.guarantee or 0
end

function share.change(p, campaign, by)
  local before = share.of(p, campaign)
  local s, guarantee = cache[key(p, campaign)], guarantee_of(p, campaign)
  s.n, s.dirty = before + by, true
  if guarantee > 0 then
    p.unmet = (p.unmet or 0) + max(0, guarantee - s.n) - max(0, guarantee - before)
  end
  if p.hungry then need('hunger').weigh(p, campaign) end
end

function share.flush()
  for k, s in pairs(cache) do
    if s.dirty and s.n == 0 then call('HDEL', SHARES, k) end
    if s.dirty and s.n ~= 0 then call('HSET', SHARES, k, s.n) end
  end
  cache = {}
end

-- Guarantees that add up to more than there is shrink in proportion.
local function shrunk(guarantee, total, limit)
  return total > limit and floor(guarantee * limit / total) or guarantee
end

-- -> units that p keeps free for the campaign, and for all others, now
function share.kept(p, campaign, limit)
  if p.name ~= zone.guaranteed then return 0, 0 end
  local total, own = zone.guarantee_total, guarantee_of(p, campaign)
  local mine = max(0, shrunk(own, total, limit) - share.of(p, campaign))
  if total <= limit then return mine, (p.unmet or 0) - mine end
  local others = 0
  for other, guarantee in pairs(decode(call('HGET', POLICY, 'guarantees'))) do
    if other ~= campaign then
      others = others + max(0, shrunk(guarantee, total, limit) - share.of(p, other))
    end
  end
  return mine, others
end

-- -> units of p that are the campaign's own, and those of all others, used or not
function share.promised(p, campaign, limit)
  if p.name ~= zone.guaranteed then return 0, 0 end
  local total, own = zone.guarantee_total, guarantee_of(p, campaign)
  if total <= limit then return own, total - own end
  local others = 0
  for other, guarantee in pairs(decode(call('HGET', POLICY, 'guarantees'))) do
    if other ~= campaign then others = others + shrunk(guarantee, total, limit) end
  end
  return shrunk(own, total, limit), others
end

-- The policy changed: what is unmet is counted anew.
function share.recount()
  if not zone.guaranteed then return end
  local p, unmet = pools.get(zone.guaranteed), 0
  for campaign, guarantee in pairs(decode(call('HGET', POLICY, 'guarantees'))) do
    unmet = unmet + max(0, guarantee - share.of(p, campaign))
  end
  p.unmet = unmet
  pools.touch(p)
end

return share
