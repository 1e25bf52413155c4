"""Who gets the next port: guarantees, classes, weighted fairness (docs/decisions/fairness.md).

Nothing is kept but who is hungry for what until when. Shares are counted from the reservations.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import floor

from tests.oracle.policy import kind
from tests.oracle.pools import headroom, holders, in_use, limit
from tests.oracle.rates import may_start
from tests.oracle.state import Hunger, Zone

HUNGER_MS_MIN = 1000
BURST_MS = 100
MAKES_CONTEND = ("no_capacity", "mpp_full", "pool_full", "reserved", "fair_share", "rate_limited")


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


def rivals(zone: Zone, pool: str, campaign: str) -> dict[str, Hunger]:
    """Other campaigns of the same or a higher class that are hungry for a pool."""
    mine = zone.policy.priority(campaign)
    return {
        who: hunger
        for (what, who), hunger in zone.hunger.items()
        if what == pool
        and hunger.until >= zone.now
        and who != campaign
        and zone.policy.priority(who) <= mine
    }


def fair_units(
    zone: Zone, pool: str, campaign: str, *, units: int, at_least: int, own: int, paced: list[str]
) -> int:
    """Units of a request that a pool may give while others are hungry for it.

    Those that leave the campaign with no more than the hungriest has for its weight, or those that
    leave enough free for all who would have less than it has then.
    """
    hungry = rivals(zone, pool, campaign)
    if not hungry:
        return units
    ratios = {who: ratio(zone, pool, who) for who in hungry}
    least = min(ratios.values())
    has, weight = share(zone, pool, campaign), zone.policy.weight(campaign)
    below = [hunger for who, hunger in hungry.items() if ratios[who] <= (has + units) / weight]
    spare = left_over(zone, pool, campaign, below, paced)
    allowed = own
    if has / weight <= least:
        allowed = max(at_least, own)
        while allowed < units and (has + allowed) / weight <= least:
            allowed += 1
    return min(units, max(allowed, spare if spare >= at_least else 0))


def left_over(zone: Zone, pool: str, campaign: str, hungry: list[Hunger], paced: list[str]) -> int:
    """Units that the hungry would leave, of the pool and of the rates that turned them away.

    What is kept for others than them is not theirs to leave.
    """
    most = limit(zone, pool)
    left = 10**9
    if most is not None:
        free = most - headroom(zone, pool) - in_use(zone, pool)
        if kind(pool) == "channel":
            free -= kept_from(zone, pool, campaign)
        left = free - sum(one.want for one in hungry)
    launches = sum(one.want for one in hungry if one.by_rate)
    shared = [one for one in paced if kind(one) != "campaign"] if launches else []
    return min([left, *(may_start(zone, one) - launches for one in shared)])


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


def grow_hungry(
    zone: Zone, pool: str, campaign: str, *, units: int, told_ms: int, by_rate: bool
) -> None:
    """A campaign was turned away for so many units. Its hunger is never cut short."""
    until = zone.now + max(HUNGER_MS_MIN, 2 * told_ms)
    before = zone.hunger.get((pool, campaign))
    if before is None or before.until < zone.now:
        before = Hunger(until=0, want=0, since=0, burst=0, by_rate=False)
    goes_on = zone.now - before.since <= BURST_MS
    burst = before.burst + units if goes_on else units
    zone.hunger[pool, campaign] = Hunger(
        until=max(until, before.until),
        want=max(before.want, burst),
        since=before.since if goes_on else zone.now,
        burst=burst,
        by_rate=before.by_rate or by_rate,
    )
