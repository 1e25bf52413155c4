-- effects/adopt.lua: restores a reservation that its dialer restates after the ledger lost or expired it.
--
-- op: as for launched or renew, with adopt = {campaign, channel, mpp?, pools?}
-- -> the report's answer with adopted = true, or a fault
--
-- The call exists already, so ceilings do not move, and neither rates, pauses nor other campaigns' demand count. But a dialer
-- may restate no more than its campaign can have held: an unknown id only while a loss explains that it is unknown, and only
-- as long as each pool has a unit for it by what policy and platform have at all.

local reservation, pools, occupancy = need('reservation'), need('pool'), need('occupancy')
local request, plans, shares, audit_log = need('request'), need('plan'), need('shares'), need('audit_log')

local UNSEEN_MAX = 1000 -- reservations of a channel whose ports are not known yet: neither a capacity nor a snapshot since the loss

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

-- A lost reservation would have expired by then, unless a report extended it: the dialer restates it before that.
local function is_explained_by_loss(record)
  return now <= meta.recovered_from + max(record.answer_within, record.max_call) -- mutation: adoption-only-after-loss
end

-- -> the most reservations that may ever have held the pool
local function get_most(pool)
  local most = min(pool.rules.limit or FOREVER, pool.total or FOREVER)
  return pool.kind == 'channel' and most == FOREVER and UNSEEN_MAX or most
end

-- -> units of the pool that the guarantees of other campaigns reserve
local function get_reserved(pool, campaign, most)
  if pool.name ~= zone.guaranteed or zone.guarantee_total > most then return 0 end
  local mine, others = shares.get_unused_guarantees(pool, campaign, most)
  return mine > 0 and 0 or others
end

-- Is there a unit for the reservation in each of its pools?
local function has_unit(plan, campaign)
  for _, pool in ipairs(plan.pools) do
    if pool.kind ~= 'mpp' and pool.kind ~= ON_KNOWN_MPP then
      local most = get_most(pool)
      if pool.in_use + get_reserved(pool, campaign, most) >= most then return false end -- mutation: adoption-bounded
    end
  end
  return true
end

-- Count an adoption or its refusal since the last loss. The audit log names the 1st, 10th, 100th ...: one loss restates
-- thousands of calls, and the log has room for a thousand entries.
local function record_in_audit(did, campaign)
  local n = (meta[did] or 0) + 1
  meta[did] = n
  if match(format('%d', n), '^10*$') then
    audit_log.note({ by = 'ledger' }, did, 'campaign:' .. campaign, { since = meta.recovered_from, count = n })
  end
end

-- Campaigns that policy does not name share a counter.
local function count_adopted(campaign)
  local pool = pools.get('campaign:' .. campaign)
  count('adopted')
  count('adopted:' .. (pool.known and not pool.wildcard and campaign or '*'))
  record_in_audit('adopt', campaign)
end

-- -> the fault, or for an expired reservation that its state stays
local function refuse(op, known)
  count('adoption_refused')
  unit.change()
  record_in_audit('adoption_refused', op.adopt.campaign)
  if known then return { id = op.id, state = 'expired', repeated = false } end
  return fault('unknown_reservation', 'id', op.id)
end

-- known: the expired record, or nil; wrong: the fault of the look-up
return function(op, known, wrong)
  if wrong and (wrong.error ~= 'unknown_reservation' or reservation.read(op.id)) then return wrong end -- mutation: tombstone-not-adopted
  local ask, fault_in_names = read_request(op, known)
  if not ask then return fault_in_names end
  local record, plan = make_record(op, known, ask)
  local is_explained = known or not op.unproved and is_explained_by_loss(record) -- mutation: adoption-needs-proof
  if not is_explained or not has_unit(plan, op.adopt.campaign) then return refuse(op, known) end
  record.taken, record.session = op.port_taken, record.session or op.session
  record.visible_by = op.port_taken and now or now + zone.launch_within + ask.placement.claim_within
  record.deadline = now + (record.taken and record.max_call or record.answer_within)
  occupancy.join(plan.pools, record)
  reservation.write(record, record.deadline)
  count_adopted(op.adopt.campaign)
  return {
    id = record.id, state = 'live', repeated = false, adopted = true, renew_within_ms = record.deadline - now,
  }
end
