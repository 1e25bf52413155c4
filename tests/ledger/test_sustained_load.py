"""Deadlines under sustained batches: the slice of a call follows what the call brings.

Each reservation has two deadlines in its life: one at which it is ended or expired, one at which
its record is deleted. So a call may have to process twice as many as it adds.
"""

from collections.abc import Callable, Iterator

import pytest
import redis

from tests.support.virtual_zone import Op, StaticZone, ask, end

UNITS = 300  # of a call
TICK_MS = 1000
RETENTION_MS, ANSWER_MS = 2000, 15_000
TICKS = 40
TIMES = {"retention_ms": RETENTION_MS, "answer_within_ms": ANSWER_MS, "max_call_ms": 2 * ANSWER_MS}


def launch_singly(tick: int) -> list[Op]:
    return [ask(f"{tick}-{n}") for n in range(UNITS)]


def launch_in_tens(tick: int) -> list[Op]:
    return [ask(f"{tick}-{n}", count=10, min_count=10) for n in range(UNITS // 10)]


def end_grants(tick: int) -> list[Op]:
    return [end(f"{tick}-{n}") for n in range(UNITS)] if tick >= 0 else []


def ends_after_a_tick(tick: int) -> list[Op]:
    return [*end_grants(tick - 1), *launch_singly(tick)]


# Load -> for how many ticks a record of it lives: until its deadline, and until it is deleted.
LOADS: dict[Callable[[int], list[Op]], int] = {
    ends_after_a_tick: 1 + RETENTION_MS // TICK_MS,
    launch_singly: (ANSWER_MS + RETENTION_MS) // TICK_MS,
    launch_in_tens: (ANSWER_MS + RETENTION_MS) // TICK_MS,
}


@pytest.fixture
def zone(redis_sync: redis.Redis) -> StaticZone:
    zone = StaticZone(redis_sync, capacity={"sip": 100 * UNITS}, **TIMES)
    zone.advance(60_000)
    return zone


def count_records(zone: StaticZone) -> int:
    return int(zone.client.hlen(zone.keys[1])) - 1  # without the sentinel


def lateness_ms(zone: StaticZone) -> int:
    """How long ago the oldest deadline was that is not processed."""
    ((_, oldest),) = zone.client.zrange(zone.keys[3], 0, 0, withscores=True)
    return int(max(0, zone.now_ms - oldest))


def run(zone: StaticZone, load: Callable[[int], list[Op]], ticks: range) -> Iterator[int]:
    """Call once in a tick. -> the records after each call."""
    for tick in ticks:
        zone.call(*load(tick))
        yield count_records(zone)
        zone.advance(TICK_MS)


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.__name__)
def test_records_do_not_accumulate_and_deadlines_are_not_late(
    zone: StaticZone, load: Callable[[int], list[Op]]
) -> None:
    records = list(run(zone, load, range(TICKS)))
    assert max(records) <= UNITS * (LOADS[load] + 2)
    assert lateness_ms(zone) <= 2 * TICK_MS
    assert zone.in_use("channel:sip") <= UNITS * (LOADS[load] + 1)


def test_a_backlog_shrinks_under_the_same_load(zone: StaticZone) -> None:
    launches = range(10)
    for tick in launches:  # without a tick of time between them: all are due at once
        zone.call(*launch_singly(tick))
    zone.advance(ANSWER_MS + 1)
    before = count_records(zone)
    records = list(run(zone, ends_after_a_tick, range(100, 130)))
    assert before == UNITS * len(launches)
    assert records[-1] <= UNITS * (LOADS[ends_after_a_tick] + 2)
    assert lateness_ms(zone) <= 2 * TICK_MS
