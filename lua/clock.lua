-- clock.lua: the one clock of the zone, and the identity of the server that holds it.
-- Tests replace this file by clock_test.lua; nothing else in the script reads time.
local clock = {}

-- -> us since the epoch, as this server has it
function clock.read()
  local t = call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- -> run_id: new with every start of a server, another after every failover
function clock.run_id()
  return string.match(call('INFO', 'server'), 'run_id:(%w+)')
end

-- -> the history of which this server is the promoted heir: another with every promotion, '' if there was none.
-- (master_replid itself also changes when a first replica comes, or none was there for an hour.)
function clock.heir_of()
  return string.match(call('INFO', 'replication'), 'master_replid2:0*(%w*)') or ''
end

return clock
