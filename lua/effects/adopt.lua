-- effects/adopt.lua: restores a reservation that its dialer restates after the ledger lost or expired it.
--
-- op: as for launched or renew, with adopt = {campaign, channel, mpp?, pools?}
-- -> the report's answer with adopted = true, or a fault
--
-- The call exists already, so the reservation joins its pools without a check of room, and ceilings do not move.

local reservation, pools, occupancy = need('reservation'), need('pool'), need('occupancy')
local request, plans = need('request'), need('plan')

-- -> the request that the dialer restates, or nil and a fault
local function read_request(op, known)
  local restated = op.adopt
  if op.scope and not contains(op.scope, restated.campaign) then return nil, fault('forbidden', 'id', op.id) end
  if known and known.campaign ~= restated.campaign then return nil, fault('forbidden', 'id', op.id) end
  if restated.channel == 'any' then return nil, fault('unknown_channel', 'channel', restated.channel) end
  return request.read({ campaign = restated.campaign, channel = restated.channel, pools = restated.pools or {} })
end

-- -> the MPP of the report, else of the restatement; an MPP that policy does not list is ignored: false
local function find_mpp(op)
  for _, mpp in ipairs({ op.mpp or '', op.adopt.mpp or '' }) do
    if zone.is_mpp[mpp] then return mpp end
  end
  return false
end

-- -> a new record and its plan; owner, request_id and session of an expired record are kept
local function make_record(op, known, ask)
  local record = { id = op.id, granted_at = now, campaign = op.adopt.campaign }
  if known then record.owner, record.request_id, record.session = known.owner, known.request_id, known.session end
  local plan = plans.find(ask, op.adopt.channel, find_mpp(op))
  record.channel, record.mpp, record.pools = plan.shared.channel, plan.shared.mpp, plans.list_pool_names(plan)
  record.answer_within, record.max_call = plan.answer_within, plan.max_call
  record.state, record.reported_at, record.adopted = 'live', now, true
  if op.op == 'launched' then record.launched_at = now end
  return record, plan
end

-- known: the expired record, or nil; wrong: the fault of the look-up
return function(op, known, wrong)
  if wrong and (wrong.error ~= 'unknown_reservation' or reservation.read(op.id)) then return wrong end -- mutation: tombstone-not-adopted
  local ask, fault_in_names = read_request(op, known)
  if not ask then return fault_in_names end
  local record, plan = make_record(op, known, ask)
  record.taken, record.session = op.port_taken, record.session or op.session
  record.visible_by = op.port_taken and now or now + zone.launch_within + ask.placement.claim_within
  record.deadline = now + (record.taken and record.max_call or record.answer_within)
  occupancy.join(plan.pools, record)
  reservation.write(record, record.deadline)
  count('adopted')
  return {
    id = record.id, state = 'live', repeated = false, adopted = true, renew_within_ms = record.deadline - now,
  }
end
