-- One request again and again: METHOD, PATH_, BODY, TOKEN of the environment.
wrk.method = os.getenv('METHOD') or 'POST'
wrk.path = os.getenv('PATH_')
wrk.body = os.getenv('BODY')
wrk.headers['Content-Type'] = 'application/json'
if os.getenv('TOKEN') then wrk.headers['Authorization'] = 'Bearer ' .. os.getenv('TOKEN') end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('FOUND {"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
