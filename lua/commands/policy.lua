-- commands/policy.lua: the live policy: stored compiled, replaced whole, read by every decision.
--
-- policy:      mode, expected? (version, for put), known? (version that the asker saw), version? (for
--              restore), digest, fields, source, offer? (a secret, for a zone without one)
--   file     applies content that was never applied to this zone before
--   apply    applies always
--   put      applies if the live version is the expected one
--   restore  applies if it is newer than what is stored, under its own version: state was lost
--   restore also brings back paused (pool -> since, zone time in ms, JSON text), applied (digests), secret
--   -> {version, applied, digest} or fault conflict, lost (known is newer than what is stored)
-- policy_get:  -> {version, digest, source, fields, paused (JSON text), applied, secret?}
-- secret:      offer -> {secret}: what all replicas sign with; the first offer stays
-- pause:       pool? (none: the zone), on, known?, by?
--   -> {pool, paused, changed, version} or fault lost, unknown_pool, too_many_pauses
local pools, shares, contention, audit_log = need('pool'), need('shares'), need('contention'), need('audit_log')
local policy = {}

-- Members of the policy hash that are not a pool's, campaign's, application's or the zone's rules.
local NOT_RULES = set_of({ 'version', 'digest', 'source', 'applied', 'paused', 'secret' })
local APPLIED_MAX = 100 -- digests remembered of policies that were applied
local PAUSED_MAX = 1000 -- pools paused at once: every decision reads them

local function stored()
  local got = call('HMGET', POLICY, 'version', 'digest', 'applied')
  return tonumber(got[1] or 0), got[2] or '', got[3] and decode(got[3]) or {}
end

local may_apply = {}

function may_apply.file(op, _, _, applied) return not contains(applied, op.digest) end
function may_apply.apply(op, _, digest) return op.digest ~= digest end
function may_apply.put(op, _, digest) return op.digest ~= digest end
function may_apply.restore(op, version) return op.version > version end

local function replace(op, version, applied)
  applied = op.applied or applied -- restored: what the lost one knew
  if not contains(applied, op.digest) then applied[#applied + 1] = op.digest end
  while #applied > APPLIED_MAX do table.remove(applied, 1) end
  op.fields.zone.version = version
  local paused = op.paused or call('HGET', POLICY, 'paused') or '{}'
  local secret = op.secret or call('HGET', POLICY, 'secret') or op.offer
  call('DEL', POLICY)
  if secret then call('HSET', POLICY, 'secret', secret) end
  for name, rules in pairs(op.fields) do call('HSET', POLICY, name, encode(rules)) end
  call('HSET', POLICY, 'version', version, 'digest', op.digest, 'source', op.source, 'applied', encode(applied), 'paused', paused)
end

-- A new zone, or one that lost its state: whatever is offered is better than none.
function policy.first(op)
  op.lost = op.known ~= nil
  op.fields.zone.replaced_at = nil -- by the clock of a zone that is lost
  replace(op, op.lost and 0 or op.version or 1, {})
  load_policy()
  shares.recount()
  op.mode, op.was_first = 'apply', true
end

-- Who asks for a change saw a newer policy than this: it was lost, and comes back before the change.
local function is_lost(op, version)
  return op.lost or (op.known ~= nil and version < op.known)
end

-- Calls that earlier policies let go may claim later than the new one's do. So its rules say for how long:
-- claim_before = what the replaced policy said, or an earlier one as long as its own calls may be out;
-- replaced_at = since when, by this zone's clock. They are part of the policy, so replicas bring it back with
-- them (told). After a loss no clock says how much of it is over: it is waited for again.
local function note_earlier(rules, before)
  local told, earlier = rules.claim_before or 0, before.claim_before or 0
  if before.replaced_at and now - before.replaced_at > earlier then earlier = 0 end -- mutation: earlier-claim-lapses
  rules.claim_before, rules.replaced_at = max(told, earlier, before.claim_max), now -- mutation: claims-of-replaced-policy
end

-- A channel that snapshots feed from now on was not watched before, or somebody else takes the
-- photographs: nobody knows which reservations they show. As after a loss, time tells. So it does when a
-- policy is restored: the recovery that the loss began went by the one that was found.
local function watch_anew(op, before)
  local is_other, new = #zone.fed > 0 and before.source ~= nil and before.source ~= zone.source, {}
  for _, channel in ipairs(zone.fed) do
    if not before.is_fed[channel] then new[#new + 1] = pools.get('channel:' .. channel) end
  end
  if is_other or #new > 0 or op.mode == 'restore' then begin_recovery() end
  for _, p in ipairs(new) do pools.restart_feed(p, meta.recover_until) end -- mutation: new-feed-waits
end

local function paused_count()
  local n = 0
  for _ in pairs(zone.paused) do n = n + 1 end
  return n
end

-- Guarantees, weights and classes may have changed.
local function weigh_anew()
  for _, name in ipairs(call('HKEYS', POOLS)) do
    if name ~= '' then
      local p = pools.get(name)
      if p.contending_classes then contention.clear(p) end
      if pools.is_collectable(p) then pools.mark_dirty(p) end -- perhaps since this policy
    end
  end
  shares.recount()
end

function policy.store(op)
  local version, digest, applied = stored()
  if is_lost(op, version) then return fault('lost', 'version', version) end
  if op.expected and op.expected ~= version and op.digest ~= digest then
    return fault('conflict', 'version', version)
  end
  if not may_apply[op.mode](op, version, digest, applied) then
    return { version = version, applied = op.was_first or false, digest = digest }
  end
  pools.flush()
  version = op.mode == 'restore' and op.version or version + 1
  local before = zone
  note_earlier(op.fields.zone, before)
  replace(op, version, applied)
  load_policy()
  watch_anew(op, before)
  weigh_anew()
  publish('poll') -- an idle zone would be polled by its old parameters for a while
  count('policy')
  audit_log.note(op, 'policy', 'zone', { mode = op.mode, version = version, digest = op.digest })
  return { version = version, applied = true, digest = op.digest }
end

-- Pauses belong to the policy, so that they outlive a Redis that lost everything.
function policy.pause(op)
  if is_lost(op, zone.version) then return fault('lost', 'version', zone.version) end
  local name = op.pool or 'zone'
  local changed = (zone.paused[name] ~= nil) ~= op.on
  -- What is paused can be resumed, though policy may not know it any more.
  local is_known = name == 'zone' or zone.paused[name] or pools.get(name).known
  if not is_known then return fault('unknown_pool', 'pool', name) end
  if op.on and changed and paused_count() >= PAUSED_MAX then
    return fault('too_many_pauses', 'pool', PAUSED_MAX)
  end
  if changed then
    zone.paused[name] = op.on and now or nil
    pools.changes = pools.changes + 1
    zone.version = zone.version + 1
    local rules = decode(call('HGET', POLICY, 'zone'))
    rules.version = zone.version
    call('HSET', POLICY, 'paused', encode(zone.paused), 'version', zone.version, 'zone', encode(rules))
    audit_log.note(op, op.on and 'pause' or 'resume', name, { version = zone.version })
  end
  return { pool = name, paused = op.on, changed = changed, version = zone.version }
end

function policy.secret(op)
  call('HSETNX', POLICY, 'secret', op.offer)
  return { secret = call('HGET', POLICY, 'secret') }
end

function policy.get()
  local a, flat = { fields = {} }, call('HGETALL', POLICY)
  for i = 1, #flat, 2 do
    local name, text = flat[i], flat[i + 1]
    if NOT_RULES[name] then a[name] = text else a.fields[name] = decode(text) end
  end
  a.version, a.applied = tonumber(a.version), decode(a.applied)
  return a
end

return policy
