"""A named pool may need a snapshot: an agent whose state is unknown is not called."""

from typing import Any

import pytest
import redis

from tests.support.virtual_zone import StaticZone, ask, decision

NEEDED = {"agent:*": {"limit": 1, "needs_snapshot": True}}


def counted(zone: StaticZone, unused: int) -> None:
    group = {"total": 1, "unused": {"agent:1001": unused}}
    assert zone.one({"op": "ingest", "t0": zone.now_ms, "groups": [group]})["accepted"]


def asked(zone: StaticZone, request: str, agent: str = "agent:1001") -> dict[str, Any]:
    return zone.one(ask(request, pools=[agent]))


def test_a_pool_grants_nothing_before_its_first_snapshot(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync, pools=NEEDED)

    before = asked(zone, "a")
    zone.advance(1_000)  # its window begins after the recovery
    counted(zone, 1)
    after, other = asked(zone, "b"), asked(zone, "c", "agent:1002")

    assert (decision(before), before["pool"]) == ("no_snapshot", "agent:1001")
    assert before["retry_after_ms"] > 0
    assert decision(after) == "grant"
    assert decision(other) == "no_snapshot"


def test_a_busy_agent_is_a_full_pool(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync, pools=NEEDED)
    zone.advance(1_000)
    counted(zone, 0)

    assert decision(asked(zone, "a")) == "pool_full"


def test_a_pool_grants_nothing_between_a_loss_of_state_and_the_next_snapshot(
    redis_sync: redis.Redis,
) -> None:
    zone = StaticZone(redis_sync, pools=NEEDED)
    zone.advance(1_000)  # its window begins after the recovery
    counted(zone, 1)
    assert decision(asked(zone, "a")) == "grant"

    redis_sync.flushall()
    zone.set_policy(pools=NEEDED)
    zone.advance(10)

    assert decision(asked(zone, "b")) == "no_snapshot"


@pytest.mark.parametrize("more", [{}, {"needs_snapshot": False}])
def test_a_pool_that_needs_no_snapshot_is_bounded_by_its_limit_alone(
    redis_sync: redis.Redis, more: dict[str, Any]
) -> None:
    zone = StaticZone(redis_sync, pools={"agent:*": {"limit": 1} | more})

    assert [decision(asked(zone, request)) for request in "ab"] == ["grant", "pool_full"]
