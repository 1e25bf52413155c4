"""What it does to the ceilings of its pools when a reservation leaves them."""

from dataclasses import replace
from math import ceil

from tests.oracle import learned
from tests.oracle.policy import kind
from tests.oracle.pools import held_in, is_held, raise_headroom, snapshot
from tests.oracle.state import HAD_PORT, Reservation, Snapshot, Zone

PORTS = ("channel", "mpp")


def has_credit(zone: Zone, one: Reservation, t1: int) -> bool:
    """Whether the port was surely busy in a snapshot ingested at `t1`, and is free now."""
    if one.adopted or one.granted_at <= zone.stepped_at:
        return False
    gives_back = (one.taken or one.outcome in HAD_PORT) and one.outcome != "failed"
    if zone.rules.credit_needs_port and not gives_back:
        return False
    if not zone.rules.credit_needs_t1:
        return True
    if one.ended_at is None:
        return False
    notice = zone.policy.ms("end_notice") if zone.rules.credit_needs_end_notice else 0
    drift = ceil((zone.now - one.granted_at) / 2000)
    since_recovery = one.ended_at > zone.recovered_from and t1 > zone.recovered_from
    return since_recovery and one.ended_at - notice - drift > t1


def one_less(n: int | None) -> int | None:
    """A ceiling lowered by one, never below 0."""
    return None if n is None else max(0, n - 1)


def after_end(zone: Zone, one: Reservation, newest: Snapshot) -> Snapshot:
    """A snapshot after the end of a call that it contains."""
    if not zone.rules.held_end_lowers:
        return newest
    if not has_credit(zone, one, newest.t1):
        newest = replace(newest, ceiling=one_less(newest.ceiling))
    return newest


def may_have_lost_port(zone: Zone, one: Reservation, newest: Snapshot) -> bool:
    """Whether a call with a port failed: the port may be gone together with its media server."""
    return one.outcome == "failed" and (one.taken or is_held(zone, one, newest.w0))


def after_end_kept(zone: Zone, one: Reservation, newest: Snapshot) -> Snapshot:
    """The kept ceiling of an older snapshot after the end of a call that it counts."""
    if not zone.rules.kept_ends_lower or newest.best_t1 is None or newest.best_w0 is None:
        return newest
    if may_have_lost_port(zone, one, newest):
        return replace(newest, best=one_less(newest.best))
    if not is_held(zone, one, newest.best_w0) or has_credit(zone, one, newest.best_t1):
        return newest
    return replace(newest, best=one_less(newest.best))


def after_expiry(zone: Zone, newest: Snapshot) -> Snapshot:
    """A snapshot after the expiry of a call that it contains."""
    if not zone.rules.held_expiry_lowers:
        return newest
    return replace(newest, ceiling=one_less(newest.ceiling))


def leave_by_end(zone: Zone, one: Reservation) -> None:
    """Move the ceilings as the end of this call does."""
    for pool in one.pools:
        if one.outcome == "no_resource" and kind(pool) == "channel":
            reset_best(zone, pool)
            raise_headroom(zone, pool)
        if learned.learns(zone, pool):
            learned.end(zone, pool, one, held_in(zone, one, pool))
        newest = snapshot(zone, pool)
        if newest is not None:
            kept = after_end_kept(zone, one, newest)
            is_lost = kind(pool) in PORTS and may_have_lost_port(zone, one, newest)
            falls = is_lost or held_in(zone, one, pool)
            zone.snapshots[pool] = after_end(zone, one, kept) if falls else kept


def leave_by_expiry(zone: Zone, one: Reservation, pools: tuple[str, ...]) -> None:
    """Move the ceilings of `pools` as the expiry of this call does."""
    for pool in pools:
        if held_in(zone, one, pool):
            zone.snapshots[pool] = after_expiry(zone, zone.snapshots[pool])


def lower_best(zone: Zone, one: Reservation) -> None:
    """An expiry lowers the kept ceiling, whether that counts the call or not."""
    for pool in one.pools:
        newest = zone.snapshots.get(pool)
        if newest is not None and zone.rules.kept_expiry_lowers:
            zone.snapshots[pool] = replace(newest, best=one_less(newest.best))


def reset_best(zone: Zone, pool: str) -> None:
    """A measured over-launch: the kept ceiling is not to be trusted."""
    newest = zone.snapshots.get(pool)
    if newest is not None:
        zone.snapshots[pool] = replace(newest, best=None, best_t1=None, best_w0=None)


def release(zone: Zone, one: Reservation) -> Reservation:
    """The end of a call takes effect, and counts for the hold time of its pools."""
    held_ms = zone.now - one.granted_at
    for pool in one.pools:
        zone.held_for[pool] = (*zone.held_for.get(pool, ()), held_ms)
    leave_by_end(zone, one)
    keep_until = zone.now + zone.policy.ms("retention")
    return zone.put(one, state="ended", released_at=zone.now, due_at=keep_until)


def expire(zone: Zone, one: Reservation) -> Reservation:
    """No report of a call came in time."""
    leave_by_expiry(zone, one, one.pools)
    lower_best(zone, one)
    for pool in filter(lambda pool: learned.learns(zone, pool), one.pools):
        learned.drop(zone, pool)
    keep_until = zone.now + zone.policy.ms("retention")
    return zone.put(one, state="expired", released_at=zone.now, due_at=keep_until)
