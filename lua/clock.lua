-- clock.lua: the clock of the zone, and the identity of the server that stores it.
-- Tests replace this file by clock_test.lua; no other file of the script reads the time.
local clock = {}

local ID_BYTES = 40 -- of a run id and of a replication id (CONFIG_RUN_ID_SIZE in src/server.h of Redis)

-- -> the id that follows a name in the text of INFO, '' if the name is absent. A pattern would be tried at each byte.
local function find_value(text, name)
  local _, last = find(text, name, 1, true)
  return last and match(sub(text, last + 1, last + ID_BYTES), '^%w*') or ''
end

-- -> us since the epoch, by the clock of this server
function clock.read()
  local t = call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- -> run_id: changes with every start of a server, and after a failover
function clock.run_id()
  return find_value(call('INFO', 'server'), 'run_id:')
end

-- -> the replication id that this server inherited at its promotion (master_replid2), '' if it was never promoted.
-- (master_replid itself also changes when a first replica connects, or after an hour without replicas.)
function clock.heir_of()
  return match(find_value(call('INFO', 'replication'), 'master_replid2:'), '^0*(.*)')
end

return clock
