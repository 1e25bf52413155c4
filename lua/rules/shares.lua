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

-- Set a share to what the records say. name: "pool campaign"
function shares.correct(name, n)
  local pool, campaign = match(name, '^(.*) (%S*)$')
  local s = entry(pools.get(pool), campaign)
  s.n, s.dirty = n, true
end

function shares.get(p, campaign)
  return entry(p, campaign).n
end

local function get_guarantee(p, campaign)
  if p.name ~= zone.guaranteed then return 0 end
  return pools.get('campaign:' .. campaign).rules.guarantee or 0
end

-- -> the guarantee, less in proportion if all guarantees exceed the limit
local function shrink(guarantee, total, limit)
  return total > limit and floor(guarantee * limit / total) or guarantee
end

-- The campaign has `after` units instead of `before`: its guarantee is used more, or less.
local function change_unused(p, guarantee, before, after)
  p.unmet = (p.unmet or 0) + max(0, guarantee - after) - max(0, guarantee - before)
  local sums = p.shrunk
  if not sums then return end
  local own = shrink(guarantee, zone.guarantee_total, sums.limit)
  sums.unused = sums.unused + max(0, own - after) - max(0, own - before)
end

function shares.change(p, campaign, by)
  local s = p.shares and p.shares[campaign] or entry(p, campaign)
  local before, guarantee = s.n, p.name == zone.guaranteed and get_guarantee(p, campaign) or 0
  s.n, s.dirty = before + by, true
  if guarantee > 0 then change_unused(p, guarantee, before, s.n) end
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

local READ_MAX = 1000 -- shares in one command

-- Read the shares of those campaigns in p in few commands.
local function read_all(p, campaigns)
  local of_pool = get_cache(p)
  for from = 1, #campaigns, READ_MAX do
    local keys, last = {}, min(#campaigns, from + READ_MAX - 1)
    for i = from, last do keys[#keys + 1] = key(p.name, campaigns[i]) end
    unit.load(texts, keys)
    for i = 1, #keys do
      local campaign = campaigns[from + i - 1]
      of_pool[campaign] = of_pool[campaign] or { n = tonumber(unit.get(texts, keys[i]) or 0), key = keys[i] }
    end
  end
end

-- -> campaign -> its guarantee, with the shares of all of them read
local function read_guarantees(p)
  local guarantees, campaigns = decode(call('HGET', POLICY, 'guarantees')), {}
  for campaign in pairs(guarantees) do campaigns[#campaigns + 1] = campaign end
  read_all(p, campaigns)
  return guarantees
end

-- -> the sums of the guarantees that a limit below their total shrinks: promised, and unused. Computed once for a
-- limit, for as many campaigns as policy has, and stored with p: shares.change keeps them.
local function get_shrunk_sums(p, limit)
  if p.shrunk and p.shrunk.limit == limit then return p.shrunk end
  local total, sums = zone.guarantee_total, { limit = limit, promised = 0, unused = 0 }
  for campaign, guarantee in pairs(read_guarantees(p)) do
    local own = shrink(guarantee, total, limit)
    sums.promised = sums.promised + own
    sums.unused = sums.unused + max(0, own - shares.get(p, campaign))
  end
  p.shrunk = sums
  pools.mark_dirty(p)
  return sums
end

-- -> unused units of the guarantees of p: the campaign's own, and all others'
function shares.get_unused_guarantees(p, campaign, limit)
  if p.name ~= zone.guaranteed then return 0, 0 end
  local total, own = zone.guarantee_total, get_guarantee(p, campaign)
  local mine = max(0, shrink(own, total, limit) - shares.get(p, campaign))
  if total <= limit then return mine, (p.unmet or 0) - mine end
  return mine, get_shrunk_sums(p, limit).unused - mine
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
  own = shrink(own, total, limit)
  return own, get_shrunk_sums(p, limit).promised - own
end

-- The policy changed: recount the unused units of all guarantees.
function shares.recount()
  if not zone.guaranteed then return end
  local p, unmet = pools.get(zone.guaranteed), 0
  for campaign, guarantee in pairs(read_guarantees(p)) do
    unmet = unmet + max(0, guarantee - shares.get(p, campaign))
  end
  p.unmet, p.shrunk = unmet, nil
  pools.mark_changed(p)
end

return shares
