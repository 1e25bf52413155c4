-- effects/expiry.lua: deadlines, served oldest first in bounded slices at the start of every call.
-- A report for one that is past its deadline but not yet served meets an expired one all the same
-- (commands/report.lua), so a slice that is too small delays room, never truth.
local reservation, occupancy, limits = need('reservation'), need('occupancy'), need('limits')

-- An MPP's snapshot that lapsed is ignored: perhaps none will ever come again.
local function is_watched(p)
  return p.fed and (p.kind ~= 'mpp' or limits.is_fresh(p)) -- mutation: mpp-snapshot-lapses
end

-- Of every pool that it occupies and snapshots feed, the newest photograph must show it if its call is up.
local function is_held_everywhere(r)
  if now <= r.visible_by then return false end
  for _, p in ipairs(occupancy.pools(r)) do
    if is_watched(p) and not occupancy.holds(p, r) then return false end
  end
  return true
end

local serve = {}

function serve.live(r)
  if r.outcome ~= 'unknown' or now > r.deadline or is_held_everywhere(r) then return need('release').expire(r) end
  buffer_write('ZADD', DEADLINES, score(min(r.deadline, now + UNKNOWN_AGAIN_MS)), r.id)
end

function serve.releasing(r) need('release').finish(r) end

serve.ended = reservation.forget
serve.expired = reservation.forget

-- No reservation: a pool that is looked at once, or nothing any more.
local function drop(id)
  call('ZREM', DEADLINES, id)
  local pool = match(id, '^pool (.+)$')
  if pool then need('pool_gc').look(pool) end
end

return function(ids)
  for _, id in ipairs(ids) do
    local r = reservation.read(id)
    if r then serve[r.state](r) else drop(id) end
  end
end
