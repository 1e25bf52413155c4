-- effects/expiry.lua: processes deadlines, oldest first, in a bounded slice at the start of every call.
-- A report for a reservation past its deadline finds it expired even before its turn (commands/report.lua), so a
-- backlog delays the release of units, never the answer.
local reservation, occupancy, limits = need('reservation'), need('occupancy'), need('limits')
local deadlines = unit.zset(DEADLINES)

-- Do snapshots of this pool decide? A lapsed MPP snapshot is ignored, since another may never come.
local function is_watched(p)
  if p.name == ON_KNOWN_MPP then return p.t0 end -- counted with snapshots of channels, if any come
  return p.fed and (p.kind ~= 'mpp' or limits.is_fresh(p)) -- mutation: mpp-snapshot-lapses
end

-- Must the newest snapshot of each fed pool of r show r's call, if that call is up?
local function is_held_everywhere(r)
  if now <= r.visible_by then return false end
  for _, p in ipairs(occupancy.pools(r)) do
    if is_watched(p) and not occupancy.holds(p, r) then return false end
  end
  return true
end

local process = {} -- state -> what a deadline does

function process.live(r)
  if r.outcome ~= 'unknown' or now > r.deadline or is_held_everywhere(r) then return need('release').expire(r) end
  reservation.set_deadline(r.id, min(r.deadline, now + UNKNOWN_AGAIN_MS))
end

function process.releasing(r) need('release').finish(r) end

process.ended = reservation.delete
process.expired = reservation.delete

-- id: "pool NAME", or a reservation that does not exist any more
local function process_pool(id)
  unit.remove(deadlines, id)
  local pool = match(id, '^pool (.+)$')
  if pool then need('pool_gc').examine(pool) end
end

return function(ids)
  if #ids > 1 then reservation.load(ids) end
  for _, id in ipairs(ids) do
    local r = reservation.read(id)
    if r then process[r.state](r) else process_pool(id) end
  end
end
