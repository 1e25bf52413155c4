-- state/learned_gain.lua: what the learned ceiling of a channel would have allowed beyond the proved one, in the last hour.
--
-- Each new snapshot ends an interval, which began with the snapshot before. It counts as wanted if a campaign contends for the
-- channel at its end (state/contention.lua), that is, was denied for want of ports there lately. Then its gain is the
-- limit with ceilings = "learned" less the limit with ceilings = "proved", both as they stand at its end, times its length. The
-- gain is negative where less counts than the proved ceiling. Policy's limit and a temporary one bound both.
--
-- Hash LEARN..pool, field past_gain -> text: entries "BIN:WANTED_MS:PORT_MS" with spaces between them, oldest first; BIN = zone ms /
-- BIN_MS. At most BINS of them; a snapshot is taken once, so no interval counts twice.
local limits, ceiling, contention, age_bins = need('limits'), need('ceiling'), need('contention'), need('age_bins')
local learned_gain = { FIELD = 'past_gain' }

local BIN_MS, BINS = 300000, 12
local ENTRY = '(%d+):(%d+):(%-?%d+)'

-- -> entries {bin, wanted_ms, port_ms} of the last hour, oldest first
local function read(pool)
  local found, oldest = {}, floor(now / BIN_MS) - BINS + 1
  for bin, wanted_ms, port_ms in gmatch(unit.get(age_bins.get_hash(pool), learned_gain.FIELD) or '', ENTRY) do
    bin = tonumber(bin)
    if bin >= oldest and #found < BINS then -- mutation: gain-of-the-last-hour
      found[#found + 1] = { bin = bin, wanted_ms = tonumber(wanted_ms), port_ms = tonumber(port_ms) }
    end
  end
  return found
end

local function write(pool, entries)
  local texts = {}
  for i, entry in ipairs(entries) do texts[i] = format('%.0f:%.0f:%.0f', entry.bin, entry.wanted_ms, entry.port_ms) end
  unit.put(age_bins.get_hash(pool), learned_gain.FIELD, concat(texts, ' '))
end

local function is_wanted(pool)
  for class in gmatch(pool.contending_classes or '', '%d') do
    if #contention.list(pool, class, -1) > 0 then return true end
  end
  return false
end

local function count_ports(pool)
  local most = min(limits.get_set_limit(pool) or FOREVER, pool.rules.limit or FOREVER)
  local proved, learned = ceiling.compare(pool)
  return min(most, learned) - min(most, proved)
end

-- A channel is about to take a newer snapshot: the interval since the last one is over.
function learned_gain.note(pool)
  if not pool.learns or not pool.ceiling or not is_wanted(pool) then return end -- mutation: gain-of-what-is-wanted
  local entries, bin = read(pool), floor(now / BIN_MS)
  local last = entries[#entries]
  if not last or last.bin ~= bin then
    last = { bin = bin, wanted_ms = 0, port_ms = 0 }
    entries[#entries + 1] = last
  end
  local lasted_ms = min(now - pool.t1, zone.max_age) -- mutation: gain-of-a-fresh-snapshot
  last.wanted_ms, last.port_ms = last.wanted_ms + lasted_ms, last.port_ms + lasted_ms * count_ports(pool)
  write(pool, entries)
end

-- -> ms of the last hour in which requests were denied for want of ports; the gain in that time, in ports times ms
function learned_gain.get(pool)
  local wanted_ms, port_ms = 0, 0
  for _, entry in ipairs(read(pool)) do
    wanted_ms, port_ms = wanted_ms + entry.wanted_ms, port_ms + entry.port_ms
  end
  return wanted_ms, port_ms
end

return learned_gain
