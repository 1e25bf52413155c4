-- clock.lua: the clock of the zone, and the identity of the server that stores it.
-- Tests replace this file by clock_test.lua; no other file of the script reads the time.
local clock = {}

-- -> us since the epoch, by the clock of this server
function clock.read()
  local t = call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- -> run_id: changes with every start of a server, and after a failover
function clock.run_id()
  return string.match(call('INFO', 'server'), 'run_id:(%w+)')
end

-- -> the replication id that this server inherited at its promotion (master_replid2), '' if it was never promoted.
-- (master_replid itself also changes when a first replica connects, or after an hour without replicas.)
function clock.heir_of()
  return string.match(call('INFO', 'replication'), 'master_replid2:0*(%w*)') or ''
end

return clock
