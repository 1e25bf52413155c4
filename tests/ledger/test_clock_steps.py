"""A zone's clock that steps ahead is noticed by a replica before its time is returned."""

from typing import Any

import pytest
import redis

from admission.errors import Unavailable
from admission.ledger.clock_steps import SLACK_MS, ClockStepDetector
from admission.ledger.keys import zone_keys
from admission.ledger.ledger import Ledger
from tests.support.manual_time import ManualTime

SENT_S, NOW_MS = 1000.0, 1_790_000_000_000
STATS = zone_keys("adm", "East")[6]


@pytest.mark.parametrize(
    ("passed_s", "ahead_ms", "stepped"),
    [
        (0.0, 0, False),
        (0.0, SLACK_MS, False),
        (0.0, SLACK_MS + 1, True),
        (5.0, 5000, False),
        (5.0, 5002 + SLACK_MS, False),  # clocks drift
        (5.0, 5003 + SLACK_MS, True),
        (5.0, 10_000, True),
        (5.0, 3, False),  # a slow reply
        (5.0, -60_000, False),  # another server, whose clock is behind
    ],
)
def test_zone_time_that_advances_more_than_the_local_clock_is_a_step(
    passed_s: float, ahead_ms: int, stepped: bool
) -> None:
    ours = ManualTime(SENT_S)
    steps = ClockStepDetector(ours)
    steps.record("East", NOW_MS, steps.read_clock())
    ours.now += passed_s
    assert steps.has_stepped("East", NOW_MS + ahead_ms, ours.now) is stepped
    assert not steps.has_stepped("West", NOW_MS + ahead_ms, ours.now), "nothing is known of it"


def test_a_step_that_was_not_recorded_is_found_again() -> None:
    steps = ClockStepDetector(ManualTime(SENT_S))
    steps.record("East", NOW_MS, SENT_S)
    for _ in range(2):
        assert steps.has_stepped("East", NOW_MS + 5000, SENT_S)
    steps.record("East", NOW_MS + 5000, SENT_S)
    assert not steps.has_stepped("East", NOW_MS + 5001, SENT_S)


def recoveries(client: redis.Redis) -> int:
    return int(client.hget(STATS, "recovery") or 0)  # type: ignore[arg-type]


async def test_the_zone_recovers_once_from_a_step_ahead(
    ledger: Ledger, redis_sync: redis.Redis
) -> None:
    ledger._calls._steps = ClockStepDetector(ours := ManualTime(SENT_S))
    await ledger.get_time("East")
    before = recoveries(redis_sync)
    ours.now -= 5.0  # the zone's clock, as seen from ours, is 5 s ahead of what it was
    await ledger.get_time("East")
    assert recoveries(redis_sync) == before + 1
    await ledger.get_time("East")
    assert recoveries(redis_sync) == before + 1


async def test_the_time_is_returned_only_after_the_recovery_has_begun(
    ledger: Ledger, redis_sync: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ledger._calls.evaluate

    async def cut(zone: str, ops: list[dict[str, Any]], waited_s: float = 0.0) -> bytes:
        if ops[0]["op"] == "stepped":
            raise Unavailable("Redis went away")
        return await real(zone, ops, waited_s)

    ledger._calls._steps = ClockStepDetector(ours := ManualTime(SENT_S))
    await ledger.get_time("East")
    before = recoveries(redis_sync)
    ours.now -= 5.0
    with monkeypatch.context() as broken:
        broken.setattr(ledger._calls, "evaluate", cut)
        with pytest.raises(Unavailable):
            await ledger.get_time("East")
    await ledger.get_time("East")
    assert recoveries(redis_sync) == before + 1
