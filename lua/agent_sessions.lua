-- agent_sessions.lua: the session ids (Guid) of agents that applications handed over. A separate script.
--
-- KEYS  1 guids  hash  agent -> Guid
-- ARGV  1 keep, all or drop
--       2 agent, 3 Guid   (keep, drop)
--       4 time to live in ms since the last keep, 5 limit of agents   (keep)
-- ->    keep: 1, or 0 when the limit is reached
--       all:  agent, Guid, agent, Guid ...
--       drop: 1, or 0 when the agent has another Guid now

local KEY, verb, agent, guid = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local call = redis.call

if verb == 'all' then return call('HGETALL', KEY) end
if verb == 'drop' then
  if call('HGET', KEY, agent) ~= guid then return 0 end
  return call('HDEL', KEY, agent)
end
if call('HEXISTS', KEY, agent) == 0 and call('HLEN', KEY) >= tonumber(ARGV[5]) then return 0 end
call('HSET', KEY, agent, guid)
call('PEXPIRE', KEY, ARGV[4])
return 1
