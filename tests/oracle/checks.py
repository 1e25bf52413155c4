"""Every reason to say no, in the order in which they are given."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.oracle.breakers import is_half_open, open_for_ms
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
from tests.oracle.rates import may_start, rated, wait_ms
from tests.oracle.state import Zone

ABOUT_ROOM = ("no_capacity", "mpp_full", "campaign_limit", "pool_full", "reserved", "fair_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who asks for how many units of which pools. No rates are looked at when told so."""

    campaign: str
    count: int
    min_count: int
    pools: list[str]
    rates: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check allows, and what to say if that is too little. No `retry_ms`: nobody knows."""

    reason: str
    pool: str | None
    allows: int
    retry_ms: int | None


def run(zone: Zone, wish: Wish) -> tuple[int, Check | None]:
    """The units that may be granted, 0 for a denial, and the check that lowered them last."""
    units, limiting = wish.count, None
    for family in FAMILIES:
        for check in family(zone, wish, units):
            if check.allows < units:
                units, limiting = max(0, check.allows), check
        if units < wish.min_count:
            return 0, limiting
    return units, limiting


def paused(zone: Zone, wish: Wish, units: int) -> Iterator[Check]:
    """An operator said stop: to the zone, a pool, a whole MPP."""
    if "zone" in zone.paused:
        yield Check(reason="zone_paused", pool=None, allows=0, retry_ms=None)
    mpps = [":".join(pool.split(":")[:2]) for pool in wish.pools if kind(pool) == "mpp"]
    stopped = [pool for pool in (*wish.pools, *mpps) if pool in zone.paused]
    yield from (Check(reason="pool_paused", pool=p, allows=0, retry_ms=None) for p in stopped)


def broken(zone: Zone, wish: Wish, units: int) -> Iterator[Check]:
    """Calls of a pool fail. Half open: as many as the request needs at least may try."""
    for pool in wish.pools:
        rest_ms = open_for_ms(zone, pool)
        if rest_ms:
            yield Check(reason="breaker_open", pool=pool, allows=0, retry_ms=rest_ms)
        elif is_half_open(zone, pool):
            poll_ms = zone.policy.ms("poll_interval")
            yield Check(reason="breaker_open", pool=pool, allows=wish.min_count, retry_ms=poll_ms)


def unseen(zone: Zone, wish: Wish, units: int) -> Iterator[Check]:
    """Nothing new enough is known of the platform."""
    poll_ms = zone.policy.ms("poll_interval")
    wait = max(zone.recover_until - zone.now, poll_ms)
    if zone.now < zone.recover_until:
        yield Check(reason="recovering", pool=None, allows=0, retry_ms=wait)
    for reason, is_so, retry_ms in (
        ("recovering", waits_for_recovery, wait),
        ("no_snapshot", lacks_snapshot, poll_ms),
        ("stale_snapshot", is_stale, poll_ms),
    ):
        blind = [pool for pool in wish.pools if is_so(zone, pool)]
        yield from (Check(reason=reason, pool=p, allows=0, retry_ms=retry_ms) for p in blind)


def too_fast(zone: Zone, wish: Wish, units: int) -> Iterator[Check]:
    """More launches per second than somebody may have."""
    if not wish.rates:
        return
    allowed = {pool: may_start(zone, pool) for pool in rated(zone, wish.pools)}
    for pool in tightest(allowed):
        again = max(wish.min_count, allowed[pool] + 1)
        retry_ms = wait_ms(zone, pool, again)
        yield Check(reason="rate_limited", pool=pool, allows=allowed[pool], retry_ms=retry_ms)


def full(reason: str) -> Any:
    """The check of the pools that are called so when they are full."""

    def check(zone: Zone, wish: Wish, units: int) -> Iterator[Check]:
        of_it = [pool for pool in wish.pools if full_reason(pool) == reason]
        free = {pool: free_by_limit(zone, pool) for pool in of_it}
        yield from about_room(zone, wish, reason, free)

    return check


def reserved(zone: Zone, wish: Wish, units: int) -> Iterator[Check]:
    """What is kept free for others: headroom, guarantees, higher classes."""
    channels = [pool for pool in wish.pools if kind(pool) == "channel"]
    free = {pool: unreserved(zone, pool, wish.campaign, units) for pool in channels}
    yield from about_room(zone, wish, "reserved", free)


def fair_share(zone: Zone, wish: Wish, units: int) -> Iterator[Check]:
    """Somebody who has less for its weight was turned away."""
    own = within_guarantee(zone, wish.pools, wish.campaign, units)
    contended = [pool for pool in wish.pools if is_contended(pool)]
    paced = rated(zone, wish.pools) if wish.rates else []
    at_least = wish.min_count
    free: dict[str, int | None] = {
        pool: fair_units(
            zone, pool, wish.campaign, units=units, at_least=at_least, own=own, paced=paced
        )
        for pool in contended
    }
    yield from about_room(zone, wish, "fair_share", free)


FAMILIES = (
    paused,
    broken,
    unseen,
    too_fast,
    full("no_capacity"),
    full("mpp_full"),
    full("campaign_limit"),
    full("pool_full"),
    reserved,
    fair_share,
)


def about_room(zone: Zone, wish: Wish, reason: str, free: dict[str, int | None]) -> Iterator[Check]:
    """A check of units that are free in some pools; None: nothing limits them there."""
    allowed = {pool: max(0, units) for pool, units in free.items() if units is not None}
    for pool in tightest(allowed):
        retry_ms = retry_after(zone, pool, wish.min_count)
        yield Check(reason=reason, pool=pool, allows=allowed[pool], retry_ms=retry_ms)


def tightest(allowed: dict[str, int]) -> list[str]:
    """Of pools checked for the same reason the first that allows least; none if there are none."""
    return [min(allowed, key=lambda name: allowed[name])] if allowed else []


def free_by_limit(zone: Zone, pool: str) -> int | None:
    """Units below the limit of a pool, headroom not counted; None when nothing limits it."""
    most = limit(zone, pool)
    return None if most is None else most - in_use(zone, pool)


def full_reason(pool: str) -> str | None:
    """What it is called when a pool is full."""
    if is_named(pool):
        return "pool_full"
    built_in = {"channel": "no_capacity", "mpp": "mpp_full", "campaign": "campaign_limit"}
    return built_in.get(kind(pool))
