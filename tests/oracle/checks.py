"""Every reason for a denial, in the order of the checks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from admission.domain.outcomes import Reason
from tests.oracle.circuit_breaker import is_half_open, open_for_ms
from tests.oracle.fairness import Claim as FairClaim
from tests.oracle.fairness import fair_units, is_contended, unreserved, within_guarantee
from tests.oracle.policy import is_named, kind
from tests.oracle.pools import (
    in_use,
    is_stale,
    lacks_snapshot,
    limit,
    retry_after,
    waits_for_recovery,
)
from tests.oracle.rate_limit import get_allowed, get_wait_ms, rated
from tests.oracle.state import Zone

ABOUT_ROOM = tuple(reason for reason in Reason if reason.facts.about_room)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The units of pools that a campaign requests; `rates`: whether rates count."""

    campaign: str
    count: int
    min_count: int
    pools: list[str]
    rates: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The units that one check allows, and the denial otherwise; no `retry_ms`: unknown."""

    reason: str
    pool: str | None
    allows: int
    retry_ms: int | None


def run(zone: Zone, claim: Claim) -> tuple[int, Check | None]:
    """The units that may be granted, 0 for a denial, and the check that lowered them last."""
    units, limiting = claim.count, None
    for family in FAMILIES:
        for check in family(zone, claim, units):
            if check.allows < units:
                units, limiting = max(0, check.allows), check
        if units < claim.min_count:
            return 0, limiting
    return units, limiting


def paused(zone: Zone, claim: Claim, units: int) -> Iterator[Check]:
    """An operator paused the zone, a pool or a whole MPP."""
    if "zone" in zone.paused:
        yield Check(reason="zone_paused", pool=None, allows=0, retry_ms=None)
    mpps = [":".join(pool.split(":")[:2]) for pool in claim.pools if kind(pool) == "mpp"]
    stopped = [pool for pool in (*claim.pools, *mpps) if pool in zone.paused]
    yield from (Check(reason="pool_paused", pool=p, allows=0, retry_ms=None) for p in stopped)


def breaker_open(zone: Zone, claim: Claim, units: int) -> Iterator[Check]:
    """Calls of a pool fail. Half open: as many as the request needs at least may try."""
    for pool in claim.pools:
        rest_ms = open_for_ms(zone, pool)
        if rest_ms:
            yield Check(reason="breaker_open", pool=pool, allows=0, retry_ms=rest_ms)
        elif is_half_open(zone, pool):
            poll_ms = zone.policy.ms("poll_interval")
            yield Check(reason="breaker_open", pool=pool, allows=claim.min_count, retry_ms=poll_ms)


def no_valid_snapshot(zone: Zone, claim: Claim, units: int) -> Iterator[Check]:
    """The platform's state is unknown, or known too long ago."""
    poll_ms = zone.policy.ms("poll_interval")
    wait = max(zone.recover_until - zone.now, poll_ms)
    if zone.now < zone.recover_until:
        yield Check(reason="recovering", pool=None, allows=0, retry_ms=wait)
    for reason, is_so, retry_ms in (
        ("recovering", waits_for_recovery, wait),
        ("no_snapshot", lacks_snapshot, poll_ms),
        ("stale_snapshot", is_stale, poll_ms),
    ):
        blind = [pool for pool in claim.pools if is_so(zone, pool)]
        yield from (Check(reason=reason, pool=p, allows=0, retry_ms=retry_ms) for p in blind)


def rate_limited(zone: Zone, claim: Claim, units: int) -> Iterator[Check]:
    """More launches per second than a rate allows."""
    if not claim.rates:
        return
    allowed = {pool: get_allowed(zone, pool) for pool in rated(zone, claim.pools)}
    for pool in tightest(allowed):
        again = max(claim.min_count, allowed[pool] + 1)
        retry_ms = get_wait_ms(zone, pool, again)
        yield Check(reason="rate_limited", pool=pool, allows=allowed[pool], retry_ms=retry_ms)


def full(reason: str) -> Any:
    """The check of the pools with that reason when they are full."""

    def check(zone: Zone, claim: Claim, units: int) -> Iterator[Check]:
        of_it = [pool for pool in claim.pools if full_reason(pool) == reason]
        free = {pool: free_by_limit(zone, pool) for pool in of_it}
        yield from limit_by_room(zone, claim, reason, free)

    return check


def reserved(zone: Zone, claim: Claim, units: int) -> Iterator[Check]:
    """Units reserved for others: headroom, guarantees, higher classes."""
    channels = [pool for pool in claim.pools if kind(pool) == "channel"]
    free = {pool: unreserved(zone, pool, claim.campaign, units) for pool in channels}
    yield from limit_by_room(zone, claim, "reserved", free)


def fair_share(zone: Zone, claim: Claim, units: int) -> Iterator[Check]:
    """A campaign that has less for its weight was denied units."""
    own = within_guarantee(zone, claim.pools, claim.campaign, units)
    wanted = FairClaim(units=units, at_least=claim.min_count, own=own)
    paced = rated(zone, claim.pools) if claim.rates else []
    contended = [pool for pool in claim.pools if is_contended(pool)]
    free: dict[str, int | None] = {
        pool: fair_units(zone, pool, claim.campaign, wanted, paced) for pool in contended
    }
    yield from limit_by_room(zone, claim, "fair_share", free)


FAMILIES = (
    paused,
    breaker_open,
    no_valid_snapshot,
    rate_limited,
    full("no_capacity"),
    full("mpp_full"),
    full("campaign_limit"),
    full("pool_full"),
    reserved,
    fair_share,
)


def limit_by_room(
    zone: Zone, claim: Claim, reason: str, free: dict[str, int | None]
) -> Iterator[Check]:
    """A check of units that are free in some pools; None: nothing limits them there."""
    allowed = {pool: max(0, units) for pool, units in free.items() if units is not None}
    for pool in tightest(allowed):
        retry_ms = retry_after(zone, pool, claim.min_count)
        yield Check(reason=reason, pool=pool, allows=allowed[pool], retry_ms=retry_ms)


def tightest(allowed: dict[str, int]) -> list[str]:
    """Of pools checked for the same reason the first that allows least; none if there are none."""
    return [min(allowed, key=lambda name: allowed[name])] if allowed else []


def get_used_and_limit(zone: Zone, reason: str, pool: str) -> tuple[int, int | None]:
    """The units that count against the limit behind a reason, and that limit."""
    return in_use(zone, pool), limit(zone, pool)


def free_by_limit(zone: Zone, pool: str) -> int | None:
    """Units below the limit of a pool, headroom not counted; None when nothing limits it."""
    most = limit(zone, pool)
    return None if most is None else most - in_use(zone, pool)


def full_reason(pool: str) -> str | None:
    """The reason when a pool is full."""
    if is_named(pool):
        return "pool_full"
    built_in = {"channel": "no_capacity", "mpp": "mpp_full", "campaign": "campaign_limit"}
    return built_in.get(kind(pool))
