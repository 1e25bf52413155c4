-- commands/wait.lua: requests that stay open until there is room (wait_ms).
--
-- admit with replica (of the process that keeps the request open), waits (ms for which it still will) and caller (who asks,
-- for the share of places: state/wait_queue.lua):
--   a deny takes a place in the queue or keeps it (waits > 0), or gives it up (waits = 0: the last try). The
--   deny has waiting = {group, again_ms?} when it has a place: ask again when notified, and after again_ms,
--   when time alone may end the denial.
-- beat: replica -> {}. At least every 3 s while requests are kept open; without heartbeats their places block
--   no other request.
-- withdraw: campaign, request_id, id (of the admit), replica? -> {withdrawn, group?}
--   the caller hung up: the request leaves the queue if its place is that replica's, and what the admit with
--   that id was granted is taken back, unless the answer was used: a repeat of the request was answered, or a
--   report came.
local wait_queue, notify, pools = need('wait_queue'), need('notify'), need('pool')
local reasons, limits, idempotency = need('reasons'), need('limits'), need('idempotency')
local wait = {}

local REMOVALS_MAX = 100 -- dead places that one look at a group removes

-- A place ends, for whatever reason; its campaign contends no longer than other waiters let it.
local function remove(key, entry)
  wait_queue.remove(key, entry)
  if not has_waiters() then meta.held_back = nil end
  local campaign = match(key, '^[^/]+')
  for name in pairs(entry.hungry) do
    need('fair_share').stop_contending(pools.get(name), campaign, wait_queue.has_waiters_of(campaign))
  end
end

-- -> key and entry of the first live place of the group, or nil; dead ones before it are removed
local function find_first(group)
  for _ = 1, REMOVALS_MAX do
    local key, entry, place = wait_queue.read_first(group)
    if not key then return nil end
    if entry and wait_queue.is_alive(entry) then return key, entry end
    if entry then remove(key, entry) else wait_queue.remove_place(place) end
  end
end

-- The first waiter of the group may be another replica's now, which has no other way to know.
local function notify_next(group, replica)
  local _, entry = find_first(group)
  if entry and entry.replica ~= replica then notify.on('place_left') end
end

-- -> the group of the place that the request leaves
local function leave(op, entry)
  local group = wait_queue.get_group(entry)
  remove(idempotency.key(op), entry)
  notify_next(group, op.replica)
  return group
end

-- The replica gives the place up, unless a repeat elsewhere took it over. -> its group, or nil
local function give_up(op)
  local entry = wait_queue.read(idempotency.key(op))
  return entry and entry.replica == op.replica and leave(op, entry) or nil
end

-- Does a request with this key and another body wait?
function wait.has_other_body(op)
  local entry = wait_queue.read(idempotency.key(op))
  return entry ~= nil and entry.body ~= op.body and wait_queue.is_alive(entry)
end

-- -> why a request for which there is room is denied: an earlier one of its group waits, and its denial is
-- repeated; or nil
function wait.find_blocker(ask)
  local op = ask.op
  local key, entry = find_first(wait_queue.make_group(ask))
  if not entry or key == idempotency.key(op) or (op.seen and op.seen < entry.since) then return nil end
  local pool = entry.about_room and pools.get(entry.pool)
  return {
    reason = entry.reason, pool = entry.pool, retry_after_ms = entry.retry_after_ms,
    in_use = pool and pool.in_use or nil, limit = pool and limits.get_limit(pool) or nil,
  }
end

-- Does the request need more at once than the limiting pool ever has, until policy changes?
local function can_never_fit(ask, limiting)
  local pool = limiting.limit and pools.get(limiting.pool)
  if not pool then return false end
  return ask.min_count > min(pool.rules.limit or FOREVER, pool.fed and pool.total or FOREVER, limits.get_most_of_others(pool))
end

-- -> ms after which time alone may have ended that denial, or nil
local function get_again_ms(limiting)
  local again, pool = limiting.again_ms, limiting.pool and pools.get(limiting.pool)
  if reasons.get(limiting.reason).by_time then again = limiting.retry_after_ms end
  if limiting.reason == 'recovering' and now < meta.recover_until then again = meta.recover_until - now end
  if pool and pool.set_until and now < pool.set_until then again = min(again or FOREVER, pool.set_until - now) end
  return again
end

-- -> the least of them for the denials of all channels, or nil
local function get_first_again_ms(denials)
  local first
  for _, limiting in ipairs(denials) do
    local again = get_again_ms(limiting)
    first = again and min(again, first or again) or first
  end
  return first
end

local function add(ask, group)
  if not has_waiters() then pools.each(notify.measure) end
  return wait_queue.add(ask, group)
end

-- A denied request takes a place in the queue, or keeps it. contended_pool: for which its campaign contends, or nil;
-- denials: of all channels
-- -> {group, again_ms}, or nil if it does not wait
function wait.keep_place(ask, limiting, contended_pool, denials)
  local op, group = ask.op, wait_queue.make_group(ask)
  if op.waits <= 0 or can_never_fit(ask, limiting) then
    give_up(op)
    return nil
  end
  local key = idempotency.key(op)
  local entry = wait_queue.read(key)
  -- Another body: the request before it under that key waits no longer (has_other_body), and its place is not inherited.
  if entry and (wait_queue.get_group(entry) ~= group or entry.body ~= op.body) then
    remove(key, entry)
    entry = nil
  end
  entry = entry or add(ask, group)
  if not entry then return nil end
  -- A repeat on another replica takes the place over, and its time is never shortened.
  entry.replica, entry.ends = op.replica, max(entry.ends, now + op.waits)
  entry.reason, entry.pool, entry.about_room = limiting.reason, limiting.pool, limiting.limit ~= nil
  entry.retry_after_ms = limiting.retry_after_ms
  if contended_pool then entry.hungry[contended_pool] = true end
  wait_queue.write(key, entry)
  wait_queue.record_heartbeat(op.replica)
  meta.held_back = meta.held_back or limiting.reason == 'fair_share'
  return { group = group, again_ms = get_first_again_ms(denials) }
end

-- The request is answered: its place ends, also one that another replica keeps open.
function wait.leave_queue_answered(op)
  local entry = wait_queue.read(idempotency.key(op))
  if not entry then return end
  leave(op, entry)
  if entry.replica ~= op.replica then notify.on('answered_elsewhere') end
end

-- The request is granted: campaigns that yielded to its campaign may take what is left.
function wait.leave_queue_granted(op, plan)
  wait.leave_queue_answered(op)
  if not meta.held_back then return end
  for _, pool in ipairs(plan.pools) do
    if pool.contending_classes and (limits.get_room(pool) or 1) > 0 then
      meta.held_back = nil
      notify.on('demand_met')
    end
  end
end

-- Places that no request looked at since their time was up.
function wait.remove_overdue()
  for _, key in ipairs(wait_queue.list_overdue()) do
    local entry = wait_queue.read(key)
    if entry then remove(key, entry) else wait_queue.remove_arrival(key) end
  end
end

function wait.beat(op)
  meta.asked = now -- requests still wait: the poller must not fall asleep
  if has_waiters() then wait_queue.record_heartbeat(op.replica) end
  return {}
end

-- -> the reservations of a grant whose answer was never used, or an empty list
local function list_unused(op)
  local request, list = idempotency.read(idempotency.key(op)), {}
  if not request or request.id ~= op.id or request.replayed then return list end
  for i = 1, request.granted do
    local record = need('reservation').read(need('grant').nth_id(request.id, i))
    if not record or record.state ~= 'live' or record.reported_at then return {} end
    list[i] = record
  end
  return list
end

function wait.withdraw(op)
  local group = op.replica and give_up(op)
  local list = list_unused(op)
  for _, record in ipairs(list) do need('release').withdraw(record) end
  if #list > 0 then idempotency.delete(idempotency.key(op)) end
  return { withdrawn = #list, group = group or nil }
end

return wait
