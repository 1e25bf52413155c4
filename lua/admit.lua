-- admit.lua: may I launch?
--
-- op: id, request_id, campaign, channel?, count, min_count, application?, mpp?, pools?, owner, body,
--     seen? (zone time in ms), dry_run?, explain?, replica?, waits? (ms; both: wait.lua)
-- -> a grant (a plain one as JSON text), a deny or a fault, as lua/README.md has them

local record, pools, asked = need('record'), need('pool'), need('asked')
local request, checks = need('request'), need('checks')
local hunger, rate, breaker = need('hunger'), need('rate'), need('breaker')
local wake = need('wake')

-- Reasons that a newer snapshot may end: the poller is woken.
local ENDED_BY_SNAPSHOT = set_of({
  'recovering', 'no_snapshot', 'stale_snapshot', 'no_capacity', 'mpp_full', 'reserved',
})

local function nth_id(id, i)
  return i == 1 and id or id .. '.' .. i
end

local function snapshot_of(channel)
  local p = pools.get('channel:' .. channel)
  if not p.t0 or not p.total then return nil end
  return { age_ms = now - p.t0, total = p.total, unused = p.unused }
end

-- Nearly all answers are this one, so it is written as it goes out: a table and its encoding cost as
-- much as all checks together. What it is made of has no character that JSON would escape.
local PLAIN = '{"decision":"grant","request_id":"%s","granted":1,"channel":"%s","launch_within_ms":%d,'
  .. '"room":%s,"snapshot":%s,"reservations":[{"id":"%s","mpp":%s,"channel":"%s","renew_within_ms":%d}]}'

local function smallest_room(c)
  local smallest, list = FOREVER, c.pools
  for i = 1, #list do
    local room = pools.room(list[i])
    if room and room < smallest then smallest = room end
  end
  return smallest < FOREVER and max(0, smallest) or nil
end

local function answer(decision, op, c, limiting)
  local a = limiting or {}
  a.decision, a.request_id = decision, op.request_id
  if a.in_use then a.in_use = pools.get(a.pool).in_use end -- after the decision, as room is
  a.room, a.snapshot = smallest_room(c), snapshot_of(c.channel)
  return a
end

-- -> candidate, units, what limited it: the first channel that gives all, else the one that gives most
local function choose(ask)
  local best, most, limiting
  for _, channel in ipairs(ask.channels) do
    local c = request.candidate(ask, channel)
    local k, why = checks.run(ask, c)
    if k < ask.min_count then k = 0 end
    -- Nothing anywhere: the last channel is the platform's last resort too, so its reason counts.
    if not best or k > most or most == 0 then best, most, limiting = c, k, why end
    if most >= ask.count then break end
  end
  return best, most, limiting
end

local function explain(ask, c)
  local list = {}
  for _, p in ipairs(c.pools) do
    if p.name ~= ON_KNOWN_MPP then
      local one = { count = 1, min_count = 1, op = ask.op, campaign = ask.campaign }
      local k, why = checks.run(one, request.sort({
        channel = c.channel, mpp = p.kind == 'mpp' and c.mpp or nil, pools = { p }, rated = {},
      }))
      local limit = pools.limit(p)
      list[#list + 1] = {
        pool = p.name, limit = limit, in_use = p.in_use, headroom = pools.headroom(p, limit),
        room = pools.room(p), verdict = k >= 1 and 'ok' or why.reason,
      }
    end
  end
  return list
end

-- What shadow mode only pretends to grant does not use up rates: else all that follows were denied.
local function reserve(ask, c, k, is_true)
  local op = ask.op
  for _, p in ipairs(is_true and c.rated or {}) do rate.consume(p, k) end
  for _, p in ipairs(c.broken) do
    if breaker.is_half_open(p) then breaker.probe(p, zone.answer_within) end
  end
  local r = {
    id = op.id, granted_at = now, state = 'live', campaign = op.campaign,
    visible_by = now + zone.launch_within + ask.placement.claim_within,
    deadline = now + c.answer_within, channel = c.channel, mpp = c.mpp, owner = op.owner, pools = c.names,
    request_id = op.request_id, answer_within = c.answer_within, max_call = c.max_call,
    claim_within = ask.placement.claim_within,
  }
  for i = 1, k do
    r.id = nth_id(op.id, i)
    record.write(r, r.deadline)
    for j = 1, #c.pools do pools.join(c.pools[j], r) end
  end
  asked.write(op.campaign .. '/' .. op.request_id, {
    body = op.body, id = op.id, granted = k, remain = k, granted_at = now, channel = c.channel,
    mpp = c.mpp, launch_within = zone.launch_within, answer_within = c.answer_within,
  })
end

local function reservations(op, c, k)
  local list = {}
  for i = 1, k do
    list[i] = { id = nth_id(op.id, i), mpp = c.mpp, channel = c.channel, renew_within_ms = c.answer_within }
  end
  return list
end

local function plain_answer(op, c, launch_within)
  local room, p = smallest_room(c), pools.get('channel:' .. c.channel)
  if p.shown_as == nil then p.shown_as = encode(snapshot_of(c.channel)) end
  return format(PLAIN, op.request_id, c.channel, launch_within, room and format('%d', room) or 'null', p.shown_as,
    op.id, c.mpp and '"' .. c.mpp .. '"' or 'null', c.channel, c.answer_within)
end

-- The first grant again, for whoever lost it; it never tells anyone to launch too late.
local function replay(op, q)
  if q.body ~= op.body then return fault('conflict', 'request_id', op.request_id) end
  if op.id ~= q.id and not q.replayed then -- else it is the client's own retry of a lost reply
    q.replayed = true
    asked.write(op.campaign .. '/' .. op.request_id, q)
  end
  if wake.is_wanted() then need('wait').fetched(op) end
  local list, live, c = {}, false, { channel = q.channel, pools = {} }
  for i = 1, q.granted do
    local r = record.read(nth_id(q.id, i))
    local state = 'ended'
    if r then state = record.is_overdue(r) and 'expired' or record.public_state(r) end
    live = live or state == 'live'
    if r and #c.pools == 0 then c.pools = pools.all(r) end
    list[i] = {
      id = nth_id(q.id, i), mpp = r and r.mpp or q.mpp, channel = q.channel, state = state,
      renew_within_ms = q.answer_within,
    }
  end
  local a = answer('grant', op, c)
  a.channel, a.granted, a.reservations, a.repeated = q.channel, q.granted, list, true
  a.launch_within_ms = live and q.granted_at + q.launch_within - (op.seen or now) or 0
  return a
end

local function deny(ask, c, limiting, hungry)
  local op = ask.op
  local waiting = op.replica and not op.dry_run and need('wait').stay(ask, limiting, hungry) or nil
  local a = answer('deny', op, c, limiting)
  a.channel, a.granted, a.reservations = ask.channel, 0, {}
  a.waiting, a.again_ms = waiting, nil
  if not (op.dry_run or waiting) then
    count('deny:' .. a.reason)
    need('denied').note(op.campaign, a)
  end
  return a
end

local function grant(ask, c, k, limiting, is_true)
  local op = ask.op
  local launch_within = zone.launch_within + now - (op.seen or now)
  if not op.dry_run then
    reserve(ask, c, k, is_true)
    count('grant', k)
    if wake.is_wanted() then need('wait').granted(op, c) end
    if k == 1 and not limiting then return plain_answer(op, c, launch_within) end
  end
  local a = answer('grant', op, c, limiting)
  a.channel, a.granted, a.launch_within_ms, a.again_ms = c.channel, k, launch_within, nil
  a.reservations = op.dry_run and {} or reservations(op, c, k)
  return a
end

-- Shadow mode: the true decision is counted, and answered as a grant; what it holds is counted too.
local function pretend(ask, c, limiting)
  count('deny:' .. limiting.reason)
  need('denied').note(ask.op.campaign, limiting)
  count('shadow', ask.count)
  local a = grant(ask, c, ask.count, limiting, false)
  a.shadow = true
  return a
end

-- More at once than a rate ever lets through is no matter of waiting.
local function above_burst(ask, c)
  for _, p in ipairs(c.rated) do
    if ask.min_count > p.rules.burst then return fault('min_count_above_burst', 'min_count', p.name) end
  end
end

-- Somebody was turned away for want of news: the poller asks the platform sooner.
local function want_snapshot(limiting)
  if limiting and ENDED_BY_SNAPSHOT[limiting.reason] and not meta.wanted then
    meta.wanted = true
    if BELL then call('PUBLISH', BELL, 'poll ' .. string.match(ZONE, '{(.-)}')) end
  end
end

return function(op)
  meta.asked = now
  local granted = not op.dry_run and asked.read(op.campaign .. '/' .. op.request_id)
  if granted then return replay(op, granted) end
  local ask, wrong = request.read(op)
  if not ask then return wrong end
  local waited = wake.is_wanted() and not op.dry_run and need('wait')
  if waited and waited.is_other(op) then return fault('conflict', 'request_id', op.request_id) end
  local behind = waited and waited.behind(ask)
  ask.is_big = op.replica and ask.min_count > 1 and not behind -- it is kept open for several or none
  local c, k, limiting = choose(ask)
  local wrong_burst = above_burst(ask, c)
  if wrong_burst then return wrong_burst end
  local hungry
  if not op.dry_run then
    want_snapshot(limiting)
    hungry = hunger.note(ask, c, k, limiting)
  end
  if behind and k >= ask.min_count then k, limiting = 0, behind end
  local a
  if k >= ask.min_count then
    a = grant(ask, c, k, limiting, true)
  elseif zone.shadow and not op.dry_run then
    a = pretend(ask, c, limiting)
  else
    a = deny(ask, c, limiting, hungry)
  end
  if op.dry_run then a.dry_run = true end
  if op.explain then a.pools = explain(ask, c) end
  return a
end
