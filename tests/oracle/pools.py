"""Pools view: counts derived from the reservations there are, limits from policy and snapshot."""

from fractions import Fraction
from math import ceil

from tests.oracle.learned import fallback, learned_ceiling, of
from tests.oracle.policy import is_named, kind
from tests.oracle.state import Reservation, Snapshot, Zone

RETRY_MS_MAX = 30_000
WELL = 200  # reservations that make up for one measured over-launch


def holders(zone: Zone, pool: str) -> list[Reservation]:
    """The reservations that occupy a pool."""
    return zone.holders(pool)


def in_use(zone: Zone, pool: str) -> int:
    """How many reservations occupy a pool."""
    return len(holders(zone, pool))


def fed(zone: Zone, pool: str) -> bool:
    """Whether snapshots of this pool move its ceiling."""
    if kind(pool) == "channel":
        return pool.partition(":")[2] in zone.policy.fed()
    return pool == "mpps" or pool in zone.snapshots


def snapshot(zone: Zone, pool: str) -> Snapshot | None:
    """The newest snapshot of a fed pool."""
    return zone.snapshots.get(pool) if fed(zone, pool) else None


def forget_lapsed(zone: Zone) -> None:
    """Forget snapshots of named pools that are counted no more, or that policy dropped."""
    for pool in [name for name in zone.snapshots if is_named(name)]:
        is_old = zone.now - zone.snapshots[pool].t0 > zone.policy.ms("max_call")
        if is_old or zone.policy.named(pool) is None:
            del zone.snapshots[pool]


def is_held(zone: Zone, one: Reservation, w0: int) -> bool:
    """Whether a snapshot whose window starts at `w0` must contain this call."""
    return one.visible_by < w0 if zone.rules.held_before_window else one.visible_by <= w0


def held_in(zone: Zone, one: Reservation, pool: str) -> bool:
    """Whether the pool's newest snapshot must contain this call."""
    newest = snapshot(zone, pool)
    return newest is not None and is_held(zone, one, newest.w0)


def count_held(zone: Zone, pool: str, w0: int, known_at: int | None) -> int:
    """How many of a pool's reservations a window that starts at `w0` must contain."""
    if known_at is not None and w0 <= known_at:
        return 0
    return sum(is_held(zone, one, w0) for one in holders(zone, pool))


def channel_ceiling(zone: Zone, pool: str) -> int | None:
    """What counts in a channel pool now: what was learned, or what is proved."""
    proved = proved_ceiling(zone, pool)
    if proved is None or zone.policy.zone.get("ceilings") != "learned":
        return proved
    return choose_ceiling(zone, pool, proved)


def choose_ceiling(zone: Zone, pool: str, proved: int) -> int:
    """What counts with `ceilings = "learned"`."""
    reason, learned, estimate = fallback(zone, pool), learned_ceiling(zone, pool), of(zone, pool)
    if learned is None or estimate.estimate is None or reason not in (None, "cold"):
        return proved
    growth = zone.policy.zone.get("growth_per_s") or 0
    age_ms = zone.now - estimate.estimate.t0 + zone.policy.ms("visibility_lag")
    learned = max(0, learned - ceil(growth * age_ms / 1000))
    if reason:
        return min(learned, proved)
    if keeps(zone, pool):
        return max(learned, proved)
    if estimate.frozen_at is not None:
        return learned
    failed = estimate.failed_ceiling
    return max(learned, proved if failed is None else min(proved, failed))


def proved_ceiling(zone: Zone, pool: str) -> int | None:
    """What the newest snapshot, or an older one that stays true, allows in a channel pool now."""
    newest = snapshot(zone, pool)
    if newest is None or newest.ceiling is None:
        return None
    ceilings = [(newest.ceiling, newest.w0)]
    if newest.best is not None and newest.best_w0 is not None and keeps(zone, pool):
        ceilings.append((newest.best, newest.best_w0))
    growth = (zone.policy.zone.get("growth_per_s") or 0) if zone.rules.growth_shrinks else 0
    left = (ceiling - ceil(growth * (zone.now - w0) / 1000) for ceiling, w0 in ceilings)
    return max(0, *left)


def keeps(zone: Zone, pool: str) -> bool:
    """Whether an older snapshot of a pool stays true: others do not take ports, or so many."""
    bounded = zone.policy.zone.get("dedicated") or zone.policy.zone.get("growth_per_s")
    return bool(bounded) and kind(pool) == "channel"


def mpp_limit(zone: Zone, pool: str) -> int:
    """Capacity of an MPP less its part of the foreign use, or its own fresh snapshot."""
    capacity = zone.policy.capacity(pool) or 0
    pushed = zone.snapshots.get(pool)
    if pushed is not None and is_fresh(zone, pushed):
        return capacity if pushed.ceiling is None else min(capacity, pushed.ceiling)
    total = zone.policy.ms("mpp_total")
    part = ceil(zone.foreign * capacity / total) if total else 0
    return max(0, capacity - part)


def is_fresh(zone: Zone, pushed: Snapshot) -> bool:
    """Whether an MPP's own snapshot is new enough to be believed."""
    young = zone.now - pushed.t0 <= zone.policy.ms("max_age")
    return young and pushed.w0 > zone.recover_until


def limit(zone: Zone, pool: str) -> int | None:
    """The most that may be in use in a pool now, None when nothing limits it."""
    known = [n for n in (lasting_limit(zone, pool), set_limit(zone, pool)) if n is not None]
    return min(known, default=None)


def set_limit(zone: Zone, pool: str) -> int | None:
    """The temporary limit, or the one that policy has for the time without."""
    temporary = temporary_limit(zone, pool)
    unset: int | None = zone.policy.rules(pool).get("limit_unset")
    return unset if temporary is None else temporary


def get_learned_gain(zone: Zone, pool: str) -> int:
    """Ports that learned ceilings allow in a channel now beyond the proved one."""
    proved = proved_ceiling(zone, pool)
    if proved is None:
        return 0
    learned = choose_ceiling(zone, pool, proved)
    bounds = [n for n in (zone.policy.capacity(pool), set_limit(zone, pool)) if n is not None]
    return min([learned, *bounds]) - min([proved, *bounds])


def temporary_limit(zone: Zone, pool: str) -> int | None:
    """The temporary limit, while it holds."""
    temporary = zone.set_limits.get(pool)
    return temporary.limit if temporary and zone.now < temporary.until else None


def lasting_limit(zone: Zone, pool: str) -> int | None:
    """What policy and the newest snapshot allow."""
    if pool == "mpps":
        return None
    if kind(pool) == "mpp":
        return mpp_limit(zone, pool)
    newest = snapshot(zone, pool)
    ceiling = newest.ceiling if newest else None
    if kind(pool) == "channel":
        ceiling = channel_ceiling(zone, pool)
    known = [n for n in (zone.policy.capacity(pool), ceiling) if n is not None]
    return min(known, default=None)


def headroom(zone: Zone, pool: str) -> int:
    """Ports of a channel pool that are never granted."""
    most = limit(zone, pool)
    if kind(pool) != "channel" or most is None:
        return 0
    percent = zone.policy.zone.get("headroom_percent") or 0
    always = int(zone.policy.zone.get("headroom") or 0) + ceil(most * percent / 100)
    return always + adaptive_headroom(zone, pool)


def adaptive_headroom(zone: Zone, pool: str) -> int:
    """Ports of a channel pool that are not granted because launches found none."""
    most = adaptive_max(zone, limit(zone, pool) or 0)
    return min(most, ceil(Fraction(zone.adaptive.get(pool, 0), WELL)))


def adaptive_max(zone: Zone, most: int) -> int:
    """The most ports that measured over-launches may take from a limit."""
    percent = int(zone.policy.zone.get("adaptive_percent") or 0)
    return int(zone.policy.zone.get("adaptive") or 0) + most * percent // 100


def raise_headroom(zone: Zone, pool: str) -> None:
    """A launch found no port: one less is granted."""
    bound = adaptive_max(zone, limit(zone, pool) or 0) * WELL
    now = zone.adaptive.get(pool, 0)
    zone.adaptive[pool] = max(now, min(bound, now + WELL))


def lower_headroom(zone: Zone, pool: str) -> None:
    """One more reservation: a little of that is won back."""
    zone.adaptive[pool] = max(0, zone.adaptive.get(pool, 0) - 1)


def room(zone: Zone, pool: str) -> int | None:
    """How many more may be granted in a pool (negative when over its limit)."""
    most = limit(zone, pool)
    return None if most is None else most - headroom(zone, pool) - in_use(zone, pool)


def public_room(zone: Zone, pool: str) -> int | None:
    """Room as answers state it: never below 0."""
    free = room(zone, pool)
    return None if free is None else max(0, free)


def waits_for_recovery(zone: Zone, pool: str) -> bool:
    """Whether a pool needs a newer snapshot before it may be granted from again."""
    newest = snapshot(zone, pool)
    return not_mpp(pool) and newest is not None and newest.w0 <= zone.recover_until


def lacks_snapshot(zone: Zone, pool: str) -> bool:
    """Whether what must be fed has no snapshot, or one without a number and no capacity either."""
    must = (zone.policy.named(pool) or {}).get("needs_snapshot")
    if not must and (kind(pool) != "channel" or not fed(zone, pool)):
        return False
    newest = snapshot(zone, pool)
    if newest is None:
        return True
    return newest.ceiling is None and zone.policy.capacity(pool) is None


def is_stale(zone: Zone, pool: str) -> bool:
    """Whether a pool's newest snapshot is too old to grant from."""
    newest = snapshot(zone, pool)
    if newest is None or not not_mpp(pool):
        return False
    return zone.now - newest.t0 > zone.policy.ms("max_age")


def not_mpp(pool: str) -> bool:
    """Whether a pool's own snapshot may deny: an MPP's is ignored when old."""
    return kind(pool) == "channel" or is_named(pool)


def mean_hold(zone: Zone, pool: str) -> int | None:
    """How long a reservation holds the pool: each new one moves the mean by an eighth."""
    mean: int | None = None
    for held in zone.held_for.get(pool, ()):
        mean = held if mean is None else mean + (held - mean) // 8
    return mean


def retry_after(zone: Zone, pool: str, units: int) -> int:
    """In how many ms so many units are likely to be free."""
    mean, occupied = mean_hold(zone, pool), in_use(zone, pool)
    if mean is None or not occupied:
        return zone.policy.ms("poll_interval")
    likely = ceil(Fraction(mean * units, occupied))
    return max(zone.policy.ms("poll_min"), min(RETRY_MS_MAX, likely))
