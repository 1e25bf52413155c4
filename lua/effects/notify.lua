-- effects/notify.lua: what may let a waiter through, and who is notified: at most one PUBLISH in a call, at its end,
-- and only while requests wait. "room ZONE": ask again now. "room ZONE 250": in 250 ms. "room ZONE 0 250": now and
-- in 250 ms. A notification is a hint: its receivers ask again, and the script decides.
--
-- Most of it is the room of pools. What a pool has for a waiter (limits.get_available; nothing while it grants nothing,
-- without a fresh snapshot or with an open breaker) is measured when the pool is first read in a call and again
-- when it is written: an end whose ceiling falls with it, or whose port is granted in the same call, wakes no waiter.
local limits = need('limits')
local notify = {}

local NOTHING = -1
-- Event -> who asks again: all waiters, or the holder: a replica that keeps open a request that was answered
-- elsewhere. The holder is notified even if no other request waits.
local RECEIVERS = {
  room_grew = 'waiters',        -- a pool has more for a waiter than before the call
  foreign_use_fell = 'waiters', -- MPPs have more ports for calls of this service
  rules_changed = 'waiters',    -- another policy, or a pause
  place_left = 'waiters',       -- the next one of the group waits on another replica
  demand_met = 'waiters',       -- a contending campaign was granted units, and some are left for those who yielded
  demand_ends = 'waiters',      -- the campaign's last waiter left: other campaigns yield to it for the delay only
  large_request_left = 'waiters', -- smaller requests of its campaign yielded to it
  release_ends = 'waiters',     -- after the delay a call that was reported as ended leaves its pools
  answered_elsewhere = 'holder',
}

local is_now, is_for_holder = false, false
local delays = {} -- ms -> true

-- delay_ms: the event is about to happen, so many ms from now
function notify.on(event, delay_ms)
  if delay_ms then
    delays[delay_ms] = true
  else
    is_now = true
  end
  is_for_holder = is_for_holder or RECEIVERS[event] == 'holder'
end

local function get_available_to_waiter(pool)
  if pool.rules.breaker and need('circuit_breaker').is_open(pool) then return NOTHING end
  local needs_snapshot = pool.fed and pool.kind ~= 'mpp' and pool.name ~= ON_KNOWN_MPP
  if needs_snapshot and not limits.is_fresh(pool) then return NOTHING end
  return limits.get_available(pool)
end

-- The pool was read: note what it has for a waiter before the call changes it.
function notify.measure(pool)
  pool.available_before = get_available_to_waiter(pool)
end

-- The pool is written.
function notify.compare(pool)
  if pool.available_before and get_available_to_waiter(pool) > pool.available_before then notify.on('room_grew') end
end

local function list_delays()
  local list = {}
  for ms in pairs(delays) do list[#list + 1] = ms end
  if #list > 0 and is_now then list[#list + 1] = 0 end
  table.sort(list)
  return list
end

function notify.flush()
  local list = list_delays()
  local is_wanted = is_for_holder or (has_waiters() and (is_now or #list > 0))
  if is_wanted then publish('room', unpack(list)) end
end

return notify
