-- effects/grant.lua: what a grant writes, and the short form of a plain grant.
--
-- Many grants of a call differ in few fields. Fields shared by all grants to one owner from the same pools are
-- computed once, as a template of plan.shared.templates; those that also share the campaign, as one of plan.records.
local reservation, pools, idempotency = need('reservation'), need('pool'), need('idempotency')
local plans, occupancy, limits, rate_limit = need('plan'), need('occupancy'), need('limits'), need('rate_limit')
local grants = {}

function grants.nth_id(id, i)
  return i == 1 and id or id .. '.' .. i
end

-- -> free units of the tightest of the pools, nil if none has a limit
function grants.room(list)
  local smallest = FOREVER
  for i = 1, #list do
    local room = limits.get_room(list[i])
    if room and room < smallest then smallest = room end
  end
  return smallest < FOREVER and max(0, smallest) or nil
end

function grants.snapshot(channel)
  local pool = pools.get('channel:' .. channel)
  if not pool.t0 or not pool.total then return nil end
  return { age_ms = now - pool.t0, total = pool.total, unused = pool.unused }
end

-- -> the fields shared by grants of all campaigns that use the same pools
local function get_template(ask, plan, owner)
  local shared, claim_within = plan.shared, ask.placement.claim_within
  local key = concat({ owner, plan.answer_within, plan.max_call or '', claim_within }, '\n')
  local template = shared.templates[key]
  if template then return template end
  template = {
    id = '', granted_at = now, state = 'live',
    visible_by = now + zone.launch_within + claim_within, -- mutation: visible-after-claim
    deadline = now + plan.answer_within, channel = shared.channel, mpp = shared.mpp, owner = owner,
    pools = plans.list_pool_names(plan), answer_within = plan.answer_within, max_call = plan.max_call,
    claim_within = claim_within, launch_within = zone.launch_within, granted = 1, remain = 1, campaign = ask.op.campaign,
  }
  template.head, template.middle, template.last = reservation.parts(template)
  template.rest, template.deadline_text = idempotency.rest(template), score(template.deadline)
  shared.templates[key] = template
  return template
end

-- -> the record of the owner's next reservation, but for its id
local function get_record(ask, plan)
  local owner = ask.op.owner or ''
  local record = plan.records[owner]
  if not record then
    local template, campaign = get_template(ask, plan, owner), ask.op.campaign
    need('shares').read_ahead(plan.shared.contended, campaign)
    record = { template = template, campaign = campaign, visible_by = template.visible_by, tail = template.middle .. campaign .. template.last }
    plan.records[owner] = record
  end
  return record
end

-- Reserve so many units.
-- uses_rate: false for a shadow grant, which uses up no rate: else every request after it were denied
-- -> the template of the records
function grants.reserve(ask, plan, units, uses_rate)
  local op, record = ask.op, get_record(ask, plan)
  local template = record.template
  if uses_rate then rate_limit.consume(plan.rated, units) end
  for i = 1, #plan.breakers do
    local circuit_breaker, pool = need('circuit_breaker'), plan.breakers[i]
    if circuit_breaker.is_half_open(pool) then circuit_breaker.start_probe(pool, zone.answer_within) end
  end
  local is_default_name = op.request_id == 'r-' .. op.id
  for i = 1, units do
    record.id = i == 1 and op.id or grants.nth_id(op.id, i)
    local request_id = i == 1 and is_default_name and '=' or op.request_id
    reservation.write_new(record.id, template.head .. request_id .. record.tail, template.deadline_text)
    occupancy.join_as(plan.pools, record)
  end
  if units == 1 then
    idempotency.write_new(op, is_default_name, template.rest)
  else
    template.granted, template.remain = units, units
    idempotency.write_new(op, is_default_name, idempotency.rest(template))
  end
  return template
end

-- -> reservations as the answer lists them
function grants.list(op, plan, units)
  local list = {}
  for i = 1, units do
    list[i] = {
      id = grants.nth_id(op.id, i), mpp = plan.shared.mpp, channel = plan.shared.channel, renew_within_ms = plan.answer_within,
    }
  end
  return list
end

-- Fields shared by plain grants stand in the reply once.
local shared_fields, place_of = {}, {} -- JSON texts; text -> how a grant that refers to it begins: [place,

-- The fields depend on the template and the channel's snapshot alone.
local function find_place(template)
  local text = encode({
    channel = template.channel, mpp = template.mpp, launch_within_ms = template.launch_within,
    renew_within_ms = template.answer_within, snapshot = grants.snapshot(template.channel),
  })
  if not place_of[text] then place_of[text], shared_fields[#shared_fields + 1] = '[' .. #shared_fields .. ',', text end
  template.place, template.placed_at = place_of[text], pools.version
  return template.place
end

-- Nearly all answers are one launch, granted in full: [place of its shared fields, room]. Building and encoding a
-- table for each would cost as much as the decision.
function grants.plain(template, room)
  local place = template.placed_at == pools.version and template.place or find_place(template)
  return place .. (room and format('%d]', room) or 'null]')
end

-- -> JSON of the list
function grants.shared_fields()
  return '[' .. concat(shared_fields, ',') .. ']'
end

return grants
