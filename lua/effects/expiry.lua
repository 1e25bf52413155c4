-- effects/expiry.lua: processes deadlines, oldest first, in a bounded slice at the start of every call.
-- A report for a reservation past its deadline finds it expired even before its turn (commands/report.lua), so a
-- backlog delays the release of units, never the answer.
local reservation, occupancy, limits = need('reservation'), need('occupancy'), need('limits')
local deadlines = unit.zset(DEADLINES)

-- Do snapshots of this pool decide? A lapsed MPP snapshot is ignored, since another may never come.
local function is_watched(pool)
  if pool.name == ON_KNOWN_MPP then return pool.t0 end -- counted with snapshots of channels, if any come
  return pool.fed and (pool.kind ~= 'mpp' or limits.is_fresh(pool)) -- mutation: mpp-snapshot-lapses
end

-- Must the newest snapshot of each fed pool show the call of the reservation, if that call is up?
local function is_held_everywhere(record)
  if now <= record.visible_by then return false end
  for _, pool in ipairs(occupancy.pools(record)) do
    if is_watched(pool) and not occupancy.holds(pool, record) then return false end
  end
  return true
end

local process = {} -- state -> what a deadline does

function process.live(record)
  if record.outcome ~= 'unknown' or now > record.deadline or is_held_everywhere(record) then return need('release').expire(record) end
  reservation.set_deadline(record.id, min(record.deadline, now + UNKNOWN_AGAIN_MS))
end

function process.releasing(record) need('release').finish(record) end

process.ended = reservation.delete
process.expired = reservation.delete

-- id: "pool NAME", or a reservation that does not exist any more
local function process_pool(id)
  unit.set_score(deadlines, id, false)
  local pool = match(id, '^pool (.+)$')
  if pool then need('pool_gc').examine(pool) end
end

return function(ids)
  if #ids > 1 then reservation.load(ids) end
  for _, id in ipairs(ids) do
    local record = reservation.read(id)
    if record then process[record.state](record) else process_pool(id) end
  end
end
