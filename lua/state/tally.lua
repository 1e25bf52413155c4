-- state/tally.lua: what a recount under way (effects/recount.lua) has counted: the reservations of the records that it has
-- visited. Calls between its slices grant, report and end; the tally takes part in each of their changes.
--
-- recount hash: "pool NAME" -> reservations that occupy it; "share POOL CAMPAIGN" -> those of the campaign
--
-- Records are visited in the order of their deadlines: by score, then by the bytes of the id. The tally is always the sum
-- over the records whose place in that order is not after the last one visited (meta.recounting: score, id; is_all: every
-- record). So whatever changes a record or its deadline calls remove() before and add() after (state/reservation.lua).
local reservation, pools = need('reservation'), need('pool')
local tally = {}

local HOLDS = set_of({ 'live', 'releasing' })
local texts = unit.hash(RECOUNT)
local changes = {} -- field -> change in this call

-- Does one id come before the other, in the order in which Redis compares members?
function tally.is_before(id, other)
  for i = 1, min(#id, #other) do
    local byte, other_byte = string.byte(id, i), string.byte(other, i)
    if byte ~= other_byte then return byte < other_byte end
  end
  return #id < #other
end

-- score: number, or nil: the record has no deadline, so no recount visited it
local function is_visited(id, score_now)
  local at = meta.recounting
  if not score_now then return false end
  if at.is_all then return true end
  local last = tonumber(at.score)
  if not last or score_now ~= last then return last ~= nil and score_now < last end
  return not tally.is_before(at.id, id) -- mutation: tally-order-of-ids
end

local function change(field, by) changes[field] = (changes[field] or 0) + by end

-- Does the reservation occupy its pools?
function tally.occupies(record) return HOLDS[record.state] ~= nil end

-- by: 1 or -1
function tally.count(record, by)
  if not HOLDS[record.state] then return end
  for _, name in ipairs(record.pools) do
    change('pool ' .. name, by)
    if pools.has_shares(name) then change('share ' .. name .. ' ' .. record.campaign, by) end
  end
end

local function count_visited(id, by)
  if not is_visited(id, reservation.get_deadline(id)) then return end
  local record = reservation.peek(id)
  if record then tally.count(record, by) end
end

-- The record or its deadline is about to change.
function tally.remove(id) count_visited(id, -1) end -- mutation: tally-before-change

-- The record or its deadline has changed.
function tally.add(id) count_visited(id, 1) end -- mutation: tally-after-change

-- -> the count of a field
function tally.get(field)
  local text = unit.get(texts, field)
  return tonumber(text or 0) + (changes[field] or 0)
end

-- -> fields that changed in this call; others are in the hash
function tally.list_changes()
  local fields = {}
  for field in pairs(changes) do fields[#fields + 1] = field end
  return fields
end

-- Forget everything that this call counted.
function tally.reset() changes = {} end

function tally.forget(field) unit.put(texts, field, false) end

function tally.flush()
  local fields = meta.recounting and tally.list_changes() or {}
  unit.load(texts, fields)
  for _, field in ipairs(fields) do
    local counted_now = tally.get(field)
    unit.put(texts, field, counted_now ~= 0 and format('%d', counted_now))
  end
  changes = {}
end

return tally
