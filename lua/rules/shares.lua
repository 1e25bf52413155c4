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

local function get_cache(pool)
  local of_pool = pool.shares
  if of_pool then return of_pool end
  of_pool = cache[pool.name] or {}
  cache[pool.name], pool.shares = of_pool, of_pool
  return of_pool
end

-- -> a share; one that cannot be read is set aside, and the recount counts it
local function read_number(name)
  local text = unit.get(texts, name)
  if not text then return 0 end
  local units = tonumber(text)
  if units then return units end
  need('aside').keep('share', name, text)
  pools.doubt()
  unit.put(texts, name, false)
  return 0
end

-- -> {n, key, dirty}: the campaign's share of the pool, written at the end of the call if it is dirty
function shares.get_entry(pool, campaign)
  local of_pool = get_cache(pool)
  local share = of_pool[campaign]
  if not share then
    local name = key(pool.name, campaign)
    share = { n = read_number(name), key = name }
    of_pool[campaign] = share
  end
  return share
end

-- Read the campaign's shares of those pools in one command.
function shares.read_ahead(list, campaign)
  local keys, n = {}, #list
  if n < 2 then return end
  for i = 1, n do keys[i] = list[i].name .. ' ' .. campaign end
  unit.load(texts, keys)
  for i = 1, n do
    local of_pool = get_cache(list[i])
    of_pool[campaign] = of_pool[campaign] or { n = read_number(keys[i]), key = keys[i] }
  end
end

local function get_by_name(name)
  local pool, campaign = match(name, '^(.*) (%S*)$')
  return shares.get_entry(pools.get(pool or name), campaign or '')
end

-- name: "pool campaign"
function shares.read(name) return get_by_name(name).n end

-- Set a share to what the records say.
function shares.correct(name, units)
  local share = get_by_name(name)
  share.n, share.dirty = units, true
end

function shares.get(pool, campaign)
  return shares.get_entry(pool, campaign).n
end

local function get_guarantee(pool, campaign)
  if pool.name ~= zone.guaranteed then return 0 end
  return pools.get('campaign:' .. campaign).rules.guarantee or 0
end

-- -> the guarantee, less in proportion if all guarantees exceed the limit
local function shrink(guarantee, total, limit)
  return total > limit and floor(guarantee * limit / total) or guarantee
end

-- The campaign has `after` units instead of `before`: its guarantee is used more, or less.
local function change_unused(pool, guarantee, before, after)
  local more = max(0, guarantee - after) - max(0, guarantee - before)
  pool.unmet, pool.is_changed, pool.is_written = (pool.unmet or 0) + more, true, true
  local sums = pool.shrunk
  if not sums then return end
  local own = shrink(guarantee, zone.guarantee_total, sums.limit)
  sums.unused = sums.unused + max(0, own - after) - max(0, own - before)
end

function shares.change(pool, campaign, by)
  local share = pool.shares and pool.shares[campaign] or shares.get_entry(pool, campaign)
  local before, guarantee = share.n, pool.name == zone.guaranteed and get_guarantee(pool, campaign) or 0
  share.n, share.dirty = before + by, true
  if guarantee > 0 then change_unused(pool, guarantee, before, share.n) end
  if pool.contending_classes then need('contention').update_ratio(pool, campaign) end
end

function shares.flush()
  for _, of_pool in pairs(cache) do
    for _, share in pairs(of_pool) do
      if share.dirty and share.n ~= 0 then
        unit.create(texts, share.key, score(share.n))
      elseif share.dirty then
        unit.put(texts, share.key, false)
      end
    end
  end
  cache = {}
end

local READ_MAX = 1000 -- shares in one command

-- Read the shares of those campaigns in the pool in few commands.
local function read_all(pool, campaigns)
  local of_pool = get_cache(pool)
  for from = 1, #campaigns, READ_MAX do
    local keys, last = {}, min(#campaigns, from + READ_MAX - 1)
    for i = from, last do keys[#keys + 1] = key(pool.name, campaigns[i]) end
    unit.load(texts, keys)
    for i = 1, #keys do
      local campaign = campaigns[from + i - 1]
      of_pool[campaign] = of_pool[campaign] or { n = read_number(keys[i]), key = keys[i] }
    end
  end
end

-- -> campaign -> its guarantee, with the shares of all of them read
local function read_guarantees(pool)
  local guarantees, campaigns = decode(call('HGET', POLICY, 'guarantees')), {}
  for campaign in pairs(guarantees) do campaigns[#campaigns + 1] = campaign end
  read_all(pool, campaigns)
  return guarantees
end

-- -> the sums of the guarantees that a limit below their total shrinks: promised, and unused. Computed once for a
-- limit, for as many campaigns as policy has, and stored with the pool: shares.change keeps them.
local function get_shrunk_sums(pool, limit)
  if pool.shrunk and pool.shrunk.limit == limit then return pool.shrunk end
  local total, sums = zone.guarantee_total, { limit = limit, promised = 0, unused = 0 }
  for campaign, guarantee in pairs(read_guarantees(pool)) do
    local own = shrink(guarantee, total, limit)
    sums.promised = sums.promised + own
    sums.unused = sums.unused + max(0, own - shares.get(pool, campaign))
  end
  pools.set(pool, { shrunk = sums })
  return sums
end

-- -> unused units of the guarantees of the pool: the campaign's own, and all others'
function shares.get_unused_guarantees(pool, campaign, limit)
  if pool.name ~= zone.guaranteed then return 0, 0 end
  local total, own = zone.guarantee_total, get_guarantee(pool, campaign)
  local mine = max(0, shrink(own, total, limit) - shares.get(pool, campaign))
  if total <= limit then return mine, (pool.unmet or 0) - mine end
  return mine, get_shrunk_sums(pool, limit).unused - mine
end

-- -> free units of a channel that no guarantee of another campaign and no higher class reserves
function shares.get_unreserved(pool, ask, limit)
  local _, others = shares.get_unused_guarantees(pool, ask.op.campaign, limit)
  local class = tostring(ask.campaign.rules.priority or 0)
  return limits.get_room(pool) - others - (zone.priority_reserve[class] or 0) -- mutation: reserves
end

-- -> guaranteed units of the pool, used or not: the campaign's own, and all others'
function shares.get_guarantees(pool, campaign, limit)
  if pool.name ~= zone.guaranteed then return 0, 0 end
  local total, own = zone.guarantee_total, get_guarantee(pool, campaign)
  if total <= limit then return own, total - own end
  own = shrink(own, total, limit)
  return own, get_shrunk_sums(pool, limit).promised - own
end

-- The policy changed: recount the unused units of all guarantees.
function shares.recount()
  if not zone.guaranteed then return end
  local pool, unmet = pools.get(zone.guaranteed), 0
  for campaign, guarantee in pairs(read_guarantees(pool)) do
    unmet = unmet + max(0, guarantee - shares.get(pool, campaign))
  end
  pools.change(pool, { unmet = unmet, shrunk = false })
end

return shares
