-- Take and give back: PATH_ and BODY take, END_METHOD END_PATH (with %s for the id) END_BODY give back;
-- ID is a pattern of the id in the answer to a taking. With FIRST_PATH an id is asked for before that
-- (FIRST_BODY), and PATH_ has a %s too.
local env = os.getenv
local first, id_pattern = env('FIRST_PATH'), env('ID')
-- wrk does not say which connection asks next, so ids are handed on within a thread.
local named, taking, held = {}, {}, {}
local threads = {}

wrk.headers['Content-Type'] = 'application/json'
if env('TOKEN') then wrk.headers['Authorization'] = 'Bearer ' .. env('TOKEN') end

function setup(thread)
  threads[#threads + 1] = thread
end

function init()
  pairs_done = 0 -- global: wrk hands it to done()
end

function request()
  if #held > 0 then
    local path = string.format(env('END_PATH'), table.remove(held))
    return wrk.format(env('END_METHOD'), path, nil, env('END_BODY'))
  end
  if not first then return wrk.format('POST', env('PATH_'), nil, env('BODY')) end
  if #named > 0 then
    local id = table.remove(named)
    taking[id] = true
    return wrk.format('PUT', string.format(env('PATH_'), id), nil, env('BODY'))
  end
  return wrk.format('POST', first, nil, env('FIRST_BODY'))
end

function response(_, _, body)
  local id = string.match(body, id_pattern)
  if id and first and not taking[id] then
    named[#named + 1] = id
  elseif id then
    held[#held + 1], taking[id] = id, nil
  else
    pairs_done = pairs_done + 1
  end
end

function done(summary, latency)
  local e, n = summary.errors, 0
  for _, thread in ipairs(threads) do n = n + thread:get('pairs_done') end
  io.write(string.format('FOUND {"requests":%d,"pairs":%d,"us":%d,"p50_us":%d,"p99_us":%d,"errors":%d}\n',
    summary.requests, n, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
