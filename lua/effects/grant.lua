-- effects/grant.lua: what a grant leaves behind, and how a plain one is told.
--
-- A call has many grants that are alike. What those to the same owner from the same pools have in common
-- is made once, as their *form*; what those of the same campaign have in common too, as their *campaign_template*.
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

-- What grants of all campaigns have in common that need the same pools.
local function template_of(ask, c, owner)
  local claim_within = ask.placement.claim_within
  local key = concat({ owner, c.answer_within, c.max_call or '', claim_within }, '\n')
  local f = c.base.templates[key]
  if f then return f end
  f = {
    id = '', granted_at = now, state = 'live',
    visible_by = now + zone.launch_within + claim_within, -- mutation: visible-after-claim
    deadline = now + c.answer_within, channel = c.channel, mpp = c.mpp, owner = owner, pools = candidate.get_pool_names(c),
    answer_within = c.answer_within, max_call = c.max_call, claim_within = claim_within,
    launch_within = zone.launch_within, granted = 1, remain = 1, campaign = ask.op.campaign,
  }
  f.head, f.middle, f.tail = reservation.parts(f)
  f.rest, f.deadline_text = idempotency.rest(f), score(f.deadline)
  c.base.templates[key] = f
  return f
end

-- Its pools are about to change.
local function new_campaign_template(ask, c, owner)
  local f, campaign = template_of(ask, c, owner), ask.op.campaign
  need('shares').read_ahead(c.contended, campaign)
  pools.mark_all_dirty(c.pools)
  pools.mark_all_dirty(c.rated)
  return { form = f, campaign = campaign, visible_by = f.visible_by, tail = f.middle .. campaign .. f.tail }
end

local function campaign_template(ask, c)
  local owner = ask.op.owner or ''
  local m = c.campaign_templates[owner]
  if not m then
    m = new_campaign_template(ask, c, owner)
    c.campaign_templates[owner] = m
  end
  return m
end

-- Reserve k units. is_true: not what shadow mode only pretends to grant: that uses up no rate, else all
-- that follows were denied.
function grants.reserve(ask, c, k, is_true)
  local op, m = ask.op, campaign_template(ask, c)
  local f = m.form
  if is_true then rate_limit.consume(c.rated, k) end
  for _, p in ipairs(c.broken) do
    local circuit_breaker = need('circuit_breaker')
    if circuit_breaker.is_half_open(p) then circuit_breaker.start_probe(p, zone.answer_within) end
  end
  local is_named_so = op.request_id == 'r-' .. op.id
  for i = 1, k do
    m.id = i == 1 and op.id or grants.nth_id(op.id, i)
    reservation.write_new(m.id, f.head .. (i == 1 and is_named_so and '=' or op.request_id) .. m.tail, f.deadline_text)
    occupancy.join(c.pools, m)
  end
  f.granted, f.remain = k, k
  idempotency.write_new(op, is_named_so, k == 1 and f.rest or idempotency.rest(f))
end

-- -> reservations as they are told
function grants.list(op, c, k)
  local list = {}
  for i = 1, k do
    list[i] = { id = grants.nth_id(op.id, i), mpp = c.mpp, channel = c.channel, renew_within_ms = c.answer_within }
  end
  return list
end

-- What plain grants of a call have in common is told once.
local shared_fields = {} -- JSON texts

local function number_of(f, c)
  local numbers, changed = c.base.numbers, c.own.changed
  if numbers.as_of ~= changed then
    numbers = { as_of = changed }
    c.base.numbers = numbers
  end
  if not numbers[f.answer_within] then
    numbers[f.answer_within], shared_fields[#shared_fields + 1] = #shared_fields, encode({
      channel = f.channel, mpp = f.mpp, launch_within_ms = f.launch_within, renew_within_ms = f.answer_within,
      snapshot = grants.snapshot(f.channel),
    })
  end
  return numbers[f.answer_within]
end

-- Nearly all answers are one launch, granted in full: told as [number of what is alike, room]. A table of
-- its own for each, its encoding and its text would cost as much as the decision.
function grants.plain(ask, c, room)
  return '[' .. number_of(campaign_template(ask, c).form, c) .. ',' .. (room or 'null') .. ']'
end

-- -> JSON of the list
function grants.shared_fields()
  return '[' .. concat(shared_fields, ',') .. ']'
end

return grants
