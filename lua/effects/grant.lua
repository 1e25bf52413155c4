-- effects/grant.lua: what a grant writes, and the short form of a plain grant.
--
-- Many grants of a call differ in few fields. Fields shared by all grants to one owner from the same pools are
-- computed once, as a *grant template*; those that also share the campaign, as a *campaign template*.
local reservation, pools, idempotency = need('reservation'), need('pool'), need('idempotency')
local candidate, occupancy, limits, rate_limit = need('candidate'), need('occupancy'), need('limits'), need('rate_limit')
local grants = {}

function grants.nth_id(id, i)
  return i == 1 and id or id .. '.' .. i
end

-- -> free units of the tightest of its pools, nil if none has a limit
function grants.room(c)
  local smallest, list = FOREVER, c.pools
  for i = 1, #list do
    local room = limits.get_room(list[i])
    if room and room < smallest then smallest = room end
  end
  return smallest < FOREVER and max(0, smallest) or nil
end

function grants.snapshot(channel)
  local p = pools.get('channel:' .. channel)
  if not p.t0 or not p.total then return nil end
  return { age_ms = now - p.t0, total = p.total, unused = p.unused }
end

-- Shared by grants of all campaigns that use the same pools.
local function get_template(ask, c, owner)
  local claim_within = ask.placement.claim_within
  local key = concat({ owner, c.answer_within, c.max_call or '', claim_within }, '\n')
  local t = c.base.templates[key]
  if t then return t end
  t = {
    id = '', granted_at = now, state = 'live',
    visible_by = now + zone.launch_within + claim_within, -- mutation: visible-after-claim
    deadline = now + c.answer_within, channel = c.channel, mpp = c.mpp, owner = owner, pools = candidate.get_pool_names(c),
    answer_within = c.answer_within, max_call = c.max_call, claim_within = claim_within,
    launch_within = zone.launch_within, granted = 1, remain = 1, campaign = ask.op.campaign,
  }
  t.head, t.middle, t.tail = reservation.parts(t)
  t.rest, t.deadline_text = idempotency.rest(t), score(t.deadline)
  c.base.templates[key] = t
  return t
end

-- A grant changes the pools: they are marked here, once for all grants of the template.
local function new_campaign_template(ask, c, owner)
  local t, campaign = get_template(ask, c, owner), ask.op.campaign
  need('shares').read_ahead(c.contended, campaign)
  pools.mark_all_dirty(c.pools)
  pools.mark_all_dirty(c.rated)
  return { template = t, campaign = campaign, visible_by = t.visible_by, tail = t.middle .. campaign .. t.tail }
end

local function get_campaign_template(ask, c)
  local owner = ask.op.owner or ''
  local own = c.campaign_templates[owner]
  if not own then
    own = new_campaign_template(ask, c, owner)
    c.campaign_templates[owner] = own
  end
  return own
end

-- Reserve k units.
-- uses_rate: false for a shadow grant, which uses up no rate: else every request after it were denied
function grants.reserve(ask, c, k, uses_rate)
  local op, own = ask.op, get_campaign_template(ask, c)
  local t = own.template
  if uses_rate then rate_limit.consume(c.rated, k) end
  for _, p in ipairs(c.broken) do
    local circuit_breaker = need('circuit_breaker')
    if circuit_breaker.is_half_open(p) then circuit_breaker.start_probe(p, zone.answer_within) end
  end
  local is_default_name = op.request_id == 'r-' .. op.id
  for i = 1, k do
    own.id = i == 1 and op.id or grants.nth_id(op.id, i)
    reservation.write_new(own.id, t.head .. (i == 1 and is_default_name and '=' or op.request_id) .. own.tail, t.deadline_text)
    occupancy.join(c.pools, own)
  end
  t.granted, t.remain = k, k
  idempotency.write_new(op, is_default_name, k == 1 and t.rest or idempotency.rest(t))
end

-- -> reservations as the answer lists them
function grants.list(op, c, k)
  local list = {}
  for i = 1, k do
    list[i] = { id = grants.nth_id(op.id, i), mpp = c.mpp, channel = c.channel, renew_within_ms = c.answer_within }
  end
  return list
end

-- Fields shared by plain grants stand in the reply once.
local shared_fields = {} -- JSON texts

-- -> place of the shared fields in the reply
local function find_shared_fields(t, c)
  local numbers, changed = c.base.numbers, c.own.changed
  if numbers.as_of ~= changed then
    numbers = { as_of = changed }
    c.base.numbers = numbers
  end
  if not numbers[t.answer_within] then
    numbers[t.answer_within], shared_fields[#shared_fields + 1] = #shared_fields, encode({
      channel = t.channel, mpp = t.mpp, launch_within_ms = t.launch_within, renew_within_ms = t.answer_within,
      snapshot = grants.snapshot(t.channel),
    })
  end
  return numbers[t.answer_within]
end

-- Nearly all answers are one launch, granted in full: [place of its shared fields, room]. Building and encoding a
-- table for each would cost as much as the decision.
function grants.plain(ask, c, room)
  return '[' .. find_shared_fields(get_campaign_template(ask, c).template, c) .. ',' .. (room or 'null') .. ']'
end

-- -> JSON of the list
function grants.shared_fields()
  return '[' .. concat(shared_fields, ',') .. ']'
end

return grants
