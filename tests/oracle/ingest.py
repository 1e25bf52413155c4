"""Ingest: a platform's answer becomes the ceilings of its pools."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

from tests.oracle import learned
from tests.oracle.policy import kind
from tests.oracle.pools import count_held, fed, get_learned_gain, holders, keeps, snapshot
from tests.oracle.state import Gain, Snapshot, Zone

Answer = dict[str, Any]
Counts = dict[str, int | None]
NUMBER_MAX = 2**31


def ingest(zone: Zone, op: dict[str, Any]) -> Answer:
    """Take or refuse each group whole."""
    groups: list[tuple[Any, Counts]] = [(g["total"], g["unused"]) for g in op.get("groups") or []]
    groups += [(None, {pool: None}) for pool in op.get("absent") or []]
    refused: dict[str, str] = {}
    first: dict[str, str] = {}
    observations: Answer = {}
    for total, unused in groups:
        fault = fault_of(zone, op, total, unused)
        if fault:
            refused |= dict.fromkeys(unused, fault[0])
            first = first or {"reason": fault[0], "pool": fault[1]}
        else:
            is_new = not is_repeat(zone, op["t0"], total, unused)
            taken = take(zone, op, total, unused)
            for pool in unused if is_new else ():
                polled = op.get("token") is not None
                zone.snapshots[pool] = replace(zone.snapshots[pool], polled=polled)
            stated = {"counted_at": op["counted_at"]} if op.get("counted_at") is not None else {}
            observations |= {pool: one | stated for pool, one in taken.items()}
    answer = {"accepted": not refused, "refused": refused, **first}
    return answer | ({"observations": observations} if observations else {})


def fault_of(zone: Zone, op: dict[str, Any], total: Any, unused: Counts) -> tuple[str, str] | None:
    """Why a group is refused, and the pool to blame."""
    pools = sorted(unused)
    if op["t0"] > zone.now:
        return "future", pools[0]
    if op.get("token") is not None and op["token"] != zone.lease_token:
        return "deposed", pools[0]
    for pool in pools:
        if not can_be_fed(zone, pool):
            return "unknown_pool", pool
        if kind(pool) == "channel" and not fed(zone, pool):
            return "not_fed", pool
        if op.get("token") is None and is_polled(zone, pool):
            return "polled", pool
    if total is not None and not is_consistent(total, list(unused.values())):
        return "inconsistent", pools[0]
    if op["t0"] < zone.recovered_from:
        return "before_recovery", pools[0]
    if is_repeat(zone, op["t0"], total, unused):
        return None
    late = [pool for pool in pools if is_late(zone, pool, op)]
    return ("out_of_order", late[0]) if late else None


def is_polled(zone: Zone, pool: str) -> bool:
    """Whether a polled source counts a pool, so that no push may."""
    newest = snapshot(zone, pool)
    by_policy = kind(pool) == "channel" and not zone.policy.zone.get("pushed")
    return bool(zone.policy.zone.get("polled")) and (by_policy or bool(newest and newest.polled))


def can_be_fed(zone: Zone, pool: str) -> bool:
    """Whether policy knows a pool that snapshots may be of."""
    if kind(pool) == "channel":
        return pool.partition(":")[2] in zone.policy.channels()
    if kind(pool) == "mpp":
        _, mpp, channel = pool.split(":")
        return mpp in zone.policy.mpps() and channel in zone.policy.channels()
    return zone.policy.named(pool) is not None


def is_consistent(total: Any, unused: list[Any]) -> bool:
    """Whether the numbers can be: no wrap, no sign, no fraction, not more free than there are."""
    numbers = [total, *unused]
    if not all(n == int(n) and 0 <= n < NUMBER_MAX for n in numbers):
        return False
    return bool(sum(unused) <= total)


def window_start(zone: Zone, op: dict[str, Any]) -> int:
    """The earliest moment that this snapshot may show."""
    if op.get("counted_at") is not None:
        return int(min(op["counted_at"], op["t0"]))
    lag = zone.policy.ms("visibility_lag") if zone.rules.window_has_lag else 0
    return int(op["t0"]) - lag


def is_late(zone: Zone, pool: str, op: dict[str, Any]) -> bool:
    """Whether a pool has a newer snapshot already."""
    newest = zone.snapshots.get(pool)
    if newest is None:
        return False
    return op["t0"] <= newest.t0 or window_start(zone, op) < newest.w0


def is_repeat(zone: Zone, t0: int, total: int | None, unused: Counts) -> bool:
    """Whether exactly this was ingested before."""
    known = [zone.snapshots.get(pool) for pool in unused]
    stored = [(one.t0, one.total, one.unused) for one in known if one]
    return stored == [(t0, total, n) for n in unused.values()]


def take(zone: Zone, op: dict[str, Any], total: int | None, unused: Counts) -> Answer:
    """Make this snapshot the newest of its pools; answers what is learned from."""
    t0 = op["t0"]
    if is_repeat(zone, t0, total, unused):
        return {}
    w0 = window_start(zone, op)
    for pool in unused if total is not None else ():
        note_gain(zone, pool)
    for pool, n in unused.items():
        zone.snapshots[pool] = compiled(zone, pool, t0, w0, total, n)
    if total is not None and any(kind(pool) == "channel" for pool in unused):
        zone.wanted = False
        note_foreign(zone, w0, total, unused)
        estimate_foreign(zone)
        learning = [pool for pool in unused if learned.learns(zone, pool)]
        return {pool: learned.observe(zone, pool, len(unused) > 1) for pool in learning}
    for pool in filter(lambda pool: total is None and learned.learns(zone, pool), unused):
        learned.put(zone, pool, estimate=None)
    return {}


def note_gain(zone: Zone, pool: str) -> None:
    """The interval since the last snapshot is over: what would learned ceilings have gained?"""
    last = snapshot(zone, pool)
    if last is None or last.ceiling is None or not learned.learns(zone, pool):
        return
    wanted = (
        contended == pool and demand.until >= zone.now
        for (contended, _), demand in zone.unmet_demand.items()
    )
    if any(wanted):
        lasted_ms = min(zone.now - last.t1, zone.policy.ms("max_age"))
        gain = Gain(zone.now, lasted_ms, get_learned_gain(zone, pool))
        learned.put(zone, pool, gains=(*learned.of(zone, pool).gains, gain))


def compiled(
    zone: Zone, pool: str, t0: int, w0: int, total: int | None, unused: int | None
) -> Snapshot:
    """The new state of one pool."""
    last = zone.snapshots.get(pool)
    known_at = last.known_at if last else get_known_at(zone, pool)
    new = Snapshot(t0=t0, t1=zone.now, w0=w0, total=total, unused=unused, known_at=known_at)
    if unused is None:
        return new
    new = replace(new, ceiling=unused + count_held(zone, pool, w0, known_at))
    return keep_better(zone, last, new) if last and keeps(zone, pool) else new


def get_known_at(zone: Zone, pool: str) -> int | None:
    """A pool that starts to be fed while occupied does not know since when each call shows."""
    if kind(pool) == "channel":
        return zone.known_at.get(pool)
    return zone.now + zone.claim_max() if holders(zone, pool) else None


def keep_better(zone: Zone, last: Snapshot, new: Snapshot) -> Snapshot:
    """Keep the better of the last snapshot and the kept one, less what others may have taken."""
    if last.w0 <= zone.recover_until or last.total != new.total:
        return new
    kept = replace(new, best=last.best, best_t1=last.best_t1, best_w0=last.best_w0)
    if last.ceiling is None or zone.now - last.t0 > zone.policy.ms("max_age"):
        return kept
    if last.best is not None and last.best_w0 is not None:
        growth = Fraction(zone.policy.zone.get("growth_per_s") or 0)
        if last.ceiling <= last.best - growth * (last.w0 - last.best_w0) / 1000:
            return kept
    return replace(new, best=last.ceiling, best_t1=last.t1, best_w0=last.w0)


def note_foreign(zone: Zone, w0: int, total: int, unused: Counts) -> None:
    """What neither is free nor held by us, of channels that are counted together."""
    held = [count_held(zone, pool, w0, zone.snapshots[pool].known_at) for pool in unused]
    foreign = total - sum(n or 0 for n in unused.values()) - sum(held)
    group = "+".join(pool.partition(":")[2] for pool in sorted(unused))
    for pool in unused:
        zone.snapshots[pool] = replace(zone.snapshots[pool], foreign=foreign, group=group)


def estimate_foreign(zone: Zone) -> None:
    """Ports in use that no reservation with a known MPP accounts for, of all channels."""
    if not zone.policy.mpps():
        return
    groups = list(list_valid_groups(zone))
    if not groups:
        return
    oldest = min(one.t0 for group in groups for one in group)
    last, w0 = zone.snapshots.get("mpps"), min(one.w0 for group in groups for one in group)
    if last is None or w0 >= last.w0:
        zone.snapshots["mpps"] = Snapshot(t0=oldest, t1=zone.now, w0=w0)
    used = sum((group[0].total or 0) - sum(one.unused or 0 for one in group) for group in groups)
    zone.foreign = max(0, used - count_held(zone, "mpps", zone.snapshots["mpps"].w0, None))


def list_valid_groups(zone: Zone) -> Iterator[list[Snapshot]]:
    """The newest snapshots of channels that are counted together, unless they are stale."""
    newest = {channel: snapshot(zone, f"channel:{channel}") for channel in zone.policy.fed()}
    for name in {one.group for one in newest.values() if one and one.group}:
        found = [newest.get(channel) for channel in name.split("+")]
        group = [one for one in found if one and one.group == name]
        is_complete = len(group) == len(found) and len({one.t0 for one in group}) == 1
        if is_complete and zone.now - group[0].t0 <= zone.policy.ms("max_age"):
            yield group
