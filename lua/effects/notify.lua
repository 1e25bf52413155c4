-- effects/notify.lua: waiters are told when asking again may be worth it: at most one PUBLISH in a call, at its
-- end, and only when somebody waits. "room ZONE": now. "room ZONE 250": in 250 ms. "room ZONE 0 250":
-- now and in 250 ms. It is a hint: whoever hears it asks again, and the script decides.
--
-- Better is what a pool is worth to a waiter: its free units, or -1 while it grants nothing (no fresh
-- snapshot, breaker open). It is measured when the pool is first read in a call and again when it is
-- written, so that an end whose ceiling falls with it, or whose port is granted in the same call,
-- wakes nobody.
local limits = need('limits')
local notify = {}

local NOTHING = -1
local is_better, is_called = false, false
local later = {}

local function worth(p)
  if p.rules.breaker and need('circuit_breaker').is_open(p) then return NOTHING end
  local is_watched = p.fed and p.kind ~= 'mpp' and p.name ~= ON_KNOWN_MPP
  if is_watched and not limits.is_fresh(p) then return NOTHING end
  return limits.get_room(p) or FOREVER
end

-- p was read: remember what it is worth before the call changes it.
function notify.measure(p)
  p.available_before = worth(p)
end

-- p is written.
function notify.compare(p)
  if p.available_before and worth(p) > p.available_before then is_better = true end
end

-- Something else that waiters wait for got better.
function notify.notify_waiters()
  is_better = true
end

-- A replica that keeps a request open has something to fetch for it, also when nobody else waits.
function notify.notify_holder()
  is_better, is_called = true, true
end

-- Something gets better by time alone, so many ms from now.
function notify.notify_waiters_in(ms)
  later[ms] = true
end

local function delays()
  local list = {}
  for ms in pairs(later) do list[#list + 1] = ms end
  if #list > 0 and is_better then list[#list + 1] = 0 end
  table.sort(list)
  return list
end

function notify.flush()
  local list = delays()
  local is_due = is_called or (has_waiters() and (is_better or #list > 0))
  if is_due then publish('room', unpack(list)) end
end

return notify
