"""The next port's campaign: guarantees, classes, weighted fairness (docs/decisions/fairness.md).

Only unmet demand is stored. Shares are counted from the reservations.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

from admission.domain.outcomes import Reason
from tests.oracle.policy import kind
from tests.oracle.pools import headroom, holders, in_use, limit
from tests.oracle.rate_limit import get_allowed
from tests.oracle.state import UnmetDemand, Zone

DEMAND_MS_MIN = 1000
BURST_MS = 100
MAKES_CONTEND = tuple(reason for reason in Reason if reason.facts.contends)
UNLIMITED = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The units that a request wants, the fewest it takes, and those within a guarantee."""

    units: int
    at_least: int
    own: int


def share(zone: Zone, pool: str, campaign: str) -> int:
    """Units that a campaign has in a pool."""
    return sum(one.campaign == campaign for one in holders(zone, pool))


def ratio(zone: Zone, pool: str, campaign: str) -> Fraction:
    """What a campaign has in a pool for its weight."""
    return share(zone, pool, campaign) / zone.policy.weight(campaign)


def is_contended(pool: str) -> bool:
    """Whether campaigns compete for a pool: only one uses a campaign's own."""
    return pool != "mpps" and kind(pool) not in ("campaign", "zone")


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
    """Units of a request that are never weighed: those of the campaign's guarantee."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another campaign that contends for a pool, and the units it has there for its weight."""

    ratio: Fraction
    want: int
    by_rate: bool


def list_rivals(zone: Zone, pool: str, campaign: str) -> list[Rival]:
    """Other campaigns of the same or a higher class that contend for a pool."""
    mine = zone.policy.priority(campaign)
    return [
        Rival(ratio=ratio(zone, pool, other), want=demand.want, by_rate=demand.by_rate)
        for (contended, other), demand in zone.unmet_demand.items()
        if contended == pool
        and demand.until >= zone.now
        and other != campaign
        and zone.policy.priority(other) <= mine
    ]


def weigh(
    claim: Claim, mine: int, weight: Fraction, rivals: list[Rival], free: int, starts: int
) -> int:
    """Units of a claim that a campaign may have, as `fair_share.weigh` of the script.

    Either those that leave the campaign with no more for its weight than the least rival, or those
    that leave enough free for every rival that would have less than the campaign has then.

    Args:
        claim: the units wanted, how many at least, and those within the campaign's guarantee.
        mine: units that the campaign has in the pool.
        weight: its weight.
        rivals: campaigns that contend for the pool.
        free: units of the pool that are free and not reserved for others.
        starts: launches that shared rates allow now.
    """
    if not rivals:
        return claim.units
    least = min(rival.ratio for rival in rivals)
    below = [rival for rival in rivals if rival.ratio <= (mine + claim.units) / weight]
    units = sum(rival.want for rival in below)
    launches = sum(rival.want for rival in below if rival.by_rate)
    fair = least * weight
    at_ratio = max(claim.at_least, claim.own, floor(fair - mine) + 1)
    by_ratio = claim.own if mine > fair else at_ratio
    left = free - units
    if launches:
        left = min(left, starts - launches)
    return min(claim.units, max(by_ratio, left if left >= claim.at_least else 0))


def fair_units(zone: Zone, pool: str, campaign: str, claim: Claim, paced: list[str]) -> int:
    """Units of a claim that a pool may give while other campaigns contend for the pool."""
    shared = [one for one in paced if kind(one) != "campaign"]
    return weigh(
        claim,
        share(zone, pool, campaign),
        zone.policy.weight(campaign),
        list_rivals(zone, pool, campaign),
        get_free(zone, pool, campaign),
        min((get_allowed(zone, one) for one in shared), default=UNLIMITED),
    )


def get_free(zone: Zone, pool: str, campaign: str) -> int:
    """Units of a pool that are free and not reserved for others."""
    most = limit(zone, pool)
    if most is None:
        return UNLIMITED
    free = most - headroom(zone, pool) - in_use(zone, pool)
    return free - kept_from(zone, pool, campaign) if kind(pool) == "channel" else free


def get_contended_pool(pool: str, channel: str, mpp: str | None) -> str | None:
    """The pool that a campaign denied by `pool` contends for. A shared rate is its pools'."""
    if pool == "zone":
        return f"channel:{channel}"
    if pool == f"mpp:{mpp}":
        return f"{pool}:{channel}"
    return pool if is_contended(pool) else None


def can_ever_satisfy(zone: Zone, pools: list[str], campaign: str, units: int) -> bool:
    """Whether the pools, with no other campaign in them, would give so many at once."""
    return all(most >= units for pool in pools for most in get_most_ever(zone, pool, campaign))


def get_most_ever(zone: Zone, pool: str, campaign: str) -> Iterator[int]:
    """The units that a pool could ever give a campaign, if anything limits it."""
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


def add_unmet_demand(
    zone: Zone, pool: str, campaign: str, *, units: int, retry_ms: int, by_rate: bool
) -> None:
    """A campaign was denied so many units. Its demand is never shortened."""
    until = zone.now + max(DEMAND_MS_MIN, 2 * retry_ms)
    before = zone.unmet_demand.get((pool, campaign))
    if before is None or before.until < zone.now:
        before = UnmetDemand(until=0, want=0, since=0, burst=0, by_rate=False)
    continues = zone.now - before.since <= BURST_MS
    burst = before.burst + units if continues else units
    zone.unmet_demand[pool, campaign] = UnmetDemand(
        until=max(until, before.until),
        want=max(before.want, burst),
        since=before.since if continues else zone.now,
        burst=burst,
        by_rate=before.by_rate or by_rate,
    )


def shorten_other_demand(zone: Zone, pools: list[str], campaign: str) -> None:
    """Another pool denied the campaign: its demand for these is short from now on."""
    ends = zone.now + DEMAND_MS_MIN
    for pool in pools:
        demand = zone.unmet_demand.get((pool, campaign))
        if demand is not None and demand.until > ends:
            zone.unmet_demand[pool, campaign] = replace(demand, until=ends)
