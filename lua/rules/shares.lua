-- rules/shares.lua: how much of a contended pool each campaign has, and what is kept free for whom.
--
-- shares hash, "pool campaign" -> live reservations of the campaign that name the pool
local pools, limits = need('pool'), need('limits')
local shares = {}
local cache = {}

local function key(pool, campaign)
  return pool .. ' ' .. campaign
end

local function shares_of(p)
  local of_pool = p.shares or cache[p.name] or {}
  cache[p.name], p.shares = of_pool, of_pool
  return of_pool
end

local function entry(p, campaign)
  local of_pool = shares_of(p)
  local s = of_pool[campaign]
  if not s then
    local name = key(p.name, campaign)
    s = { n = tonumber(call('HGET', SHARES, name) or 0), key = name }
    of_pool[campaign] = s
  end
  return s
end

-- Read what a reservation of the campaign changes in all of those pools.
function shares.read_ahead(list, campaign)
  local keys = {}
  for i, p in ipairs(list) do keys[i] = key(p.name, campaign) end
  if #keys < 2 then return end
  for i, text in ipairs(call('HMGET', SHARES, unpack(keys))) do
    local of_pool = shares_of(list[i])
    of_pool[campaign] = of_pool[campaign] or { n = tonumber(text or 0), key = keys[i] }
  end
end

function shares.get(p, campaign)
  return entry(p, campaign).n
end

local function guarantee_of(p, campaign)
  if p.name ~= zone.guaranteed then return 0 end
  return pools.get('campaign:' .. campaign).rules.guarantee or 0
end

function shares.change(p, campaign, by)
  local s = p.shares and p.shares[campaign] or entry(p, campaign)
  local before, guarantee = s.n, p.name == zone.guaranteed and guarantee_of(p, campaign) or 0
  s.n, s.dirty = before + by, true
  if guarantee > 0 then
    p.unmet = (p.unmet or 0) + max(0, guarantee - s.n) - max(0, guarantee - before)
  end
  if p.contending_classes then need('contention').update_ratio(p, campaign) end
end

function shares.flush()
  for _, of_pool in pairs(cache) do
    for _, s in pairs(of_pool) do
      if s.dirty and s.n == 0 then call('HDEL', SHARES, s.key) end
      if s.dirty and s.n ~= 0 then
        buffer_write('HSET', SHARES, s.key, format('%d', s.n))
      end
    end
  end
  flush_writes()
  cache = {}
end

-- Guarantees that add up to more than there is shrink in proportion.
local function shrunk(guarantee, total, limit)
  return total > limit and floor(guarantee * limit / total) or guarantee
end

-- -> units that p keeps free for the campaign, and for all others, now
function shares.get_unused_guarantees(p, campaign, limit)
  if p.name ~= zone.guaranteed then return 0, 0 end
  local total, own = zone.guarantee_total, guarantee_of(p, campaign)
  local mine = max(0, shrunk(own, total, limit) - shares.get(p, campaign))
  if total <= limit then return mine, (p.unmet or 0) - mine end
  local others = 0
  for other, guarantee in pairs(decode(call('HGET', POLICY, 'guarantees'))) do
    if other ~= campaign then
      others = others + max(0, shrunk(guarantee, total, limit) - shares.get(p, other))
    end
  end
  return mine, others
end

-- -> free units of a channel that are kept for nobody else: no guarantee, no higher class
function shares.get_unreserved(p, ask, limit)
  local _, others = shares.get_unused_guarantees(p, ask.op.campaign, limit)
  local class = tostring(ask.campaign.rules.priority or 0)
  return limits.get_room(p) - others - (zone.priority_reserve[class] or 0) -- mutation: reserves
end

-- -> units of p that are the campaign's own, and those of all others, used or not
function shares.get_guarantees(p, campaign, limit)
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
function shares.recount()
  if not zone.guaranteed then return end
  local p, unmet = pools.get(zone.guaranteed), 0
  for campaign, guarantee in pairs(decode(call('HGET', POLICY, 'guarantees'))) do
    unmet = unmet + max(0, guarantee - shares.get(p, campaign))
  end
  p.unmet = unmet
  pools.mark_changed(p)
end

return shares
