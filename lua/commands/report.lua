-- commands/report.lua: reports of dialers on a reservation: launched, renew, end.
--
-- op: id, unproved? (the id does not show that this service issued it), scope? (campaigns that the caller may touch), adopt?, and
--   launched: port_taken, session?, mpp?     renew: -     end: outcome, ended_at? (zone time in ms), by?
-- -> {id, state, repeated, renew_within_ms?, adopted?}, maybe as JSON text, or a fault
local reservation, pools = need('reservation'), need('pool')
local occupancy, release = need('occupancy'), need('release')
local report = {}

-- As JSON text: every report has one, and the id, issued by the service, needs no escaping.
local function answer(record, repeated)
  local state = reservation.public_state(record)
  local text = '{"id":"' .. record.id .. '","state":"' .. state .. (repeated and '","repeated":true' or '","repeated":false')
  if state ~= 'live' then return text .. '}' end
  return text .. format(',"renew_within_ms":%d}', max(0, record.deadline - now))
end

-- -> the reservation, or nil and a fault; a live one past its deadline expires here
local function find(op)
  local record = reservation.read(op.id)
  if not record then return nil, fault('unknown_reservation', 'id', op.id) end
  if #record.pools == 0 then return nil, fault('unknown_reservation', 'id', op.id) end -- a tombstone
  if op.scope and not contains(op.scope, record.campaign) then return nil, fault('forbidden', 'id', op.id) end
  if reservation.is_overdue(record) then release.expire(record) end
  return record
end

-- The platform chose an MPP, or another one than the grant booked.
local function move_to(record, mpp)
  local to = pools.get('mpp:' .. mpp .. ':' .. record.channel)
  local names, joined = {}, { to }
  for _, name in ipairs(record.pools) do
    local pool = pools.get(name)
    if pool.kind == 'mpp' then occupancy.leave({ pool }, record, nil) else names[#names + 1] = name end
  end
  if not record.mpp then
    names[#names + 1] = ON_KNOWN_MPP
    joined[2] = pools.get(ON_KNOWN_MPP)
  end
  names[#names + 1] = to.name
  occupancy.join(joined, record)
  -- The newest snapshot of the MPP shows the port already, as foreign use.
  if to.ceiling and occupancy.holds(to, record) then
    pools.change(to, { ceiling = to.ceiling + 1 })
  end
  record.pools, record.mpp = names, mpp
end

local function take_port(record)
  record.taken, record.outcome = true, false
  occupancy.limit_visible_by(record, now)
  record.deadline = now + record.max_call
end

-- -> whether the report changed the record
local function record_launch(record, op)
  local changed = not record.launched_at
  need('age_bins').note_launch(occupancy.pools(record), record, op.port_taken)
  if changed then record.launched_at = now end
  if op.session and not record.session then record.session, changed = op.session, true end
  if op.mpp and op.mpp ~= record.mpp and zone.is_mpp[op.mpp] then
    move_to(record, op.mpp)
    changed = true
  end
  if op.port_taken then -- mutation: launch-is-no-port
    changed = changed or not record.taken or record.outcome == 'unknown'
    take_port(record)
  elseif record.claim_within then -- launched by now, so the platform claims the port no later than this
    occupancy.limit_visible_by(record, now + record.claim_within) -- mutation: claim-after-launch
  end
  record.reported_at = now
  reservation.write(record, record.outcome ~= 'unknown' and record.deadline or nil) -- unknown: effects/expiry.lua examines it sooner
  return changed
end

function report.launched(op)
  local record, wrong = find(op)
  if op.adopt and (not record or record.state == 'expired') then return need('adopt')(op, record, wrong) end
  if not record then return wrong end
  if not reservation.is_live(record) then return answer(record, false) end
  return answer(record, not record_launch(record, op))
end

function report.renew(op)
  local record, wrong = find(op)
  if op.adopt and (not record or record.state == 'expired') then return need('adopt')(op, record, wrong) end
  if not record then return wrong end
  if not reservation.is_live(record) then return answer(record, false) end
  record.outcome, record.reported_at = false, now
  record.deadline = max(record.deadline, now + (record.taken and record.max_call or record.answer_within))
  reservation.write(record, record.deadline)
  return answer(record, false)
end

-- The outcome of a launch is unknown and the call may still come up: the reservation keeps its pools until a snapshot
-- must show it; that snapshot then decides.
local function record_unknown_outcome(record)
  local repeated = record.outcome == 'unknown'
  if not repeated then count('end:unknown') end
  record.outcome, record.reported_at = 'unknown', now
  reservation.write(record, not repeated and min(record.deadline, now + UNKNOWN_AGAIN_MS) or nil)
  return answer(record, repeated)
end

local TOMBSTONES_MAX = 10000 -- since a loss

-- A report that arrives after the end must not adopt the id. Without a loss nothing unknown is adopted (effects/adopt.lua).
local function write_tombstone(op)
  local written = meta.tombstones or 0
  local may_be_adopted = not op.unproved and now <= meta.recovered_from + max(zone.answer_within, zone.max_call) -- mutation: tombstone-only-after-loss
  if not may_be_adopted or written >= TOMBSTONES_MAX or reservation.read(op.id) then return end
  meta.tombstones = written + 1
  local tombstone = { id = op.id, state = 'ended', pools = {}, released_at = now, campaign = '' }
  tombstone.granted_at, tombstone.visible_by, tombstone.deadline = now, now, now
  reservation.write(tombstone, now + zone.retention)
end

report['end'] = function(op)
  local record, wrong = find(op)
  if not record then
    if wrong.error == 'unknown_reservation' then write_tombstone(op) end
    return wrong
  end
  if not reservation.is_live(record) then return answer(record, reservation.public_state(record) == 'ended') end -- mutation: repeated-end
  if op.outcome == 'unknown' then return record_unknown_outcome(record) end -- mutation: unknown-outcome-waits
  if op.by then need('audit_log').note(op, 'end', op.id, { outcome = op.outcome, campaign = record.campaign }) end
  record.outcome, record.reported_at = op.outcome, now
  record.ended_at = op.ended_at and op.ended_at <= now and op.ended_at or false -- mutation: end-in-future-ignored
  count('end:' .. op.outcome)
  release.record_outcome(record)
  if zone.release_within > 0 then -- mutation: release-within
    record.state = 'releasing'
    reservation.write(record, now + zone.release_within)
    need('notify').on('release_ends', zone.release_within + 1)
  else
    release.finish(record)
  end
  return answer(record, false)
end

return report
