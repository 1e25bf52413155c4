"""Intervals, back-off, leases and turns, as pure rules."""

import asyncio

import pytest

from admission.domain.snapshots import Lease
from admission.sources.polling.schedule import (
    STANDBY_JITTER_MS,
    STANDBY_MS_MAX,
    MinIntervalGate,
    SystemClock,
    ZonePoll,
    backoff_ms,
    idle_interval_ms,
    interval_ms,
    lease_ttl_ms,
    standby_ms,
)
from tests.support.polling import ManualClock, ScriptedSource, make_policy, zone


def poll(**changes: int) -> ZonePoll:
    return zone(ScriptedSource(ManualClock()), **changes)


@pytest.mark.parametrize(
    ("wanted", "idle_ms", "expected"),
    [(False, 0, 1_000), (False, 60_000, 1_000), (False, 60_001, 2_500), (True, 60_001, 200)],
)
def test_an_idle_zone_is_polled_slower_and_a_wanted_one_sooner(
    wanted: bool, idle_ms: int, expected: int
) -> None:
    assert interval_ms(make_policy(), wanted=wanted, idle_ms=idle_ms) == expected


@pytest.mark.parametrize(
    ("interval", "max_age", "expected"),
    [(1_000, 10_000, 2_500), (1_000, 600_000, 5_000), (5_000, 10_000, 5_000), (1_000, 0, 1_000)],
)
def test_an_idle_interval_is_bounded_by_max_age_and_by_the_usual_one(
    interval: int, max_age: int, expected: int
) -> None:
    assert idle_interval_ms(make_policy(poll_interval_ms=interval, max_age_ms=max_age)) == expected


def test_a_poll_min_above_the_interval_has_no_effect() -> None:
    assert interval_ms(make_policy(poll_interval_ms=100), wanted=True, idle_ms=0) == 100


def test_the_lease_outlasts_a_slow_query_an_idle_pause_and_the_queue() -> None:
    assert lease_ttl_ms(poll(), 0) == 2_500 + 3_000 + 1_000
    assert lease_ttl_ms(poll(), 4_000) == 2_500 + 4_000 + 3_000 + 1_000


def test_the_lease_outlasts_the_slowest_of_several_sources() -> None:
    quick, slow = ScriptedSource(ManualClock()), ScriptedSource(ManualClock())
    slow.timeout_ms = 9_000
    both = zone(slow, quick)
    assert lease_ttl_ms(both, 0) == 2_500 + 9_000 + 1_000


@pytest.mark.parametrize(
    ("failures", "low", "high"),
    [(1, 250, 500), (2, 500, 1_000), (3, 1_000, 2_000), (4, 2_000, 4_000), (10**6, 2_500, 5_000)],
)
def test_back_off_doubles_up_to_five_seconds_half_of_it_drawn(
    failures: int, low: int, high: int
) -> None:
    drawn = {backoff_ms(failures) for _ in range(200)}

    assert low <= min(drawn) + (failures > 4) * 2_500
    assert max(drawn) <= high
    assert len(drawn) > 20


@pytest.mark.parametrize(("lapses_in", "at_least"), [(-5, 0), (300, 300), (6_500, STANDBY_MS_MAX)])
def test_a_standby_looks_again_when_the_lease_lapses_but_soon(
    lapses_in: int, at_least: int
) -> None:
    lease = Lease(
        now=1_000, token=None, until=1_000 + lapses_in, wanted=False, idle_ms=0, newest_t0=0
    )

    assert at_least < standby_ms(lease) <= at_least + STANDBY_JITTER_MS


async def test_the_gate_admits_queries_in_order_and_keeps_the_interval() -> None:
    clock = ManualClock()
    interval_gate = MinIntervalGate(400, clock)
    through: list[tuple[str, int, bool]] = []

    async def enter(name: str) -> None:
        waited = await interval_gate.enter()
        through.append((name, clock.now_ms(), waited))

    tasks = [asyncio.create_task(enter(name)) for name in "abc"]
    await clock.advance(2_000)

    assert through == [("a", 0, False), ("b", 400, True), ("c", 800, True)]
    await enter("d")
    assert through[-1] == ("d", 2_000, False)
    await asyncio.gather(*tasks)


async def test_a_gate_without_an_interval_delays_no_query() -> None:
    interval_gate = MinIntervalGate(0, ManualClock())

    assert [await interval_gate.enter() for _ in range(3)] == [False, False, False]


async def test_the_system_clock_is_woken_by_an_event() -> None:
    clock, wake = SystemClock(), asyncio.Event()
    wake.set()
    before = clock.now_ms()

    await clock.sleep(60_000, wake)
    await clock.sleep(1, asyncio.Event())
    await clock.sleep(0)

    assert clock.now_ms() - before < 30_000
