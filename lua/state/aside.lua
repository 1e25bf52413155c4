-- state/aside.lua: what cannot be read is set aside, so that it stops nothing else: kept for inspection, counted, and named
-- in the status. An entry is kept as text, a key of the wrong type is renamed; what it held is rebuilt or counted as lost.
--
-- aside hash: "reservation ID", "request CAMPAIGN/REQUEST_ID", "pool NAME", "waiter CAMPAIGN/REQUEST_ID",
--             "share POOL CAMPAIGN" -> the text of the entry; "key NAME" -> its type and its new name
local aside = {}

local KEPT_MAX = 100 -- entries
local kept = unit.hash(ASIDE)
local PREFIX = sub(ZONE, 1, -5) -- without "zone"

local function has_room(name)
  return call('HLEN', ASIDE) < KEPT_MAX or unit.get(kept, name) ~= false
end

-- An entry cannot be read; the caller deletes it. Counts may include it: a recount begins with the next call.
function aside.keep(kind, name, text)
  count('set_aside')
  meta.recount = true
  name = kind .. ' ' .. name
  if has_room(name) then unit.put(kept, name, text) end
end

-- Keys of the wrong type ----------------------------------------------------------------------------------------

local TYPES = {
  [ZONE] = 'hash', [RES] = 'hash', [REQ] = 'hash', [DEADLINES] = 'zset', [POOLS] = 'hash', [POLICY] = 'hash',
  [STATS] = 'hash', [SHARES] = 'hash', [QUEUE] = 'zset', [WAITERS] = 'hash', [ARRIVED] = 'zset', [AUDIT] = 'stream',
  [ASIDE] = 'hash', [RECOUNT] = 'hash', [CONTENTION .. 'until'] = 'hash',
}

local function has_prefix(key, prefix) return sub(key, 1, #prefix) == prefix end

-- Is it a key of a pool: of pending reservations, of contending campaigns, or of what is learned?
local function is_of_pool(key)
  return has_prefix(key, PEND) or has_prefix(key, CONTENTION) or has_prefix(key, LEARN)
end

local function is_wrong(key)
  local kind = unit.get_type(key)
  return kind ~= 'none' and kind ~= (TYPES[key] or has_prefix(key, LEARN) and 'hash' or 'zset')
end

-- raised: the error of the call; others: keys that it used besides KEYS -> keys that cannot be read
function aside.find_wrong_keys(raised, others)
  if type(raised) == 'table' and raised.unreadable then return { raised.unreadable } end
  local found, is_listed = {}, {}
  local keys = {}
  for key in pairs(TYPES) do keys[#keys + 1] = key end
  for _, key in ipairs(others) do
    if is_of_pool(key) then keys[#keys + 1] = key end
  end
  for _, key in ipairs(keys) do
    if not is_listed[key] and is_wrong(key) then found[#found + 1] = key end
    is_listed[key] = true
  end
  table.sort(found)
  return found
end

local function name_of(key) return sub(key, #PREFIX + 1) end

-- In the same slot as all keys of the zone.
local function get_new_name(key) return ASIDE .. ':' .. name_of(key) end

-- The zone's own key. Without its clock no time of a snapshot can be compared: pools begin anew as well.
function aside.rename_zone(wrong)
  if not contains(wrong, ZONE) then return end
  if not contains(wrong, POOLS) then wrong[#wrong + 1] = POOLS end
  unit.rename(ZONE, get_new_name(ZONE))
end

function aside.rename_others(wrong)
  for _, key in ipairs(wrong) do
    if key ~= ZONE and unit.get_type(key) ~= 'none' then unit.rename(key, get_new_name(key)) end
  end
end

-- Requests that wait come again by themselves, with the time when they were first seen.
local function clear_queue()
  call('DEL', QUEUE)
  call('DEL', ARRIVED)
  call('DEL', WAITERS)
  call('DEL', CONTENTION .. 'callers')
  call('ZADD', QUEUE, 0, '')
  call('ZADD', ARRIVED, FOREVER, '')
  call('HSET', WAITERS, '', '')
  meta.waiters, meta.beats, meta.held_back = nil, nil, nil
end

local function keep_sentinel(key, score_text)
  if TYPES[key] == 'hash' then call('HSET', key, '', '') else call('ZADD', key, score_text, '') end
end

local function recover(key)
  keep_sentinel(key, -1)
  if meta.recovered_from ~= now then begin_recovery() end
end

-- key -> what replaces its content. Pools and shares are counted from the records, and deadlines follow from them;
-- without records or pending sets calls may be up that the ledger does not know: a recovery waits for them.
local REBUILD = {
  [ZONE] = clear_queue, [RES] = recover, [POOLS] = recover,
  [DEADLINES] = function(key)
    keep_sentinel(key, FOREVER)
    doubt_counts()
  end,
  [SHARES] = function(key)
    keep_sentinel(key)
    doubt_counts()
  end,
  [QUEUE] = clear_queue, [WAITERS] = clear_queue, [ARRIVED] = clear_queue,
  [REQ] = keep_sentinel, [STATS] = keep_sentinel,
  [RECOUNT] = function() meta.recounting, meta.recount = nil, true end,
}

local function rebuild_key_of_pool(key)
  if has_prefix(key, PEND) then return recover(key) end
  if has_prefix(key, CONTENTION) then return keep_sentinel(key, FOREVER) end
  if meta.recovered_from ~= now then begin_recovery() end -- nothing learned before it counts
end

-- After the keys were renamed.
function aside.rebuild(wrong)
  for _, key in ipairs(wrong) do
    local new, name = get_new_name(key), 'key ' .. name_of(key)
    count('set_aside')
    if has_room(name) then
      unit.put(kept, name, unit.get_type(new) .. ' ' .. new)
    else
      unit.discard('UNLINK', new)
    end
    local rebuild = REBUILD[key] or not (key == POLICY or key == AUDIT or key == ASIDE) and rebuild_key_of_pool
    if rebuild then rebuild(key) end
  end
end

-- Inspection -----------------------------------------------------------------------------------------------------

-- -> {kind, name, type?, key?} for each entry: no texts, which may be anything
function aside.list()
  local list, names = {}, call('HKEYS', ASIDE)
  table.sort(names)
  for _, field in ipairs(names) do
    local kind, name = match(field, '^(%a+) (.*)$')
    if kind then
      local entry = { kind = kind, name = string.gsub(name, '[^%w%p ]', '?') }
      if kind == 'key' then entry.type, entry.key = match(unit.get(kept, field), '^(%S+) (.*)$') end
      list[#list + 1] = entry
    end
  end
  return list
end

-- Delete what was set aside, after its inspection. op: by? -> {cleared}
function aside.clear(op)
  local names = call('HKEYS', ASIDE)
  for _, field in ipairs(names) do
    local new = match(field, '^key ') and match(unit.get(kept, field), '^%S+ (.*)$')
    if new and sub(new, 1, #ASIDE + 1) == ASIDE .. ':' then unit.discard('UNLINK', new) end
    unit.put(kept, field, false)
  end
  if #names > 0 then need('audit_log').note(op, 'clear_aside', 'zone', { cleared = #names }) end
  return { cleared = #names }
end

return aside
