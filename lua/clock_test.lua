-- clock_test.lua: the clock of the tests: time in us at <zone>:clock, run_id at <zone>:run. No server is promoted.
-- The in-memory Redis of some tests lacks redis.sha1hex: any slot of the deny log will do there.
if not redis.sha1hex then redis.sha1hex = function() return '000000' end end

local clock = {}

function clock.read()
  return tonumber(call('GET', ZONE .. ':clock'))
end

function clock.run_id()
  return call('GET', ZONE .. ':run')
end

function clock.heir_of()
  return ''
end

return clock
