-- commands/admit.lua: may I launch?
--
-- op: id, request_id, campaign, channel?, count?, min_count? (both: 1), application?, mpp?, pools?, owner, body,
--     seen? (zone time in ms), dry_run?, explain?, replica?, waits? (ms), caller? (all three: commands/wait.lua)
-- -> a grant (a plain one as JSON text), a deny or a fault, as lua/README.md has them

local reasons, reservation, pools, idempotency = need('reasons'), need('reservation'), need('pool'), need('idempotency')
local occupancy, limits = need('occupancy'), need('limits')
local request, plans, checks, grants = need('request'), need('plan'), need('checks'), need('grant')

-- list: the pools of the launch
local function make_answer(decision, op, channel, list, limiting)
  local answer = limiting or {}
  answer.decision, answer.request_id = decision, op.request_id
  if answer.in_use then answer.in_use = limits.get_used(answer.reason, pools.get(answer.pool)) end -- after the decision, as room is
  answer.room, answer.snapshot = grants.room(list), grants.snapshot(channel)
  return answer
end

-- -> plan, units, what limited them: the first channel that gives all units, else the one that gives most.
-- Also, for a unit granted by the fast path: the tightest room before; else the denials of all channels.
local function choose(ask)
  local best, most, limiting, denials
  for i = 1, #ask.channels do
    local plan = plans.find(ask, ask.channels[i])
    local units, why, room = checks.decide(ask, plan)
    if room then return plan, units, nil, room end
    if units < ask.min_count then units = 0 end
    -- Without a unit on any channel, the reason of the last one counts: it is the platform's last resort too.
    denials = denials or {}
    denials[#denials + 1] = why
    if not best or units > most or most == 0 then best, most, limiting = plan, units, why end
    if most >= ask.count then break end
  end
  return best, most, limiting, nil, denials
end

local function explain(ask, plan)
  local list, one = {}, { count = 1, min_count = 1, op = ask.op, campaign = ask.campaign }
  for _, pool in ipairs(plan.pools) do
    if pool.name ~= ON_KNOWN_MPP then
      local units, why = checks.run(one, plans.make_single(plan, pool))
      local limit = limits.get_limit(pool)
      list[#list + 1] = {
        pool = pool.name, limit = limit, in_use = pool.in_use, headroom = limits.get_headroom(pool, limit),
        room = limit and max(0, limits.get_room(pool)), -- mutation: room-not-negative
        verdict = units >= 1 and 'ok' or why.reason,
      }
    end
  end
  return list
end

-- The first grant again, for a dialer that lost the answer; its launch_within_ms counts from the first request.
-- earlier: the idempotency record
local function replay(op, earlier)
  if earlier.body ~= op.body then return fault('conflict', 'request_id', op.request_id) end -- mutation: replay-same-body
  if op.id ~= earlier.id and not earlier.replayed then -- equal ids: the client's own retry of a lost reply
    earlier.replayed = true
    idempotency.write(op.key, earlier)
  end
  if has_waiters() then need('wait').leave_queue_answered(op) end
  local list, live, occupied = {}, false, {}
  for i = 1, earlier.granted do
    local id = grants.nth_id(earlier.id, i)
    local record, state = reservation.read(id), 'ended'
    if record then state = reservation.is_overdue(record) and 'expired' or reservation.public_state(record) end
    live = live or state == 'live'
    if record and #occupied == 0 then occupied = occupancy.pools(record) end
    list[i] = {
      id = id, mpp = record and record.mpp or earlier.mpp, channel = earlier.channel, state = state,
      renew_within_ms = earlier.answer_within,
    }
  end
  local answer = make_answer('grant', op, earlier.channel, occupied)
  answer.channel, answer.granted, answer.reservations, answer.repeated = earlier.channel, earlier.granted, list, true
  answer.launch_within_ms = live and earlier.granted_at + earlier.launch_within - (op.seen or now) or 0 -- mutation: replay-launch-deadline
  return answer
end

-- denials: of all channels, if they differ
local function deny(ask, plan, limiting, contended_pool, denials)
  local op = ask.op
  local waiting = op.replica and not op.dry_run and need('wait').keep_place(ask, limiting, contended_pool, denials) or nil
  local answer = make_answer('deny', op, plan.shared.channel, plan.pools, limiting)
  answer.channel, answer.granted, answer.reservations = ask.channel, 0, {}
  answer.waiting, answer.again_ms = waiting, nil
  if not (op.dry_run or waiting) then
    count('deny:' .. answer.reason)
    need('deny_log').note(op.campaign, answer)
  end
  return answer
end

-- waited: commands/wait.lua if any request waits; room: of the tightest pool before, from the fast path
local function grant(ask, plan, units, limiting, is_true, waited, room)
  local op = ask.op
  local launch_within = zone.launch_within + now - (op.seen or now)
  if not op.dry_run then
    local version = pools.version
    local template = grants.reserve(ask, plan, units, is_true)
    count('grant', units)
    if waited then waited.leave_queue_granted(op, plan) end
    if units == 1 and not limiting and not op.seen then
      local is_known = room and version == pools.version
      return grants.plain(template, is_known and room < FOREVER and room - 1 or grants.room(plan.pools))
    end
  end
  local answer = make_answer('grant', op, plan.shared.channel, plan.pools, limiting)
  answer.channel, answer.granted, answer.launch_within_ms, answer.again_ms = plan.shared.channel, units, launch_within, nil
  answer.reservations = op.dry_run and {} or grants.list(op, plan, units)
  return answer
end

-- Shadow mode: the true decision is counted, the answer is a grant, and its reservations count in their pools.
local function grant_in_shadow(ask, plan, limiting, waited)
  count('deny:' .. limiting.reason)
  need('deny_log').note(ask.op.campaign, limiting)
  count('shadow', ask.count)
  local answer = grant(ask, plan, ask.count, limiting, false, waited)
  answer.shadow = true
  return answer
end

-- Waiting never helps a request for more launches at once than a rate's burst.
local function find_burst_exceeded(ask, plan)
  for _, pool in ipairs(plan.rated) do
    if ask.min_count > pool.rules.burst then return fault('min_count_above_burst', 'min_count', pool.name) end
  end
end

-- A newer snapshot may end the denial: the poller asks the platform sooner.
local function request_snapshot(limiting)
  if reasons.get(limiting.reason).by_snapshot and not meta.wanted then
    meta.wanted = true
    publish('poll')
  end
end

local MAX_RECORDS = 1000000 -- of a policy that an older version compiled
local stored -- reservations of the zone: when the call first asked, and what it has granted since

-- -> a fault if the zone stores too many reservations for these; else whether campaigns are counted
local function check_records(ask)
  local most = zone.max_records or MAX_RECORDS
  stored = stored or call('HLEN', RES)
  if 2 * (stored + ask.count) <= most then return nil, false end -- mutation: records-of-a-zone
  local wait = need('records').find_wait(ask.campaign, ask.count, stored, most)
  if wait then return fault('too_many_records', 'campaign', wait) end
  return nil, true
end

-- Shadow mode grants what the rules deny. Calls on a platform are not many more than its ports: beyond that, reports are
-- missing, and the denial is real.
local SHADOW_MIN, SHADOW_PART, SHADOW_ALL = 100, 2, 10

local function may_grant_in_shadow(ask, plan)
  local channel = pools.get('channel:' .. plan.shared.channel)
  local ports = limits.get_limit(channel) or 0
  local is_more = ask.campaign.in_use + ask.count > max(SHADOW_MIN, SHADOW_PART * ports)
    or channel.in_use + ask.count > SHADOW_ALL * max(SHADOW_MIN, ports)
  return not is_more -- mutation: shadow-bounded
end

return function(op)
  meta.asked = now
  op.key = op.key or idempotency.key(op)
  local granted = not op.dry_run and idempotency.read(op.key)
  if granted then return replay(op, granted) end
  local ask, wrong = request.read(op)
  if not ask then return wrong end
  local waited = has_waiters() and not op.dry_run and need('wait')
  if waited and waited.has_other_body(op) then return fault('conflict', 'request_id', op.request_id) end
  local blocked_by = waited and waited.find_blocker(ask)
  ask.is_big = op.replica and ask.min_count > 1 and not blocked_by -- the request waits for several units or none
  local too_many, is_counted
  if not op.dry_run then too_many, is_counted = check_records(ask) end
  if too_many then return too_many end
  local plan, units, limiting, room, denials = choose(ask)
  local wrong_burst = not room and find_burst_exceeded(ask, plan)
  if wrong_burst then return wrong_burst end
  local contended_pool
  if limiting and not op.dry_run then
    request_snapshot(limiting)
    contended_pool = need('fair_share').record_unmet_demand(ask, plan, units, limiting)
  end
  if blocked_by and units >= ask.min_count then units, limiting, denials = 0, blocked_by, { blocked_by } end
  local answer, added = nil, 0
  if units >= ask.min_count then
    answer, added = grant(ask, plan, units, limiting, true, waited, room), units
  elseif zone.shadow and not op.dry_run and may_grant_in_shadow(ask, plan) then
    answer, added = grant_in_shadow(ask, plan, limiting, waited), ask.count
  else
    answer = deny(ask, plan, limiting, contended_pool, denials)
  end
  if stored and not op.dry_run then
    stored = stored + added -- mutation: records-of-a-call
    if is_counted and added > 0 then need('records').add(ask.campaign, added) end
  end
  if op.dry_run then answer.dry_run = true end
  if op.explain then answer.pools = explain(ask, plan) end
  return answer
end
