-- state/audit_log.lua: manual actions and their actors: a stream of which the newest entries are kept.
--
-- note(op, did, on, detail): writes an entry if op.by names an actor; reports of dialers have no `by`.
-- audit: limit, before? (id of an entry: only older ones) -> {entries: [{id, at, by, did, on, detail}]}, newest first
local audit_log = {}

local KEPT = 1000 -- approximately: MAXLEN ~ drops whole nodes of the stream

function audit_log.note(op, did, on, detail)
  if not op.by then return end
  unit.append(AUDIT, 'MAXLEN', '~', KEPT, '*', 'at', now, 'by', op.by, 'did', did, 'on', on, 'detail', encode(detail))
end

local function entry_of(raw)
  local entry = { id = raw[1] }
  for i = 1, #raw[2], 2 do entry[raw[2][i]] = raw[2][i + 1] end
  entry.at, entry.detail = tonumber(entry.at), decode(entry.detail)
  return entry
end

function audit_log.read(op)
  if op.before == '0-0' then return { entries = {} } end -- the first id there is: Redis knows none before
  local newest = op.before and '(' .. op.before or '+'
  local found = call('XREVRANGE', AUDIT, newest, '-', 'COUNT', op.limit)
  for i, raw in ipairs(found) do found[i] = entry_of(raw) end
  return { entries = found }
end

return audit_log
