-- commands/policy.lua: stores, replaces and returns the live policy, which is compiled and read by every decision.
--
-- policy:      mode, expected? (version, for put), known? (version that the caller saw), version? (for
--              restore), digest, fields, source, offer? (a secret, for a zone without one)
--   file     applies content that was never applied to this zone before
--   apply    applies always
--   put      applies if the live version is the expected one
--   restore  applies if it is newer than what is stored, under its own version: state was lost
--   restore also brings back paused (pool -> since, zone time in ms, JSON text), applied (digests), secret, former_secrets
--   -> {version, applied, digest} or fault conflict, lost (known is newer than what is stored)
-- policy_get:  -> {version, digest, source, fields, paused (JSON text), applied, secret?, former_secrets? (JSON text)}
-- secret:      offer -> {secret, former = {{secret, until}}}: the signing key of all replicas; the first offer stays.
--              former: keys before it, newest first, and the zone time in ms until which their signatures are accepted
-- rotate:      offer, keep_ms, known?, by? -> {version, accepted_until}: the offer signs from now on; keys before it are
--              accepted for no more than keep_ms. A new policy version, so that every replica fetches it. Or fault lost
-- pause:       pool? (none: the zone), on, known?, by?
--   -> {pool, paused, changed, version} or fault lost, unknown_pool, too_many_pauses
local pools, shares, contention, audit_log = need('pool'), need('shares'), need('contention'), need('audit_log')
local policy = {}

-- Fields of the policy hash other than rules of the zone, a pool, a campaign or an application.
local NOT_RULES = set_of({ 'version', 'digest', 'source', 'applied', 'paused', 'secret', 'former_secrets' })
local APPLIED_MAX = 100 -- digests remembered of policies that were applied
local FORMER_MAX = 8 -- former signing keys
local PAUSED_MAX = 1000 -- pools paused at the same time: every decision reads them

local function read_stored()
  local got = call('HMGET', POLICY, 'version', 'digest', 'applied')
  return tonumber(got[1] or 0), got[2] or '', got[3] and decode(got[3]) or {}
end

local may_apply = {}

function may_apply.file(op, _, _, applied) return not contains(applied, op.digest) end
function may_apply.apply(op, _, digest) return op.digest ~= digest end
function may_apply.put(op, _, digest) return op.digest ~= digest end
function may_apply.restore(op, version) return op.version > version end

local function replace(op, version, applied)
  applied = op.applied or applied -- restored: the digests that the lost policy knew
  if not contains(applied, op.digest) then applied[#applied + 1] = op.digest end
  while #applied > APPLIED_MAX do table.remove(applied, 1) end
  op.fields.zone.version = version
  local paused = op.paused or call('HGET', POLICY, 'paused') or '{}'
  local secret = op.secret or call('HGET', POLICY, 'secret') or op.offer
  local former = op.former_secrets and encode(op.former_secrets) or call('HGET', POLICY, 'former_secrets')
  call('DEL', POLICY)
  if secret then call('HSET', POLICY, 'secret', secret) end
  if former then call('HSET', POLICY, 'former_secrets', former) end
  local fields = {}
  for name, rules in pairs(op.fields) do fields[#fields + 1], fields[#fields + 2] = name, encode(rules) end
  for from = 1, #fields, 2000 do call('HSET', POLICY, unpack(fields, from, min(#fields, from + 1999))) end
  call('HSET', POLICY, 'version', version, 'digest', op.digest, 'source', op.source, 'applied', encode(applied), 'paused', paused)
end

-- A new zone, or a zone that lost its state: any policy is better than none.
function policy.first(op)
  op.lost = op.known ~= nil
  op.fields.zone.replaced_at = nil -- a time of the clock of the lost zone
  replace(op, op.lost and 0 or op.version or 1, {})
  load_policy()
  shares.recount()
  op.mode, op.was_first = 'apply', true
end

-- The caller saw a newer policy than the stored one: that was lost and is restored before the change.
local function is_lost(op, version)
  return op.lost or (op.known ~= nil and version < op.known)
end

-- Calls granted by earlier policies may claim their ports later than the new policy allows. Its rules state for how
-- long: claim_before = claim_max of the replaced policy, or of an earlier one while its calls may be unclaimed;
-- replaced_at = when, in zone time. Both are part of the policy, so replicas restore them (restored). After a loss
-- the elapsed part is unknown: the whole time is waited for again.
local function record_earlier_claims(rules, before)
  local restored, earlier = rules.claim_before or 0, before.claim_before or 0
  if before.replaced_at and now - before.replaced_at > earlier then earlier = 0 end -- mutation: earlier-claim-lapses
  rules.claim_before, rules.replaced_at = max(restored, earlier, before.claim_max), now -- mutation: claims-of-replaced-policy
end

-- Begin a recovery where snapshots do not show which reservations they contain: a channel is fed for the first time,
-- or another source takes the snapshots. Also when a policy is restored: the recovery of the loss used the durations
-- of the policy that was found.
local function restart_feeds(op, before)
  local is_other, new = #zone.fed > 0 and before.source ~= nil and before.source ~= zone.source, {}
  for _, channel in ipairs(zone.fed) do
    if not before.is_fed[channel] then new[#new + 1] = pools.get('channel:' .. channel) end
  end
  if is_other or #new > 0 or op.mode == 'restore' then begin_recovery() end
  for _, pool in ipairs(new) do pools.restart_feed(pool, meta.recover_until) end -- mutation: new-feed-waits
end

local function count_paused()
  local paused = 0
  for _ in pairs(zone.paused) do paused = paused + 1 end
  return paused
end

-- Guarantees, weights and classes may have changed.
local function recompute_shares()
  for _, name in ipairs(call('HKEYS', POOLS)) do
    if name ~= '' then
      local pool = pools.get(name)
      if pool.contending_classes then contention.clear(pool) end
      if pool.has_lapsed or pools.is_collectable(pool) then pools.examine(pool) end -- this policy may have dropped its name
    end
  end
  shares.recount()
end

function policy.store(op)
  local version, digest, applied = read_stored()
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
  record_earlier_claims(op.fields.zone, before)
  replace(op, version, applied)
  load_policy()
  restart_feeds(op, before)
  recompute_shares()
  publish('poll') -- an idle zone would be polled with the old parameters for a while
  count('policy')
  audit_log.note(op, 'policy', 'zone', { mode = op.mode, version = version, digest = op.digest })
  return { version = version, applied = true, digest = op.digest }
end

-- Store a field that belongs to the policy, under a new version: replicas fetch it then.
local function store_new_version(...)
  zone.version = zone.version + 1
  local rules = decode(call('HGET', POLICY, 'zone'))
  rules.version = zone.version
  call('HSET', POLICY, 'version', zone.version, 'zone', encode(rules), ...)
end

-- Pauses are part of the policy, so that replicas restore them after a loss of state.
function policy.pause(op)
  if is_lost(op, zone.version) then return fault('lost', 'version', zone.version) end
  local name = op.pool or 'zone'
  local changed = (zone.paused[name] ~= nil) ~= op.on
  -- A paused pool can be resumed although policy names it no more.
  local is_known = name == 'zone' or zone.paused[name] or pools.get(name).known
  if not is_known then return fault('unknown_pool', 'pool', name) end
  if op.on and changed and count_paused() >= PAUSED_MAX then
    return fault('too_many_pauses', 'pool', PAUSED_MAX)
  end
  if changed then
    unit.change()
    zone.paused[name] = op.on and now or nil
    pools.each(pools.drop_limit)
    store_new_version('paused', encode(zone.paused))
    audit_log.note(op, op.on and 'pause' or 'resume', name, { version = zone.version })
  end
  return { pool = name, paused = op.on, changed = changed, version = zone.version }
end

-- -> the former keys whose signatures are accepted
local function list_former()
  local accepted = {}
  for _, former in ipairs(decode(call('HGET', POLICY, 'former_secrets') or '[]')) do
    if now < former['until'] then accepted[#accepted + 1] = former end
  end
  return accepted
end

function policy.secret(op)
  call('HSETNX', POLICY, 'secret', op.offer)
  return { secret = call('HGET', POLICY, 'secret'), former = list_former() }
end

function policy.rotate(op)
  if is_lost(op, zone.version) then return fault('lost', 'version', zone.version) end
  local secret, former = call('HGET', POLICY, 'secret'), list_former()
  unit.change()
  if secret then table.insert(former, 1, { secret = secret, ['until'] = FOREVER }) end
  while #former > FORMER_MAX do table.remove(former) end
  for _, one in ipairs(former) do one['until'] = min(one['until'], now + op.keep_ms) end
  store_new_version('secret', op.offer, 'former_secrets', #former > 0 and encode(former) or '[]')
  audit_log.note(op, 'rotate', 'zone', { version = zone.version, keep_ms = op.keep_ms })
  return { version = zone.version, accepted_until = now + op.keep_ms }
end

function policy.get()
  local answer, flat = { fields = {} }, call('HGETALL', POLICY)
  for i = 1, #flat, 2 do
    local name, text = flat[i], flat[i + 1]
    if NOT_RULES[name] then answer[name] = text else answer.fields[name] = decode(text) end
  end
  answer.version, answer.applied = tonumber(answer.version), decode(answer.applied)
  return answer
end

return policy
