-- clock_test.lua: the clock of the tests: time in us at <zone>:clock, run_id at <zone>:run.
local clock = {}

function clock.read()
  return tonumber(call('GET', ZONE .. ':clock'))
end

function clock.run_id()
  return call('GET', ZONE .. ':run')
end

return clock
