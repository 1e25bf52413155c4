-- commands/admit.lua: may I launch?
--
-- op: id, request_id, campaign, channel?, count, min_count, application?, mpp?, pools?, owner, body,
--     seen? (zone time in ms), dry_run?, explain?, replica?, waits? (ms; both: commands/wait.lua)
-- -> a grant (a plain one as JSON text), a deny or a fault, as lua/README.md has them

local reasons, reservation, pools, idempotency = need('reasons'), need('reservation'), need('pool'), need('idempotency')
local occupancy, limits = need('occupancy'), need('limits')
local request, candidate, fast_path = need('request'), need('candidate'), need('fast_path')
local checks, grants = need('checks'), need('grant')

local function make_answer(decision, op, c, limiting)
  local a = limiting or {}
  a.decision, a.request_id = decision, op.request_id
  if a.in_use then a.in_use = limits.get_used(a.reason, pools.get(a.pool)) end -- after the decision, as room is
  a.room, a.snapshot = grants.room(c), grants.snapshot(c.channel)
  return a
end

-- -> candidate, units, what limited them: the first channel that gives all units, else the one that gives most.
-- Also, for a unit granted by the fast path: the tightest room before; else the denials of all channels.
local function choose(ask)
  local best, most, limiting
  local denials = {}
  for _, channel in ipairs(ask.channels) do
    local c = candidate.find(ask, channel)
    local room = fast_path.find_room(ask, c)
    if room then return c, 1, nil, room end
    local k, why = checks.run(ask, c)
    if k < ask.min_count then k = 0 end
    -- Without a unit on any channel, the reason of the last one counts: it is the platform's last resort too.
    denials[#denials + 1] = why
    if not best or k > most or most == 0 then best, most, limiting = c, k, why end
    if most >= ask.count then break end
  end
  return best, most, limiting, nil, denials
end

local function explain(ask, c)
  local list = {}
  for _, p in ipairs(c.pools) do
    if p.name ~= ON_KNOWN_MPP then
      local one = { count = 1, min_count = 1, op = ask.op, campaign = ask.campaign }
      local k, why = checks.run(one, candidate.group_by_check({
        channel = c.channel, mpp = p.kind == 'mpp' and c.mpp or nil, pools = { p }, rated = {},
      }))
      local limit = limits.get_limit(p)
      list[#list + 1] = {
        pool = p.name, limit = limit, in_use = p.in_use, headroom = limits.get_headroom(p, limit),
        room = limit and max(0, limits.get_room(p)), -- mutation: room-not-negative
        verdict = k >= 1 and 'ok' or why.reason,
      }
    end
  end
  return list
end

-- The first grant again, for a dialer that lost the answer; its launch_within_ms counts from the first request.
local function replay(op, q)
  if q.body ~= op.body then return fault('conflict', 'request_id', op.request_id) end -- mutation: replay-same-body
  if op.id ~= q.id and not q.replayed then -- equal ids: the client's own retry of a lost reply
    q.replayed = true
    idempotency.write(op.key, q)
  end
  if has_waiters() then need('wait').leave_queue_answered(op) end
  local list, live, c = {}, false, { channel = q.channel, pools = {} }
  for i = 1, q.granted do
    local r = reservation.read(grants.nth_id(q.id, i))
    local state = 'ended'
    if r then state = reservation.is_overdue(r) and 'expired' or reservation.public_state(r) end
    live = live or state == 'live'
    if r and #c.pools == 0 then c.pools = occupancy.pools(r) end
    list[i] = {
      id = grants.nth_id(q.id, i), mpp = r and r.mpp or q.mpp, channel = q.channel, state = state,
      renew_within_ms = q.answer_within,
    }
  end
  local a = make_answer('grant', op, c)
  a.channel, a.granted, a.reservations, a.repeated = q.channel, q.granted, list, true
  a.launch_within_ms = live and q.granted_at + q.launch_within - (op.seen or now) or 0 -- mutation: replay-launch-deadline
  return a
end

-- denials: of all channels, if they differ
local function deny(ask, c, limiting, contended_pool, denials)
  local op = ask.op
  local waiting = op.replica and not op.dry_run and need('wait').keep_place(ask, limiting, contended_pool, denials) or nil
  local a = make_answer('deny', op, c, limiting)
  a.channel, a.granted, a.reservations = ask.channel, 0, {}
  a.waiting, a.again_ms = waiting, nil
  if not (op.dry_run or waiting) then
    count('deny:' .. a.reason)
    need('deny_log').note(op.campaign, a)
  end
  return a
end

-- waited: commands/wait.lua if any request waits; room: of the tightest pool before, from the fast path
local function grant(ask, c, k, limiting, is_true, waited, room)
  local op = ask.op
  local launch_within = zone.launch_within + now - (op.seen or now)
  if not op.dry_run then
    grants.reserve(ask, c, k, is_true)
    count('grant', k)
    if waited then waited.leave_queue_granted(op, c) end
    if k == 1 and not limiting and not op.seen then
      local is_known = room and c.passed == pools.changes
      return grants.plain(ask, c, is_known and room < FOREVER and room - 1 or grants.room(c))
    end
  end
  local a = make_answer('grant', op, c, limiting)
  a.channel, a.granted, a.launch_within_ms, a.again_ms = c.channel, k, launch_within, nil
  a.reservations = op.dry_run and {} or grants.list(op, c, k)
  return a
end

-- Shadow mode: the true decision is counted, the answer is a grant, and its reservations count in their pools.
local function grant_in_shadow(ask, c, limiting, waited)
  count('deny:' .. limiting.reason)
  need('deny_log').note(ask.op.campaign, limiting)
  count('shadow', ask.count)
  local a = grant(ask, c, ask.count, limiting, false, waited)
  a.shadow = true
  return a
end

-- Waiting never helps a request for more launches at once than a rate's burst.
local function find_burst_exceeded(ask, c)
  for _, p in ipairs(c.rated) do
    if ask.min_count > p.rules.burst then return fault('min_count_above_burst', 'min_count', p.name) end
  end
end

-- A newer snapshot may end the denial: the poller asks the platform sooner.
local function request_snapshot(limiting)
  if reasons.get(limiting.reason).by_snapshot and not meta.wanted then
    meta.wanted = true
    publish('poll')
  end
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
  local c, k, limiting, room, denials = choose(ask)
  local wrong_burst = not room and find_burst_exceeded(ask, c)
  if wrong_burst then return wrong_burst end
  local contended_pool
  if limiting and not op.dry_run then
    request_snapshot(limiting)
    contended_pool = need('fair_share').record_unmet_demand(ask, c, k, limiting)
  end
  if blocked_by and k >= ask.min_count then k, limiting, denials = 0, blocked_by, { blocked_by } end
  local a
  if k >= ask.min_count then
    a = grant(ask, c, k, limiting, true, waited, room)
  elseif zone.shadow and not op.dry_run then
    a = grant_in_shadow(ask, c, limiting, waited)
  else
    a = deny(ask, c, limiting, contended_pool, denials)
  end
  if op.dry_run then a.dry_run = true end
  if op.explain then a.pools = explain(ask, c) end
  return a
end
