"""When a poller polls, and what changes while it runs."""

import asyncio

import pytest

from admission.sources.polling.health import PollEvent, SourceState
from admission.sources.polling.poller import Poller
from tests.support.polling import (
    FakeLedger,
    MakePoller,
    ManualClock,
    ScriptedSource,
    gaps,
    settle,
    state,
    zone,
)

# -- the usual


async def test_a_zone_is_polled_at_its_interval(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    poller = make(East=zone(source, source_zone="east-1"))
    assert poller.health("East") == ()

    await poller.start()
    assert state(poller) is SourceState.NEVER
    await clock.advance(3_500)

    assert source.queries == [(at_ms, "east-1", ("sip",)) for at_ms in (0, 1_000, 2_000, 3_000)]
    assert [t0 for _, t0, _, _ in ledger.ingested] == source.times
    health = poller.all_health()["East"][0]
    assert (health.state, health.polls, health.failures) == (SourceState.OK, 4, 0)
    assert (health.last_success_age_ms, health.state_age_ms) == (500, 3_500)


async def test_a_slow_platform_is_asked_one_query_at_a_time(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    source.takes_ms = 2_900
    await make(East=zone(source)).start()

    await clock.advance(9_000)

    assert source.times == [0, 2_900, 5_800, 8_700]
    assert [t0 for _, t0, _, _ in ledger.ingested] == [0, 2_900, 5_800]  # from before the query


async def test_an_idle_zone_is_polled_slower(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    ledger.idle_ms = 60_001
    await make(East=zone(source)).start()

    await clock.advance(5_000)

    assert source.times == [0, 2_500, 5_000]


async def test_starting_twice_polls_once(
    make: MakePoller, clock: ManualClock, source: ScriptedSource
) -> None:
    poller = make(East=zone(source))
    await poller.start()
    await poller.start()

    await clock.advance(500)

    assert source.times == [0]


# -- sooner


async def test_a_requested_poll_is_sooner_but_not_too_soon(
    make: MakePoller, clock: ManualClock, source: ScriptedSource
) -> None:
    poller = make(East=zone(source))
    await poller.start()
    await clock.advance(50)
    for _ in range(100):
        poller.request_poll("East")
    await clock.advance(549)
    assert source.times == [0, 200]  # poll_min after the first began, and only once

    poller.request_poll("East")
    poller.request_poll("West")  # not polled here
    await settle()
    await clock.advance(1_100)

    assert source.times == [0, 200, 599, 1_599]


async def test_a_poll_requested_during_a_query_follows_it(
    make: MakePoller, clock: ManualClock, source: ScriptedSource
) -> None:
    source.takes_ms = 100
    poller = make(East=zone(source))
    await poller.start()
    await clock.advance(50)

    poller.request_poll("East")
    await clock.advance(1_000)

    assert source.times == [0, 200]


async def test_a_lease_that_says_wanted_keeps_the_polls_close(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    await make(East=zone(source)).start()
    await clock.advance(500)
    ledger.wanted.add("East")  # wanted by another replica

    await clock.advance(1_500)

    assert source.times == [0, 1_000, 1_200]


async def test_back_off_is_not_cut_short(
    make: MakePoller, clock: ManualClock, source: ScriptedSource
) -> None:
    poller = make(East=zone(source))
    source.fail("down")
    await poller.start()

    for _ in range(100):
        poller.request_poll("East")
        await clock.advance(100)

    assert len(source.queries) <= 6


async def test_a_source_keeps_its_interval_over_all_zones(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger
) -> None:
    source = ScriptedSource(clock, min_interval_ms=400)
    names = ("North", "East", "South")
    poller = make(**{name: zone(source, source_zone=name) for name in names})
    await poller.start()
    for _ in range(100):
        for name in names:
            poller.request_poll(name)
        await clock.advance(100)

    assert min(gaps(source.times)) >= 400
    asked = [one.source_zone for one in source.queries]
    assert {asked.count(name) for name in names} <= {8, 9}
    assert [t0 for _, t0, _, _ in ledger.ingested] == source.times  # not from before the wait
    ttls = {ttl_ms for _, _, ttl_ms in ledger.lease_calls}
    assert ttls == {2_500 + 3 * 400 + 3_000 + 1_000}  # it outlasts the queue


# -- changes while running


async def test_a_new_interval_has_effect_at_once(
    make: MakePoller, clock: ManualClock, source: ScriptedSource
) -> None:
    poller = make(East=zone(source, poll_interval_ms=60_000))
    await poller.start()
    await clock.advance(5_000)

    await poller.configure({"East": zone(source, poll_interval_ms=2_000)})
    await clock.advance(2_500)

    assert source.times == [0, 5_000, 7_000]
    assert poller.health("East")[0].polls == 3


async def test_zones_and_sources_come_and_go(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    renewed, other = ScriptedSource(clock), ScriptedSource(clock, "agents")
    poller = make(East=zone(source), West=zone(source, other))
    await poller.start()
    await clock.advance(500)

    await poller.configure({"West": zone(renewed, other), "North": zone(renewed)})
    await clock.advance(2_000)

    assert ledger.released == [("East", "a")]
    assert len(source.queries) == 2
    assert [len(one.queries) for one in (other, renewed)] == [3, 6]
    assert set(poller.all_health()) == {"West", "North"}
    assert [one.source for one in poller.health("West")] == ["epm", "agents"]


async def test_a_poller_configured_before_its_start_waits_for_the_start(
    make: MakePoller, clock: ManualClock, source: ScriptedSource
) -> None:
    poller = make()
    await poller.configure({"East": zone(source)})
    await clock.advance(500)
    assert source.queries == []

    await poller.start()
    await clock.advance(500)
    assert source.times == [500]


async def test_stopping_ends_a_query_under_way_and_leaves_no_task(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger
) -> None:
    hung = ScriptedSource(clock, takes_ms=10**9)
    poller = make(East=zone(hung), West=zone(hung))
    await poller.start()
    await clock.advance(100)

    await poller.stop()
    await poller.stop()

    assert sorted(ledger.released) == [("East", "a"), ("West", "a")]
    assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("poll ")]


# -- listeners


async def test_listeners_receive_each_event_and_may_fail(
    clock: ManualClock,
    ledger: FakeLedger,
    source: ScriptedSource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    received: list[PollEvent] = []

    def listen(event: PollEvent) -> None:
        received.append(event)
        raise RuntimeError("a broken metric")

    source.takes_ms = 50
    zones = {"East": zone(source)}
    poller = Poller(ledger, holder="a", zones=zones, clock=clock, on_event=listen)
    await poller.start()
    await clock.advance(900)
    ledger.refuse = "inconsistent"
    await clock.advance(1_000)
    source.fail("down")
    await clock.advance(1_000)
    await poller.stop()

    assert [(one.kind, one.duration_ms, one.reason) for one in received[:3]] == [
        ("accepted", 50, ""),
        ("refused", 50, "inconsistent"),
        ("failed", 50, "down"),
    ]
