"""Launches per second: a bucket that holds `burst` launches and drains one per interval.

In whole us. Nothing is refunded, and what is denied pours nothing in.
"""

from fractions import Fraction
from math import ceil

from tests.oracle.policy import is_named, kind
from tests.oracle.state import Bucket, Zone

US_PER_S = 1_000_000


def rated(zone: Zone, pools: list[str]) -> list[str]:
    """Whose rate counts for a call that takes these pools: the zone, a whole MPP, the others."""
    own = [pool for pool in pools if is_named(pool) or kind(pool) == "campaign"]
    mpps = [":".join(pool.split(":")[:2]) for pool in pools if kind(pool) == "mpp"]
    return [one for one in ("zone", *mpps, *own) if zone.policy.rules(one).get("rate_per_s")]


def interval_us(zone: Zone, pool: str) -> int:
    """The time that one launch takes of the rate, rounded up."""
    return ceil(US_PER_S / Fraction(str(zone.policy.rules(pool)["rate_per_s"])))


def burst(zone: Zone, pool: str) -> int:
    """How many launches the bucket holds."""
    return int(zone.policy.rules(pool)["burst"])


def is_strict(zone: Zone, pool: str) -> bool:
    """Whether no time of burst / rate may have more than burst launches."""
    return bool(zone.policy.rules(pool).get("rate_strict"))


def list_counted(zone: Zone, pool: str) -> list[tuple[int, int]]:
    """The launches of a strict rate that count: when they count no longer, in ms; how many."""
    time = strict_time(zone, pool)
    counted = zone.launches.get(pool, ())
    return [(closed + time, n) for closed, n in counted if zone.now < closed + time]


def strict_time(zone: Zone, pool: str) -> int:
    """The time in ms in which no more than burst launches may start."""
    return ceil(1000 * burst(zone, pool) / Fraction(str(zone.policy.rules(pool)["rate_per_s"])))


def record_launches(zone: Zone, pool: str, units: int) -> None:
    """Remember launches until the time has passed since the end of their slot."""
    width = max(1, strict_time(zone, pool) // 50)
    closed, kept = (zone.now // width + 1) * width, zone.launches.get(pool, ())
    latest = max([end for end, _ in kept if end > zone.now], default=closed)
    zone.launches[pool] = (*kept, (max(closed, latest), units))


def get_level_us(zone: Zone, pool: str) -> int:
    """How long the bucket takes to drain from now on."""
    bucket = zone.buckets.get(pool, Bucket(level_us=0, at_us=zone.now_us))
    return max(0, bucket.level_us - (zone.now_us - bucket.at_us))


def get_allowed(zone: Zone, pool: str) -> int:
    """How many launches fit into the bucket now."""
    if is_strict(zone, pool):
        return max(0, burst(zone, pool) - sum(n for _, n in list_counted(zone, pool)))
    interval = interval_us(zone, pool)
    return max(0, (burst(zone, pool) * interval - get_level_us(zone, pool)) // interval)


def get_wait_ms(zone: Zone, pool: str, units: int) -> int:
    """In how many ms so many launches fit."""
    if is_strict(zone, pool):
        return get_strict_wait_ms(zone, pool, units)
    interval = interval_us(zone, pool)
    too_much_us = get_level_us(zone, pool) + units * interval - burst(zone, pool) * interval
    return max(1, ceil(Fraction(too_much_us, 1000)))


def get_strict_wait_ms(zone: Zone, pool: str, units: int) -> int:
    """In how many ms so many launches fit into a strict rate."""
    counted = list_counted(zone, pool)
    for end in sorted({end for end, _ in counted}):
        left = sum(n for later, n in counted if later > end)
        if left + units <= burst(zone, pool):
            return max(1, end - zone.now)
    return 1


def consume(zone: Zone, pools: list[str], units: int) -> None:
    """So many launches start now."""
    for pool in rated(zone, pools):
        if is_strict(zone, pool):
            record_launches(zone, pool, units)
            continue
        level = get_level_us(zone, pool) + units * interval_us(zone, pool)
        zone.buckets[pool] = Bucket(level_us=level, at_us=zone.now_us)
