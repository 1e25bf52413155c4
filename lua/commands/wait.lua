-- commands/wait.lua: requests that stay open until there is room (wait_ms).
--
-- admit with replica (of the process that keeps the request open) and waits (ms that it still will):
--   a deny takes a place in the queue, or keeps it (waits > 0), or gives it up (waits = 0: its last
--   try). The deny has waiting = {group, again_ms?} when it has a place: ask again when rung, and
--   after again_ms, when time alone may end the denial.
-- beat: replica -> {}. At least every 3 s while it keeps requests open; without, they block nobody.
-- withdraw: campaign, request_id, id (of the admit), replica? -> {withdrawn, group?}
--   nobody waits for the answer any more: the request leaves the queue if its place is that
--   replica's, and what the admit with that id was granted is taken back, unless somebody heard of
--   it: a repeat of the request was answered, or a report came.
local wait_queue, notify, pools = need('wait_queue'), need('notify'), need('pool')
local limits, idempotency = need('limits'), need('idempotency')
local wait = {}

-- Another replica's waiter is first now, and nobody else tells it.
local function call_up(group, replica)
  local _, e = wait_queue.find_first(group)
  if e and e.replica ~= replica then notify.notify_waiters() end
end

-- The place of the request is free. -> its group
local function leave(op, e)
  local group = wait_queue.get_group(e)
  wait_queue.remove(idempotency.key(op), e)
  call_up(group, op.replica)
  return group
end

-- The replica gives the place up, unless a repeat elsewhere took it over. -> its group, or nil
local function give_up(op)
  local e = wait_queue.read(idempotency.key(op))
  return e and e.replica == op.replica and leave(op, e) or nil
end

-- -> true if the request waits already, but asked for something else
function wait.has_other_body(op)
  local e = wait_queue.read(idempotency.key(op))
  return e ~= nil and e.body ~= op.body and wait_queue.is_alive(e)
end

-- -> why a request that there is room for must not have it: somebody of its group came earlier.
-- It is told what that one waits for.
function wait.find_blocker(ask)
  local op = ask.op
  local key, e = wait_queue.find_first(wait_queue.make_group(ask))
  if not e or key == idempotency.key(op) or (op.seen and op.seen < e.since) then return nil end
  local p = e.about_room and pools.get(e.pool)
  return {
    reason = e.reason, pool = e.pool, retry_after_ms = e.retry_after_ms,
    in_use = p and p.in_use or nil, limit = p and limits.get_limit(p) or nil,
  }
end

-- More than there ever is, until policy changes.
local function is_hopeless(ask, limiting)
  local p = limiting.limit and pools.get(limiting.pool)
  if not p then return false end
  local most = min(p.rules.limit or FOREVER, p.fed and p.total or FOREVER)
  return ask.min_count > most
end

-- -> ms after which time alone may have ended the denial, or nil
local function again_ms(limiting)
  local again, p = limiting.again_ms, limiting.pool and pools.get(limiting.pool)
  if limiting.reason == 'rate_limited' or limiting.reason == 'breaker_open' then again = limiting.retry_after_ms end
  if limiting.reason == 'recovering' and now < meta.recover_until then again = meta.recover_until - now end
  if p and p.set_until and now < p.set_until then again = min(again or FOREVER, p.set_until - now) end
  return again
end

-- Denied: a place in the queue. hungry: the pool that the campaign is hungry for, or nil
-- -> {group, again_ms}, or nil if it does not wait
function wait.keep_place(ask, limiting, hungry)
  local op, group = ask.op, wait_queue.make_group(ask)
  if op.waits <= 0 or is_hopeless(ask, limiting) then
    give_up(op)
    return nil
  end
  local key = idempotency.key(op)
  local e = wait_queue.read(key)
  if e and wait_queue.get_group(e) ~= group then
    wait_queue.remove(key, e)
    e = nil
  end
  e = e or wait_queue.join(ask, group)
  if not e then return nil end
  -- A repeat on another replica takes the place over, and gives none of its time away.
  e.replica, e.ends = op.replica, max(e.ends, now + op.waits)
  e.reason, e.pool, e.about_room = limiting.reason, limiting.pool, limiting.limit ~= nil
  e.retry_after_ms = limiting.retry_after_ms
  if hungry then e.hungry[hungry] = true end
  wait_queue.write(key, e)
  wait_queue.record_heartbeat(op.replica)
  meta.held_back = meta.held_back or limiting.reason == 'fair_share'
  return { group = group, again_ms = again_ms(limiting) }
end

-- It has its answer: a place that it had is free, also one that another replica keeps for it.
function wait.leave_queue_answered(op)
  local e = wait_queue.read(idempotency.key(op))
  if not e then return end
  leave(op, e)
  if e.replica ~= op.replica then notify.notify_holder() end
end

-- Granted: its place is free, and whoever stepped back for it may go on with what is left.
function wait.leave_queue_granted(op, c)
  wait.leave_queue_answered(op)
  if not meta.held_back then return end
  for _, p in ipairs(c.pools) do
    if p.contending_classes and (limits.get_room(p) or 1) > 0 then
      meta.held_back = nil
      notify.notify_waiters()
    end
  end
end

function wait.beat(op)
  meta.asked = now -- somebody still asks: the poller must not fall asleep
  if has_waiters() then wait_queue.record_heartbeat(op.replica) end
  return {}
end

-- The reservations of a grant that nobody heard of, or an empty list.
local function unheard(op)
  local q, list = idempotency.read(idempotency.key(op)), {}
  if not q or q.id ~= op.id or q.replayed then return list end
  for i = 1, q.granted do
    local r = need('reservation').read(need('grant').nth_id(q.id, i))
    if not r or r.state ~= 'live' or r.reported_at then return {} end
    list[i] = r
  end
  return list
end

function wait.withdraw(op)
  local group = op.replica and give_up(op)
  local list = unheard(op)
  for _, r in ipairs(list) do need('release').withdraw(r) end
  if #list > 0 then idempotency.delete(idempotency.key(op)) end
  return { withdrawn = #list, group = group or nil }
end

return wait
