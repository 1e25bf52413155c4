-- state/contention.lua: the campaigns that contend for a pool: how many units each was denied, and until when that
-- counts. Storage only; rules/fair_share.lua says what follows from it for others.
--
-- hungry..pool..class   zset of campaigns, score = in_use in the pool / weight
-- hungry..until         hash "pool campaign" -> "ends want since sum[ rate][ big]", its unmet demand:
--                       ends   zone time in ms after which the demand no longer counts
--                       want   most units denied within BURST_MS of each other
--                       since, sum   the last such burst: its begin, its units
--                       rate   a shared rate denied them; big: a waiter needs several units at once
--
-- Callers may invent campaigns and pools where policy has a wildcard. So of those it stores DEMANDS_MAX entries at most;
-- what is over is removed when it is full, and with every recount. Those that policy names always have a place.
local pools, shares = need('pool'), need('shares')
local contention = { TIE = 0.000001 } -- less than any two ratios differ by

local READ_MAX = 20 -- entries of a class that one read passes over
local DEMANDS_MAX = 10000 -- entries of `until`, some 100 bytes each
local SWEEP_FULL = 20 -- entries that a denied request examines while there is no place

local NONE = { ends = 0, want = 0, since = 0, sum = 0, is_rate = false, is_big = false }

local function get_set_key(pool, class)
  return CONTENTION .. pool.name .. ':' .. class
end

local function get_until_key() return CONTENTION .. 'until' end

local function has_class(pool, class)
  return pool.contending_classes and find(pool.contending_classes, class, 1, true)
end

-- -> the unmet demand of the campaign; NONE if it does not contend for the pool
function contention.read(pool, campaign)
  local text = call('HGET', get_until_key(), pool.name .. ' ' .. campaign)
  if not text then return NONE end
  local ends, want, since, sum = match(text, '^(%d+) (%d+) (%d+) (%d+)')
  if not ends then return NONE end -- no text of this script: it has no effect, and clean() removes it
  local demand = { ends = tonumber(ends), want = tonumber(want), since = tonumber(since), sum = tonumber(sum) }
  if demand.ends < now then return NONE end
  demand.is_rate, demand.is_big = find(text, 'rate', 1, true) ~= nil, find(text, 'big', 1, true) ~= nil
  return demand
end

local function write(pool, campaign, demand)
  local text = format('%.0f %.0f %.0f %.0f', demand.ends, demand.want, demand.since, demand.sum)
  text = text .. (demand.is_rate and ' rate' or '') .. (demand.is_big and ' big' or '')
  call('HSET', get_until_key(), pool.name .. ' ' .. campaign, text)
end

local function rules_of(campaign)
  return pools.get('campaign:' .. campaign).rules
end

local function get_ratio(pool, campaign, is_big)
  return shares.get(pool, campaign) / (rules_of(campaign).weight or 1) - (is_big and contention.TIE or 0)
end

-- The campaign has more or fewer units of the pool than before, or contends in another way.
function contention.update_ratio(pool, campaign)
  local class = rules_of(campaign).priority or 0
  if has_class(pool, class) then
    call('ZADD', get_set_key(pool, class), 'XX', get_ratio(pool, campaign, contention.read(pool, campaign).is_big), campaign)
  end
end

-- The unmet demand of a campaign that contends for the pool changed.
function contention.change(pool, campaign, demand)
  write(pool, campaign, demand)
  contention.update_ratio(pool, campaign)
end

-- The campaign contends for the pool, from now on or still.
function contention.enter(pool, campaign, class, demand)
  if not has_class(pool, class) then
    pools.change(pool, { contending_classes = (pool.contending_classes or '') .. class })
    call('ZADD', get_set_key(pool, class), FOREVER, '')
  end
  write(pool, campaign, demand)
  call('ZADD', get_set_key(pool, class), get_ratio(pool, campaign, demand.is_big), campaign)
end

-- Entries that a read found over: pool, class, campaigns; is_last: no other campaign of the class contends.
local over = {}

-- -> campaigns of that class that contend for the pool, as {campaign, ratio, demand}, least ratio first: those up to
-- the ratio `most`, and the first above it. Entries whose time is over are left out, and removed by clean().
function contention.list(pool, class, most)
  local found, gone, is_complete = {}, {}, false
  local members = call('ZRANGE', get_set_key(pool, class), 0, READ_MAX, 'WITHSCORES')
  for i = 1, #members, 2 do
    local campaign = members[i]
    if campaign == '' then -- the sentinel comes last
      is_complete = true
      break
    end
    local demand = contention.read(pool, campaign)
    if demand.ends < now then
      gone[#gone + 1] = campaign
    else
      found[#found + 1] = { campaign = campaign, ratio = tonumber(members[i + 1]), demand = demand }
      if found[#found].ratio > most then break end
    end
  end
  local is_last = is_complete and #found == 0
  if #gone > 0 or is_last then over[#over + 1] = { pool = pool.name, class = class, campaigns = gone, is_last = is_last } end
  return found
end

local function remove_all(pool, class, campaigns)
  for _, campaign in ipairs(campaigns) do
    if contention.read(pool, campaign).ends < now then -- else it contends again since then
      call('ZREM', get_set_key(pool, class), campaign)
      call('HDEL', get_until_key(), pool.name .. ' ' .. campaign)
    end
  end
end

-- Without a contending campaign, requests for the pool may take the fast path again (rules/checks.lua).
local function remove_class(pool, class)
  if call('ZCARD', get_set_key(pool, class)) > 1 then return end
  call('DEL', get_set_key(pool, class))
  local others = string.gsub(pool.contending_classes or '', class, '')
  pools.change(pool, { contending_classes = others ~= '' and others })
end

-- Remove what reads found over: checks read only. Before pools are written.
function contention.clean()
  for _, entry in ipairs(over) do
    local pool = pools.get(entry.pool)
    remove_all(pool, entry.class, entry.campaigns)
    if entry.is_last then remove_class(pool, entry.class) end
  end
  over = {}
end

-- Remove entries that are over: about `most` are examined, from where the last sweep ended.
function contention.sweep(most)
  local page = call('HSCAN', get_until_key(), meta.contention_cursor or '0', 'COUNT', most)
  meta.contention_cursor = page[1] ~= '0' and page[1] or nil
  local names, fields = {}, page[2]
  for i = 1, #fields, 2 do
    local ends = tonumber(match(fields[i + 1], '^%d+'))
    local is_over = not ends or ends < now
    if is_over and fields[i] ~= '' then names[#names + 1] = fields[i] end -- '' is the sentinel
  end
  for _, name in ipairs(names) do
    local pool, campaign = match(name, '^(%S+) (%S+)$')
    for class in gmatch(pool and pools.get(pool).contending_classes or '', '%d') do
      call('ZREM', get_set_key({ name = pool }, class), campaign)
    end
    call('HDEL', get_until_key(), name)
  end
end

-- May the demand of the campaign for the pool be stored?
function contention.has_place(pool, campaign)
  if not pool.wildcard and not pools.get('campaign:' .. campaign).wildcard then return true end
  local key = get_until_key()
  if call('HLEN', key) <= DEMANDS_MAX then return true end -- with the sentinel
  contention.sweep(SWEEP_FULL)
  return call('HLEN', key) <= DEMANDS_MAX or call('HGET', key, pool.name .. ' ' .. campaign) ~= false
end

-- No campaign contends for the pool any more: a policy may have changed weights and classes.
function contention.clear(pool)
  for class in gmatch(pool.contending_classes or '', '%d') do
    for _, campaign in ipairs(call('ZRANGE', get_set_key(pool, class), 0, -1)) do
      if campaign ~= '' then call('HDEL', get_until_key(), pool.name .. ' ' .. campaign) end
    end
    call('DEL', get_set_key(pool, class))
  end
  pools.change(pool, { contending_classes = false })
end

return contention
