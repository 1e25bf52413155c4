"""What operators do: pause, limit for a while, another policy."""

from typing import Any

from tests.oracle.policy import Fields, Policy, kind
from tests.oracle.pools import forget_lapsed, limit
from tests.oracle.state import Learning, SetLimit, Zone

Answer = dict[str, Any]


def pause(zone: Zone, op: dict[str, Any]) -> Answer:
    """Stop a pool, a whole MPP, or the zone; or let it go on. A change is a new policy version."""
    pool = op.get("pool") or "zone"
    is_paused = pool in zone.paused
    if not (is_paused or pool == "zone" or zone.policy.knows(pool)):
        return {"error": "unknown_pool", "field": "pool"}
    changed = bool(is_paused != op["on"])
    if changed:
        zone.version += 1
        zone.paused.pop(pool, None)
        zone.paused |= {pool: zone.now} if op["on"] else {}
    return {"pool": pool, "paused": op["on"], "changed": changed, "version": zone.version}


def set_limit(zone: Zone, op: dict[str, Any]) -> Answer:
    """A limit of one pool for a while. An MPP has one for each channel, none as a whole."""
    pool = op["pool"]
    is_whole_mpp = kind(pool) == "mpp" and pool.count(":") == 1
    if is_whole_mpp or not zone.policy.knows(pool):
        return {"error": "unknown_pool", "field": "pool"}
    if op.get("scope") is not None and pool not in {f"campaign:{name}" for name in op["scope"]}:
        return {"error": "forbidden", "field": "pool"}
    until = zone.now + op["ttl_ms"]
    zone.set_limits[pool] = SetLimit(limit=op["limit"], until=until)
    answer = {"pool": pool, "limit": limit(zone, pool), "set_limit": op["limit"]}
    return answer | {"until": until}


def replace_policy(zone: Zone, op: dict[str, Any]) -> Answer:
    """Another policy from here on. No campaign contends any more."""
    if op["digest"] == zone.digest:
        return {"version": zone.version, "applied": False, "digest": zone.digest}
    before = zone.policy
    zone.policy, zone.digest = Policy(add_earlier_claims(zone, op["fields"])), op["digest"]
    zone.version += 1
    zone.unmet_demand.clear()
    forget_lapsed(zone)
    newly_fed = set(zone.policy.fed()) - set(before.fed())
    is_same_source = before.source() in (None, zone.policy.source())
    if newly_fed or (zone.policy.fed() and not is_same_source):
        zone.begin_recovery()
    for channel in newly_fed:
        zone.snapshots.pop(f"channel:{channel}", None)
        zone.known_at[f"channel:{channel}"] = zone.recover_until
        holders = zone.holders(f"channel:{channel}")
        before = frozenset((one.id, one.launched_at) for one in holders)
        zone.learning[f"channel:{channel}"] = Learning(before=before)
    return {"version": zone.version, "applied": True, "digest": zone.digest}


def add_earlier_claims(zone: Zone, fields: Fields) -> Fields:
    """A new policy, with how long calls of the policies before it may still claim."""
    replaced_at = zone.policy.zone.get("replaced_at")
    spans = [zone.policy.ms("claim_max"), int(fields["zone"].get("claim_before") or 0)]
    if replaced_at is None or zone.now - replaced_at <= zone.policy.ms("claim_before"):
        spans.append(zone.policy.ms("claim_before"))
    noted = {"claim_before": max(spans), "replaced_at": zone.now}
    return fields | {"zone": fields["zone"] | noted}
