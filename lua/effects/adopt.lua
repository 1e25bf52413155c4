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
  local a = op.adopt
  if op.scope and not contains(op.scope, a.campaign) then return nil, fault('forbidden', 'id', op.id) end
  if known and known.campaign ~= a.campaign then return nil, fault('forbidden', 'id', op.id) end
  if a.channel == 'any' then return nil, fault('unknown_channel', 'channel', a.channel) end
  return request.read({ campaign = a.campaign, channel = a.channel, pools = a.pools or {} })
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
  local r = { id = op.id, granted_at = now, campaign = op.adopt.campaign }
  if known then r.owner, r.request_id, r.session = known.owner, known.request_id, known.session end
  local plan = plans.find(ask, op.adopt.channel, find_mpp(op))
  r.channel, r.mpp, r.pools = plan.shared.channel, plan.shared.mpp, plans.list_pool_names(plan)
  r.answer_within, r.max_call = plan.answer_within, plan.max_call
  r.state, r.reported_at, r.adopted = 'live', now, true
  if op.op == 'launched' then r.launched_at = now end
  return r, plan
end

-- known: the expired record, or nil; wrong: the fault of the look-up
return function(op, known, wrong)
  if wrong and (wrong.error ~= 'unknown_reservation' or reservation.read(op.id)) then return wrong end -- mutation: tombstone-not-adopted
  local ask, fault_in_names = read_request(op, known)
  if not ask then return fault_in_names end
  local r, plan = make_record(op, known, ask)
  r.taken, r.session = op.port_taken, r.session or op.session
  r.visible_by = op.port_taken and now or now + zone.launch_within + ask.placement.claim_within
  r.deadline = now + (r.taken and r.max_call or r.answer_within)
  occupancy.join(plan.pools, r)
  reservation.write(r, r.deadline)
  count('adopted')
  return {
    id = r.id, state = 'live', repeated = false, adopted = true, renew_within_ms = r.deadline - now,
  }
end
