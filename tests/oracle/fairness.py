"""Who gets the next port: guarantees, classes, and weighted fairness by hunger (design section 5).

Nothing is kept but who is hungry for what until when. Shares are counted from the reservations.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import floor

from tests.oracle.policy import kind
from tests.oracle.pools import headroom, holders, in_use, limit
from tests.oracle.state import Zone

HUNGER_MS_MIN = 1000
MAKES_HUNGRY = ("no_capacity", "mpp_full", "pool_full", "fair_share", "rate_limited")


def share(zone: Zone, pool: str, campaign: str) -> int:
    """Units that a campaign has in a pool."""
    return sum(one.campaign == campaign for one in holders(zone, pool))


def ratio(zone: Zone, pool: str, campaign: str) -> Fraction:
    """What a campaign has in a pool for its weight."""
    return share(zone, pool, campaign) / zone.policy.weight(campaign)


def is_contended(pool: str) -> bool:
    """Whether campaigns compete for a pool: nobody else wants a campaign's own."""
    return kind(pool) not in ("campaign", "mpps", "zone")


def guarantee(zone: Zone, pool: str, campaign: str) -> int:
    """The units of a pool that are a campaign's own, shrunk where all together are too many."""
    guarantees = zone.policy.guarantees()
    if pool != zone.policy.zone.get("guaranteed"):
        return 0
    own, total, most = guarantees.get(campaign, 0), sum(guarantees.values()), limit(zone, pool)
    return own if most is None or total <= most else floor(Fraction(own * most, total))


def unmet(zone: Zone, pool: str, campaign: str) -> int:
    """Units of its guarantee that a campaign does not use."""
    return max(0, guarantee(zone, pool, campaign) - share(zone, pool, campaign))


def within_guarantee(zone: Zone, pools: list[str], campaign: str, units: int) -> int:
    """Units of a request that nobody weighs: those of the campaign's guarantee."""
    return min(units, sum(unmet(zone, pool, campaign) for pool in pools))


def kept_from(zone: Zone, pool: str, campaign: str) -> int:
    """Units kept free for others when this campaign asks for more than its guarantee."""
    reserve = zone.policy.zone.get("priority_reserve") or {}
    others = [name for name in zone.policy.guarantees() if name != campaign]
    for_class = int(reserve.get(str(zone.policy.priority(campaign)), 0))
    return for_class + sum(unmet(zone, pool, other) for other in others)


def unreserved(zone: Zone, pool: str, campaign: str, units: int) -> int | None:
    """Units of a channel pool that a campaign may have; None when nothing limits the pool."""
    most = limit(zone, pool)
    if most is None:
        return None
    free = most - headroom(zone, pool) - in_use(zone, pool)
    own = min(units, unmet(zone, pool, campaign), free)
    return max(0, own, min(units, free - kept_from(zone, pool, campaign)))


def rivals(zone: Zone, pool: str, campaign: str) -> list[str]:
    """Other campaigns of the same or a higher class that are hungry for a pool."""
    hungry = [
        who for (what, who), until in zone.hunger.items() if what == pool and until >= zone.now
    ]
    mine = zone.policy.priority(campaign)
    return [who for who in hungry if who != campaign and zone.policy.priority(who) <= mine]


def fair_units(zone: Zone, pool: str, campaign: str, *, units: int, at_least: int, own: int) -> int:
    """Units of a request that a pool may give while others are hungry for it."""
    hungry = rivals(zone, pool, campaign)
    if not hungry:
        return units
    least = min(ratio(zone, pool, other) for other in hungry)
    has, weight = share(zone, pool, campaign), zone.policy.weight(campaign)
    if has / weight > least:
        return own
    allowed = max(at_least, own)
    while allowed < units and (has + allowed) / weight <= least:
        allowed += 1
    return min(units, allowed)


def hungry_for(pool: str, channel: str, mpp: str | None) -> str | None:
    """The contended pool that a denial by `pool` makes hungry for. A shared rate is its pools'."""
    if pool == "zone":
        return f"channel:{channel}"
    if pool == f"mpp:{mpp}":
        return f"{pool}:{channel}"
    return pool if is_contended(pool) else None


def could_ever_give(zone: Zone, pools: list[str], campaign: str, units: int) -> bool:
    """Whether the pools, with nobody else in them, would give so many at once."""
    return all(most >= units for pool in pools for most in most_ever(zone, pool, campaign))


def most_ever(zone: Zone, pool: str, campaign: str) -> Iterator[int]:
    """What a pool could ever give a campaign, if anything limits it."""
    most = limit(zone, pool)
    if most is None:
        return
    others = [name for name in zone.policy.guarantees() if name != campaign]
    kept = sum(guarantee(zone, pool, other) for other in others)
    if kind(pool) == "channel":
        reserve = zone.policy.zone.get("priority_reserve") or {}
        kept += int(reserve.get(str(zone.policy.priority(campaign)), 0))
    usable = most - headroom(zone, pool)
    yield max(usable - kept, min(usable, guarantee(zone, pool, campaign)))


def grow_hungry(zone: Zone, pool: str, campaign: str, told_ms: int) -> None:
    """A campaign was turned away. Its hunger is never cut short."""
    until = zone.now + max(HUNGER_MS_MIN, 2 * told_ms)
    key = (pool, campaign)
    still = zone.hunger.get(key, 0)
    zone.hunger[key] = max(until, still)
