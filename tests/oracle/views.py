"""Queries: status, get, list, and the lease of the poller."""

from typing import Any

from tests.oracle import learned
from tests.oracle.policy import kind
from tests.oracle.pools import (
    adaptive_headroom,
    count_held,
    fed,
    forget_lapsed,
    headroom,
    in_use,
    limit,
    public_room,
    snapshot,
    temporary_limit,
)
from tests.oracle.reports import FORBIDDEN, UNKNOWN, is_out_of_scope
from tests.oracle.state import Reservation, Zone

Answer = dict[str, Any]
FIELDS = (
    "id",
    "campaign",
    "channel",
    "mpp",
    "owner",
    "request_id",
    "answer_within",
    "max_call",
    "claim_within",
    "granted_at",
    "visible_by",
    "deadline",
    "taken",
    "launched_at",
    "reported_at",
    "ended_at",
    "released_at",
    "outcome",
    "session",
)


def status(zone: Zone, op: dict[str, Any]) -> Answer:
    """The zone's pools and whether it recovers."""
    forget_lapsed(zone)
    return {
        "recovering": zone.now < zone.recover_until,
        "recovered_from": zone.recovered_from,
        "recover_until": zone.recover_until,
        "pools": [pool_status(zone, pool) for pool in sorted(all_pools(zone))],
    }


def all_pools(zone: Zone) -> set[str]:
    """Every pool that policy names, a reservation holds, or a snapshot was taken of."""
    found = {f"channel:{channel}" for channel in zone.policy.channels()} | set(zone.snapshots)
    found |= {pool for one in zone.reservations.values() if one.holds for pool in one.pools}
    found |= {pool for pool in zone.policy.fields if kind(pool) == "mpp" and pool.count(":") == 2}
    return {pool for pool in found if pool != "mpps" and is_shown(zone, pool)}


def is_shown(zone: Zone, pool: str) -> bool:
    """Whether policy names a pool, or something is known of it besides its past."""
    touched = in_use(zone, pool) or temporary_limit(zone, pool) is not None
    is_seen = pool in zone.snapshots
    is_named = zone.policy.knows(pool) and (is_seen or not zone.policy.is_wildcard(pool))
    return bool(is_named or touched or pool in zone.paused)


def pool_status(zone: Zone, pool: str) -> Answer:
    """One pool's counts and limits."""
    shown: Answer = {
        "pool": pool,
        "in_use": in_use(zone, pool),
        "capacity": zone.policy.capacity(pool),
        "limit": limit(zone, pool),
        "headroom": headroom(zone, pool),
        "room": public_room(zone, pool),
        "adaptive_headroom": adaptive_headroom(zone, pool) if zone.adaptive.get(pool) else None,
        "wildcard": zone.policy.is_wildcard(pool) or None,
    }
    if temporary_limit(zone, pool) is not None:
        shown |= {
            "set_limit": zone.set_limits[pool].limit,
            "set_until": zone.set_limits[pool].until,
        }
    newest = snapshot(zone, pool)
    if learned.learns(zone, pool):
        shown["learned"] = learned_status(zone, pool)
    if fed(zone, pool):
        held = count_held(zone, pool, newest.w0, newest.known_at) if newest else 0
        shown |= {"held": held, "pending": shown["in_use"] - held}
    if newest:
        shown["ceiling"] = newest.ceiling
        shown["snapshot"] = {
            "t0": newest.t0,
            "t1": newest.t1,
            "w0": newest.w0,
            "total": newest.total,
            "unused": newest.unused,
            "age_ms": zone.now - newest.t0,
            "foreign": newest.foreign,
            "group": newest.group,
        }
    return shown


def learned_status(zone: Zone, pool: str) -> Answer:
    """What was learned of a pool, and whether it counts."""
    known, fallback = learned.of(zone, pool), learned.fallback(zone, pool)
    wanted_ms, gain_port_ms = learned.count_gain(zone, pool)
    shown: Answer = {
        "ceiling": learned.learned_ceiling(zone, pool),
        "fallback": fallback,
        "in_force": zone.policy.zone.get("ceilings") == "learned" and fallback is None,
        "frozen_at": known.frozen_at,
        "target": zone.policy.zone.get("overlaunch_target"),
        "wanted_ms": wanted_ms,
        "gain_port_ms": gain_port_ms,
    }
    one = known.estimate
    if one is None:
        return shown
    doubts = ",".join(one.doubts) or None
    times = {"t0": one.t0, "valid_until": one.valid_until, "pending": one.pending}
    return shown | times | {"doubts": doubts, "state": known.state}


def get(zone: Zone, op: dict[str, Any]) -> Answer:
    """One reservation."""
    one = zone.reservations.get(op["id"])
    if one is None or one.campaign is None:
        return dict(UNKNOWN)
    if is_out_of_scope(op, one.campaign):
        return dict(FORBIDDEN)
    return record(one)


def record(one: Reservation) -> Answer:
    """A reservation as `get` and `list` return it."""
    shown = {name: getattr(one, name) for name in FIELDS}
    shown["releasing"] = True if one.state == "releasing" else None
    shown["adopted"] = one.adopted or None
    return shown | {"state": one.public_state, "pools": [p for p in one.pools if p != "mpps"]}


def list_page(zone: Zone, op: dict[str, Any]) -> Answer:
    """All reservations that fit, as one page."""
    found = [record(one) for one in zone.reservations.values() if one.campaign is not None]
    for name in ("state", "campaign", "owner"):
        found = [one for one in found if op.get(name) is None or one[name] == op[name]]
    found = [one for one in found if not is_out_of_scope(op, one["campaign"])]
    return {"cursor": "0", "reservations": found}


def lease(zone: Zone, op: dict[str, Any]) -> Answer:
    """The lease of the zone's poller."""
    mine = op["holder"] == zone.lease_holder
    lapsed = zone.lease_holder is None or zone.now > zone.lease_until
    if op.get("release"):
        if mine or lapsed:
            zone.lease_holder, zone.lease_until = None, 0
        mine = False
    elif mine or lapsed:
        if lapsed or not mine:
            zone.lease_token = max(zone.lease_token + 1, zone.now)
        zone.lease_holder, zone.lease_until = op["holder"], zone.now + op["ttl_ms"]
        mine = True
    shown = {"mine": mine, "until": zone.lease_until} | (
        {"token": zone.lease_token} if mine else {}
    )
    return shown | poll_hints(zone)


def poll_hints(zone: Zone) -> Answer:
    """What the poller needs to know to choose its pace."""
    newest = [s.t0 for pool, s in zone.snapshots.items() if kind(pool) == "channel"]
    idle_ms = zone.now - zone.admitted_at
    return {"wanted": zone.wanted, "idle_ms": idle_ms, "t0": max(newest, default=0)}
