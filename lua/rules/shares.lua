-- rules/shares.lua: the units of a contended pool that each campaign has, and those reserved for others.
--
-- shares hash, "pool campaign" -> live reservations of the campaign that name the pool
local pools, limits = need('pool'), need('limits')
local shares = {}
local cache = {}
local texts = unit.hash(SHARES)

local function key(pool, campaign)
  return pool .. ' ' .. campaign
end

local function get_cache(p)
  local of_pool = p.shares or cache[p.name] or {}
  cache[p.name], p.shares = of_pool, of_pool
  return of_pool
end

local function entry(p, campaign)
  local of_pool = get_cache(p)
  local s = of_pool[campaign]
  if not s then
    local name = key(p.name, campaign)
    s = { n = tonumber(unit.get(texts, name) or 0), key = name }
    of_pool[campaign] = s
  end
  return s
end

-- Read the campaign's shares of those pools in one command.
function shares.read_ahead(list, campaign)
  local keys = {}
  for i, p in ipairs(list) do keys[i] = key(p.name, campaign) end
  if #keys < 2 then return end
  unit.load(texts, keys)
  for i = 1, #keys do
    local text = unit.get(texts, keys[i])
    local of_pool = get_cache(list[i])
    of_pool[campaign] = of_pool[campaign] or { n = tonumber(text or 0), key = keys[i] }
  end
end

function shares.get(p, campaign)
  return entry(p, campaign).n
end

local function get_guarantee(p, campaign)
  if p.name ~= zone.guaranteed then return 0 end
  return pools.get('campaign:' .. campaign).rules.guarantee or 0
end

function shares.change(p, campaign, by)
  local s = p.shares and p.shares[campaign] or entry(p, campaign)
  local before, guarantee = s.n, p.name == zone.guaranteed and get_guarantee(p, campaign) or 0
  s.n, s.dirty = before + by, true
  if guarantee > 0 then
    p.unmet = (p.unmet or 0) + max(0, guarantee - s.n) - max(0, guarantee - before)
  end
  if p.contending_classes then need('contention').update_ratio(p, campaign) end
end

function shares.flush()
  for _, of_pool in pairs(cache) do
    for _, s in pairs(of_pool) do
      if s.dirty then unit.put(texts, s.key, s.n ~= 0 and format('%d', s.n)) end
    end
  end
  cache = {}
end

-- -> the guarantee, less in proportion if all guarantees exceed the limit
local function shrink(guarantee, total, limit)
  return total > limit and floor(guarantee * limit / total) or guarantee
end

-- -> unused units of the guarantees of p: the campaign's own, and all others'
function shares.get_unused_guarantees(p, campaign, limit)
  if p.name ~= zone.guaranteed then return 0, 0 end
  local total, own = zone.guarantee_total, get_guarantee(p, campaign)
  local mine = max(0, shrink(own, total, limit) - shares.get(p, campaign))
  if total <= limit then return mine, (p.unmet or 0) - mine end
  local others = 0
  for other, guarantee in pairs(decode(call('HGET', POLICY, 'guarantees'))) do
    if other ~= campaign then
      others = others + max(0, shrink(guarantee, total, limit) - shares.get(p, other))
    end
  end
  return mine, others
end

-- -> free units of a channel that no guarantee of another campaign and no higher class reserves
function shares.get_unreserved(p, ask, limit)
  local _, others = shares.get_unused_guarantees(p, ask.op.campaign, limit)
  local class = tostring(ask.campaign.rules.priority or 0)
  return limits.get_room(p) - others - (zone.priority_reserve[class] or 0) -- mutation: reserves
end

-- -> guaranteed units of p, used or not: the campaign's own, and all others'
function shares.get_guarantees(p, campaign, limit)
  if p.name ~= zone.guaranteed then return 0, 0 end
  local total, own = zone.guarantee_total, get_guarantee(p, campaign)
  if total <= limit then return own, total - own end
  local others = 0
  for other, guarantee in pairs(decode(call('HGET', POLICY, 'guarantees'))) do
    if other ~= campaign then others = others + shrink(guarantee, total, limit) end
  end
  return shrink(own, total, limit), others
end

-- The policy changed: recount the unused units of all guarantees.
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
