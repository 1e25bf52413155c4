-- commands/report.lua: reports of dialers on a reservation: launched, renew, end.
--
-- op: id, scope? (campaigns that the caller may touch), adopt?, and
--   launched: port_taken, session?, mpp?     renew: -     end: outcome, ended_at? (zone time in ms), by?
-- -> {id, state, repeated, renew_within_ms?, adopted?}, maybe as JSON text, or a fault
local reservation, pools = need('reservation'), need('pool')
local occupancy, release = need('occupancy'), need('release')
local report = {}

-- As JSON text: every report has one, and the id, issued by the service, needs no escaping.
local function answer(r, repeated)
  local state = reservation.public_state(r)
  local again = repeated and 'true' or 'false'
  if state ~= 'live' then return format('{"id":"%s","state":"%s","repeated":%s}', r.id, state, again) end
  local renew_within = max(0, r.deadline - now)
  return format('{"id":"%s","state":"live","repeated":%s,"renew_within_ms":%d}', r.id, again, renew_within)
end

-- -> the reservation, or nil and a fault; a live one past its deadline expires here
local function find(op)
  local r = reservation.read(op.id)
  if not r then return nil, fault('unknown_reservation', 'id', op.id) end
  if #r.pools == 0 then return nil, fault('unknown_reservation', 'id', op.id) end -- a tombstone
  if op.scope and not contains(op.scope, r.campaign) then return nil, fault('forbidden', 'id', op.id) end
  if reservation.is_overdue(r) then release.expire(r) end
  return r
end

-- The platform chose an MPP, or another one than the grant booked.
local function move_to(r, mpp)
  local to = pools.get('mpp:' .. mpp .. ':' .. r.channel)
  local names, joined = {}, { to }
  for _, name in ipairs(r.pools) do
    local p = pools.get(name)
    if p.kind == 'mpp' then occupancy.leave({ p }, r, nil) else names[#names + 1] = name end
  end
  if not r.mpp then
    names[#names + 1] = ON_KNOWN_MPP
    joined[2] = pools.get(ON_KNOWN_MPP)
  end
  names[#names + 1] = to.name
  occupancy.join(joined, r)
  -- The newest snapshot of the MPP shows the port already, as foreign use.
  if to.ceiling and occupancy.holds(to, r) then
    pools.change(to, { ceiling = to.ceiling + 1 })
  end
  r.pools, r.mpp = names, mpp
end

local function take_port(r)
  r.taken, r.outcome = true, false
  occupancy.limit_visible_by(r, now)
  r.deadline = now + r.max_call
end

-- -> whether the report changed the record
local function record_launch(r, op)
  local changed = not r.launched_at
  need('age_bins').note_launch(occupancy.pools(r), r, op.port_taken)
  if changed then r.launched_at = now end
  if op.session and not r.session then r.session, changed = op.session, true end
  if op.mpp and op.mpp ~= r.mpp and zone.is_mpp[op.mpp] then
    move_to(r, op.mpp)
    changed = true
  end
  if op.port_taken then -- mutation: launch-is-no-port
    changed = changed or not r.taken or r.outcome == 'unknown'
    take_port(r)
  elseif r.claim_within then -- launched by now, so the platform claims the port no later than this
    occupancy.limit_visible_by(r, now + r.claim_within) -- mutation: claim-after-launch
  end
  r.reported_at = now
  reservation.write(r, r.outcome ~= 'unknown' and r.deadline or nil) -- unknown: effects/expiry.lua examines it sooner
  return changed
end

function report.launched(op)
  local r, wrong = find(op)
  if op.adopt and (not r or r.state == 'expired') then return need('adopt')(op, r, wrong) end
  if not r then return wrong end
  if not reservation.is_live(r) then return answer(r, false) end
  return answer(r, not record_launch(r, op))
end

function report.renew(op)
  local r, wrong = find(op)
  if op.adopt and (not r or r.state == 'expired') then return need('adopt')(op, r, wrong) end
  if not r then return wrong end
  if not reservation.is_live(r) then return answer(r, false) end
  r.outcome, r.reported_at = false, now
  r.deadline = max(r.deadline, now + (r.taken and r.max_call or r.answer_within))
  reservation.write(r, r.deadline)
  return answer(r, false)
end

-- The outcome of a launch is unknown and the call may still come up: the reservation keeps its pools until a snapshot
-- must show it; that snapshot then decides.
local function record_unknown_outcome(r)
  local repeated = r.outcome == 'unknown'
  if not repeated then count('end:unknown') end
  r.outcome, r.reported_at = 'unknown', now
  reservation.write(r, not repeated and min(r.deadline, now + UNKNOWN_AGAIN_MS) or nil)
  return answer(r, repeated)
end

-- An end may overtake its grant: the tombstone keeps the id from being adopted.
local function write_tombstone(op)
  if reservation.read(op.id) then return end
  local tombstone = { id = op.id, state = 'ended', pools = {}, released_at = now, campaign = '' }
  tombstone.granted_at, tombstone.visible_by, tombstone.deadline = now, now, now
  reservation.write(tombstone, now + zone.retention)
end

report['end'] = function(op)
  local r, wrong = find(op)
  if not r then
    if wrong.error == 'unknown_reservation' then write_tombstone(op) end
    return wrong
  end
  if not reservation.is_live(r) then return answer(r, reservation.public_state(r) == 'ended') end -- mutation: repeated-end
  if op.outcome == 'unknown' then return record_unknown_outcome(r) end -- mutation: unknown-outcome-waits
  if op.by then need('audit_log').note(op, 'end', op.id, { outcome = op.outcome, campaign = r.campaign }) end
  r.outcome, r.reported_at = op.outcome, now
  r.ended_at = op.ended_at and op.ended_at <= now and op.ended_at or false -- mutation: end-in-future-ignored
  count('end:' .. op.outcome)
  release.record_outcome(r)
  if zone.release_within > 0 then -- mutation: release-within
    r.state = 'releasing'
    reservation.write(r, now + zone.release_within)
    need('notify').on('release_ends', zone.release_within + 1)
  else
    release.finish(r)
  end
  return answer(r, false)
end

return report
