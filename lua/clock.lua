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

return clock
