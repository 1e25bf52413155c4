"""Circuit breakers: a campaign or named pool whose calls fail is denied for a pause, then probed.

Closed: the calls of the last window are counted. Open: denied. Half open, once the pause is over:
one request at a time may try; the end of its call closes the breaker or opens it again.
"""

from dataclasses import replace
from typing import Any

from tests.oracle.state import Breaker, Reservation, Zone

SLOTS = 12
FAILURES = ("failed", "no_resource")


def rules_of(zone: Zone, pool: str) -> dict[str, Any] | None:
    """The breaker's part of the policy, None for a pool that has none."""
    return zone.policy.rules(pool).get("breaker")


def breaker_of(zone: Zone, pool: str) -> Breaker:
    """The breaker of a pool; closed when nothing else is known."""
    return zone.breakers.get(pool, Breaker())


def open_for_ms(zone: Zone, pool: str) -> int:
    """For how many ms the pool is denied: the pause, or while a probe is under way."""
    if rules_of(zone, pool) is None:
        return 0
    breaker = breaker_of(zone, pool)
    if breaker.open_until is None:
        return 0
    ends = breaker.open_until
    if zone.now >= ends:
        ends = breaker.probe_until or 0
    return max(0, ends - zone.now)


def is_half_open(zone: Zone, pool: str) -> bool:
    """Whether the next request is the probe."""
    has_opened = breaker_of(zone, pool).open_until is not None
    return rules_of(zone, pool) is not None and has_opened and not open_for_ms(zone, pool)


def start_probe(zone: Zone, pools: list[str]) -> None:
    """A request was granted: where a breaker is half open it is the probe."""
    for pool in pools:
        if is_half_open(zone, pool):
            until = zone.now + zone.policy.ms("answer_within")
            zone.breakers[pool] = replace(breaker_of(zone, pool), probe_until=until)


def record_outcome(zone: Zone, one: Reservation) -> None:
    """A call ended: count its outcome in each of its pools."""
    for pool in one.pools:
        if rules_of(zone, pool) is not None:
            zone.breakers[pool] = after(zone, pool, one)


def after(zone: Zone, pool: str, one: Reservation) -> Breaker:
    """The breaker after the end of a call."""
    breaker = breaker_of(zone, pool)
    if breaker.open_until is not None:
        return count_probe(zone, pool, one)
    if one.outcome == "not_launched":
        return breaker
    window = (rules_of(zone, pool) or {})["window"]
    before = breaker.calls if breaker.window == window else ()  # another policy: another count
    calls = (*before, (zone.now, one.outcome in FAILURES))
    return (
        open_breaker(zone, pool)
        if has_too_many_failures(zone, pool, calls)
        else Breaker(calls=calls, window=window)
    )


def count_probe(zone: Zone, pool: str, one: Reservation) -> Breaker:
    """Only a probe, a call granted after the pause, changes an open breaker."""
    breaker = breaker_of(zone, pool)
    if one.granted_at < (breaker.open_until or 0):
        return breaker
    if one.outcome == "not_launched":
        return replace(breaker, probe_until=None)
    return open_breaker(zone, pool) if one.outcome in FAILURES else Breaker()


def open_breaker(zone: Zone, pool: str) -> Breaker:
    """A pause begins, and the counts are dropped."""
    return Breaker(open_until=zone.now + (rules_of(zone, pool) or {})["pause"])


def has_too_many_failures(zone: Zone, pool: str, calls: tuple[tuple[int, bool], ...]) -> bool:
    """Whether too many of the calls of the window failed. The window moves on in twelve parts."""
    rules = rules_of(zone, pool) or {}
    part = rules["window"] / SLOTS
    recent = [failed for at, failed in calls if at // part > zone.now // part - SLOTS]
    enough = len(recent) >= rules["min_calls"]
    return enough and 100 * sum(recent) >= rules["failures_percent"] * len(recent)
