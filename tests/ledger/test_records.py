"""What a reservation is stored as: short, and nothing that was said is lost."""

import json
from typing import Any

import pytest
import redis

from tests.support.virtual_zone import StaticZone, ask, decision, end

BYTES_MAX = 100  # of a plain call's record; a hundred thousand of them are live at once

TEXTS = [
    "plain",
    "two words",
    "a\nb",
    "\n",
    "ends in a space ",
    "ümläut",
    "a\u0000b",
    "=",
    "x" * 128,
]


def many(client: redis.Redis) -> StaticZone:
    return StaticZone(client, capacity={"sip": 5000}, mpps={"m1": {"sip": 100}})


@pytest.mark.parametrize("text", TEXTS)
def test_owner_and_session_are_returned_as_they_were_sent(redis_sync: redis.Redis, text: str):
    zone = many(redis_sync)
    launched = {"op": "launched", "id": ask("x")["id"], "session": text, "port_taken": False}
    zone.call(ask("x", owner=text), launched)
    found = zone.one({"op": "get", "id": ask("x")["id"]})
    assert (found["owner"], found["session"]) == (text, text)


def test_every_time_of_a_call_comes_back(redis_sync: redis.Redis):
    zone = many(redis_sync)
    granted_at = zone.now_ms
    zone.call(ask("x", mpp="m1"))
    zone.advance(700)
    zone.call({"op": "launched", "id": ask("x")["id"], "port_taken": True})
    zone.advance(900)
    zone.call(end("x") | {"ended_at": zone.now_ms - 5})
    found = zone.one({"op": "get", "id": ask("x")["id"]})
    times = ("granted_at", "visible_by", "launched_at", "reported_at", "ended_at", "released_at")
    times_ms = {name: found[name] - granted_at for name in times}
    assert times_ms == {
        "granted_at": 0,
        "visible_by": 1,
        "launched_at": 700,
        "reported_at": 1600,
        "ended_at": 1595,
        "released_at": 1600,
    }
    assert (found["state"], found["outcome"], found["taken"]) == ("ended", "completed", True)
    assert found["pools"] == ["channel:sip", "mpp:m1:sip", "campaign:c"]


@pytest.mark.parametrize("request_id", ["mine", "r-", "r-00000000001", "r-0000000000x", "a:b"])
def test_a_repeat_is_recognised_by_a_name_of_any_form(redis_sync: redis.Redis, request_id: str):
    zone = many(redis_sync)
    asked = ask("x", request_id=request_id)
    first, again = zone.call(asked, asked | {"id": "00000000002"})
    assert again["repeated"] is True
    assert again["reservations"][0]["id"] == first["reservations"][0]["id"]
    assert zone.one({"op": "get", "id": asked["id"]})["request_id"] == request_id


def test_a_plain_record_is_short(redis_sync: redis.Redis):
    zone = many(redis_sync)
    zone.call(ask("x", mpp="m1", owner="dialer-1"))
    assert redis_sync.hstrlen(zone.keys[1], ask("x")["id"]) < BYTES_MAX


def test_a_call_may_touch_more_pools_than_one_command_writes(redis_sync: redis.Redis):
    zone = many(redis_sync)
    asks: list[dict[str, Any]] = [ask(f"n{n}", campaign=f"c{n}") for n in range(2500)]
    assert {one["decision"] for one in zone.call(*asks)} == {"grant"}
    in_use = {one["pool"]: one["in_use"] for one in zone.read_pools()}
    assert in_use["channel:sip"] == 2500
    assert sum(in_use.get(f"campaign:c{n}", 0) for n in range(2500)) == 2500


def test_campaigns_that_policy_does_not_name_leave_no_pool_behind(redis_sync) -> None:
    zone = StaticZone(redis_sync, campaigns={"*": {"rate_per_s": 50, "burst": 5}})
    for n in range(20):
        zone.call(ask(f"r{n}", campaign=f"new-{n}"))
        zone.advance(100)
        zone.call(end(f"r{n}"))
    assert not passing_pools(zone)


def passing_pools(zone: StaticZone) -> list[bytes]:
    """Pools of campaigns and agents that only a wildcard names."""
    names = zone.client.hkeys(zone.keys[4])
    return [name for name in names if name.startswith((b"campaign:new-", b"agent:"))]


BREAKER = {"failures_percent": 100, "min_calls": 100, "window_ms": 60_000}


@pytest.mark.parametrize(
    ("rules", "lasts_ms"),
    [({"breaker": BREAKER}, 60_000), ({"rate_per_s": 0.1, "burst": 1}, 10_000)],
)
def test_a_pool_that_counts_after_its_last_call_is_deleted_when_it_counts_no_more(
    redis_sync: redis.Redis, rules, lasts_ms
):
    zone = StaticZone(redis_sync, campaigns={"*": rules})
    for n in range(2):
        zone.call(ask(f"r{n}", campaign=f"new-{n}"), end(f"r{n}"))
    assert len(passing_pools(zone)) == 2
    zone.advance(lasts_ms + 1)
    zone.one({"op": "time"})
    assert not passing_pools(zone)


def test_a_breaker_counts_calls_of_a_campaign_that_had_none_up_in_between(redis_sync):
    breaker = BREAKER | {"min_calls": 2}
    zone = StaticZone(redis_sync, campaigns={"*": {"breaker": breaker}})
    zone.call(ask("r1", campaign="new-1"), end("r1", outcome="failed"))
    zone.advance(50_000)
    zone.call(ask("r2", campaign="new-1"), end("r2", outcome="failed"))
    zone.advance(20_000)
    assert zone.one(ask("r3", campaign="new-1"))["reason"] == "breaker_open"


def test_an_open_breaker_of_a_campaign_without_calls_is_not_forgotten(redis_sync):
    zone = StaticZone(redis_sync, campaigns={"*": {"breaker": BREAKER | {"min_calls": 1}}})
    zone.call(ask("r1", campaign="new-1"), end("r1", outcome="failed"))
    zone.advance(3_600_000)
    zone.one({"op": "time"})
    first, second = zone.call(ask("r2", campaign="new-1"), ask("r3", campaign="new-1"))
    assert (decision(first), decision(second)) == ("grant", "breaker_open")


def test_a_temporary_limit_leaves_no_pool_behind(redis_sync):
    zone = StaticZone(redis_sync, campaigns={"*": {}})
    zone.one({"op": "limit", "pool": "campaign:new-1", "limit": 3, "ttl_ms": 5000})
    zone.advance(5001)
    zone.one({"op": "time"})
    assert not passing_pools(zone)


def test_contention_for_a_removed_agent_leaves_no_pool_behind(redis_sync):
    zone = StaticZone(redis_sync, pools={"agent:*": {"limit": 1}})
    zone.call(ask("r1", pools=["agent:1"]), ask("r2", pools=["agent:1"]), end("r1"))
    assert passing_pools(zone)
    for _ in range(2):
        zone.advance(60_001)
        zone.one({"op": "time"})
    assert not passing_pools(zone)


def test_a_pool_that_left_the_policy_is_deleted(redis_sync):
    zone = StaticZone(redis_sync, campaigns={"new-1": {}, "*": {}})
    zone.call(ask("r1", campaign="new-1"))
    zone.advance(100)
    zone.call(end("r1"))
    assert passing_pools(zone)
    zone.set_policy(campaigns={"*": {}})
    assert not passing_pools(zone)


SNAPSHOT_OF_AGENT = {"op": "ingest", "groups": [{"total": 1, "unused": {"agent:1": 1}}]}
LONGEST_CALL_MS = 3_600_000  # `max_call_ms`


def test_an_agent_that_is_counted_is_examined_when_its_snapshot_may_have_lapsed(redis_sync):
    zone = StaticZone(redis_sync, pools={"agent:*": {"limit": 1}})
    zone.advance(60_000)  # long after the zone was new
    lapses = zone.now_ms + LONGEST_CALL_MS + 1
    zone.one(SNAPSHOT_OF_AGENT | {"t0": zone.now_ms})
    zone.call(ask("r1", pools=["agent:1"]), ask("r2", pools=["agent:1"]), end("r1"))
    zone.advance(1)
    zone.one(SNAPSHOT_OF_AGENT | {"t0": zone.now_ms})
    assert json.loads(redis_sync.hget(zone.keys[4], "agent:1"))["hungry"]
    deadlines = dict(redis_sync.zrange(zone.keys[3], 0, -1, withscores=True))
    assert deadlines[b"pool agent:1"] == lapses


def test_an_agent_without_snapshots_leaves_nothing_behind(redis_sync):
    zone = StaticZone(redis_sync, pools={"agent:*": {"limit": 1}})
    keys = len(redis_sync.keys())
    zone.advance(60_000)
    zone.one(SNAPSHOT_OF_AGENT | {"t0": zone.now_ms})
    zone.advance(LONGEST_CALL_MS - 1000)
    zone.one(SNAPSHOT_OF_AGENT | {"t0": zone.now_ms})
    zone.advance(1002)
    zone.one({"op": "time"})
    assert passing_pools(zone) == [b"agent:1"]  # its newest snapshot counts
    zone.advance(LONGEST_CALL_MS)
    zone.one({"op": "time"})
    assert not passing_pools(zone)
    assert len(redis_sync.keys()) == keys
    assert not [name for name in redis_sync.zrange(zone.keys[3], 0, -1) if b"agent" in name]
