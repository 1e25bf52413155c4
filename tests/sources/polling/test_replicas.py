"""Several pollers and one lease."""

import pytest

from admission.domain.policy.zone import ZonePolicy
from admission.domain.snapshots import Snapshot
from admission.sources.authentication import CredentialGate, CredentialsRefused
from admission.sources.polling.health import SourceState
from admission.sources.polling.schedule import HAND_OVER_MS
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


async def test_only_one_of_two_replicas_polls(
    make: MakePoller, clock: ManualClock, source: ScriptedSource
) -> None:
    first, second = make("a", East=zone(source)), make("b", East=zone(source))
    await first.start()
    await settle()
    await second.start()

    await clock.advance(20_500)

    assert gaps(source.times) == [1_000] * 20
    assert (state(first), state(second)) == (SourceState.OK, SourceState.STANDBY)


async def test_a_holder_whose_queries_take_as_long_as_they_may_keeps_its_lease(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    source.takes_ms = 3_000
    ledger.idle_ms = 60_001
    first, second = make("a", East=zone(source)), make("b", East=zone(source))
    await first.start()
    await settle()
    await second.start()

    await clock.advance(60_000)

    assert ledger.tokens["East"] == 1
    assert state(second) is SourceState.STANDBY


async def test_a_stopped_poller_is_replaced_within_seconds(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    first, second = make("a", East=zone(source)), make("b", East=zone(source))
    await first.start()
    await settle()
    await second.start()
    await clock.advance(500)

    await first.stop()
    await clock.advance(HAND_OVER_MS)

    assert ledger.released == [("East", "a")]
    assert ledger.holders["East"][0] == "b"
    assert first.health("East") == ()


async def test_a_dead_poller_is_replaced_before_the_snapshot_is_stale(
    make: MakePoller, clock: ManualClock, ledger: FakeLedger, source: ScriptedSource
) -> None:
    first, second = make("a", East=zone(source)), make("b", East=zone(source))
    await first.start()
    await settle()
    await second.start()
    await clock.advance(5_500)

    ledger.down = True  # so that nothing is released
    await first.stop()
    ledger.down = False
    await clock.advance(20_000)

    assert ledger.holders["East"][0] == "b"
    assert max(gaps(source.times)) < 10_000


async def test_the_late_answer_of_a_deposed_poller_is_counted_and_nothing_else(
    make: MakePoller,
    clock: ManualClock,
    ledger: FakeLedger,
    source: ScriptedSource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hung = ScriptedSource(clock, takes_ms=30_000)
    first, second = make("a", East=zone(hung)), make("b", East=zone(source))
    await first.start()
    await settle()
    await second.start()

    await clock.advance(30_100)

    refused = [one for one in ledger.ingested if one[3]]
    assert refused == [("East", 0, 1, "deposed")]
    assert ledger.holders["East"][0] == "b"
    health = first.health("East")[0]
    assert health.refused == {"deposed": 1}
    assert health.failures == 0
    assert caplog.records == []


class GuardedSource(ScriptedSource):
    """A source of one replica, with its own password and gate.

    Args:
        tries: when a password was sent, by all replicas.
    """

    def __init__(self, clock: ManualClock, password: str, tries: list[int]) -> None:
        super().__init__(clock)
        self._gate = CredentialGate(lambda: clock.now_ms() / 1000)
        self._password, self._tries = password, tries

    async def query(self, zone: str, policy: ZonePolicy) -> Snapshot:
        async with self._gate.attempt(self._password) as accept:
            if self._password != "right":
                self._tries.append(self._clock.now_ms())
                raise CredentialsRefused("the credentials are refused (401)")
            accept()
            return await super().query(zone, policy)


MINUTE_MS = 60_000


async def test_a_password_that_one_replica_was_refused_is_not_sent_by_all_others_at_once(
    make: MakePoller, clock: ManualClock
) -> None:
    """Five tries within five minutes lock an account in Tomcat; here are seven replicas."""
    tries: list[int] = []
    for name in "abcdefg":
        poller = make(name, East=zone(GuardedSource(clock, "wrong", tries)))
        await poller.start()

    await clock.advance(60 * MINUTE_MS)

    assert tries[0] == 0
    assert min(gaps(tries)) > 5 * MINUTE_MS
    assert len(tries) > 7  # every replica had its turn


async def test_a_replica_with_the_right_password_has_its_turn(
    make: MakePoller, clock: ManualClock
) -> None:
    tries: list[int] = []
    source = GuardedSource(clock, "right", tries)
    first = make("a", East=zone(GuardedSource(clock, "wrong", tries)))
    second = make("b", East=zone(source))
    await first.start()
    await settle()
    await second.start()

    await clock.advance(4 * MINUTE_MS)
    assert (len(tries), source.times) == (1, [])
    await clock.advance(2 * MINUTE_MS)
    assert (len(tries), state(second)) == (1, SourceState.OK)
