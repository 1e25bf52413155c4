"""A platform or a ledger that fails, and the poller that goes on."""

import logging

import pytest

from admission.sources.polling.health import SourceState
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

# -- the platform fails


async def test_back_off_grows_and_starts_over_after_a_success(
    make: MakePoller, clock: ManualClock, source: ScriptedSource
) -> None:
    other = ScriptedSource(clock, "agents")  # is well, so the lease is kept
    poller = make(East=zone(source, other))
    source.fail("down")
    await poller.start()

    await clock.advance(30_000)

    pauses = gaps(source.times)
    for failures, pause in enumerate(pauses, start=1):
        assert (
            min(250 * 2 ** (failures - 1), 2_500) <= pause <= min(500 * 2 ** (failures - 1), 5_000)
        )
    assert poller.health("East")[0].consecutive_failures == len(source.queries)

    source.error = None
    await clock.advance(6_000)
    source.fail("down again")
    before = len(source.queries)
    await clock.advance(1_500)
    assert 250 <= gaps(source.times)[before] <= 500


async def test_a_failing_source_leaves_the_others_of_its_zone_alone(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    other = ScriptedSource(clock, "agents")
    other.fail("down")
    poller = make(East=zone(source, other))
    await poller.start()

    await clock.advance(20_500)

    assert gaps(source.times) == [1_000] * 20
    assert ledger.tokens["East"] == 1
    states = {one.source: one.state for one in poller.health("East")}
    assert states == {"epm": SourceState.OK, "agents": SourceState.FAILING}


async def test_a_replica_that_cannot_reach_the_platform_releases_its_lease(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    cut_off = ScriptedSource(clock, takes_ms=3_000)
    cut_off.fail("no answer within 3000 ms")
    first, second = make("a", East=zone(cut_off)), make("b", East=zone(source))
    await first.start()
    await settle()
    await second.start()

    await clock.advance(30_000)

    assert source.times[0] < 10_000  # before the newest snapshot of before would be stale
    assert gaps(source.times)[:10] == [1_000] * 10
    assert state(first) is SourceState.STANDBY
    assert len(cut_off.queries) == 2


async def test_a_replica_alone_takes_its_lease_again(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    poller = make(East=zone(source))
    source.fail("down")
    await poller.start()
    await clock.advance(20_000)
    source.error = None

    await clock.advance(6_000)

    assert state(poller) is SourceState.OK
    assert ledger.holders["East"][0] == "a"


async def test_failures_are_logged_once_per_change(
    make: MakePoller, clock: ManualClock, source: ScriptedSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await make(East=zone(source)).start()
    await clock.advance(3_000)
    for reason in ("refused", "fault 7 at 12:01", "fault 7 at 12:02"):
        source.fail(reason)
        await clock.advance(20_000)
    source.error = None
    await clock.advance(20_000)

    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("WARNING", "zone East: source epm is failing: refused"),
        ("WARNING", "zone East: source epm is failing: fault 7 at 12:01"),
        ("INFO", "zone East: source epm is ok again"),
    ]


async def test_impossible_counts_are_a_failure_without_back_off(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    ledger.refuse = "inconsistent"
    poller = make(East=zone(source))
    await poller.start()

    await clock.advance(2_500)

    health = poller.health("East")[0]
    assert source.times == [0, 1_000, 2_000]
    assert (health.state, health.refused) == (SourceState.FAILING, {"inconsistent": 3})
    assert health.last_error == "its numbers were refused: inconsistent (channel:sip)"


async def test_a_defect_in_a_source_does_not_end_the_polling(
    make: MakePoller, clock: ManualClock, source: ScriptedSource, caplog: pytest.LogCaptureFixture
) -> None:
    source.error = KeyError("oops")
    poller = make(East=zone(source))
    await poller.start()
    await clock.advance(20_000)

    assert len(source.queries) > 3
    assert poller.health("East")[0].last_error == "unexpected KeyError"
    assert [one.exc_info is not None for one in caplog.records] == [True]


# -- the ledger fails


async def test_a_ledger_out_of_reach_is_survived_with_back_off(
    make: MakePoller,
    clock: ManualClock,
    ledger: FakeLedger,
    source: ScriptedSource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    poller = make(East=zone(source))
    ledger.down = True
    await poller.start()
    await clock.advance(20_000)
    assert source.queries == []
    assert state(poller) is SourceState.NEVER

    ledger.down = False
    await clock.advance(5_000)

    assert state(poller) is SourceState.OK
    assert [one.getMessage() for one in caplog.records] == [
        "zone East: source epm is not polled: no ledger",
        "zone East: source epm is polled again",
    ]


async def test_a_ledger_that_fails_at_the_ingest_is_called_less_and_less_often(
    make: MakePoller,
    clock: ManualClock,
    ledger: FakeLedger,
    source: ScriptedSource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger.ingest_down = True
    await make(East=zone(source)).start()

    await clock.advance(30_000)

    assert min(gaps(source.times)[5:]) >= 2_500
    assert len(caplog.records) == 1
