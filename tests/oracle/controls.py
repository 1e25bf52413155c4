"""What operators do: pause, limit for a while, another policy."""

from typing import Any

from tests.oracle.policy import Policy, kind
from tests.oracle.pools import limit
from tests.oracle.state import SetLimit, Zone

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
    told = {"pool": pool, "limit": limit(zone, pool), "set_limit": op["limit"]}
    return told | {"until": until}


def replace_policy(zone: Zone, op: dict[str, Any]) -> Answer:
    """Another policy from here on. Who was hungry under the old one is weighed anew."""
    if op["digest"] == zone.digest:
        return {"version": zone.version, "applied": False, "digest": zone.digest}
    fed_before = set(zone.policy.fed())
    zone.policy, zone.digest = Policy(op["fields"]), op["digest"]
    zone.version += 1
    zone.hunger.clear()
    if set(zone.policy.fed()) - fed_before:
        zone.begin_recovery()
    return {"version": zone.version, "applied": True, "digest": zone.digest}
