"""Entries that cannot be read are set aside, counts that differ from the records are corrected."""

import json
from typing import Any

import pytest
import redis

from tests.support.busy_zone import START_MS, BusyZone, admit, end, launched
from tests.support.zone_state import check_counts, live_records

PREFIX = "uow:{east}:"
LATER_MS = START_MS + 70_000  # a recount is due


@pytest.fixture
def zone(redis_sync: redis.Redis) -> BusyZone:
    return BusyZone(redis_sync)


def call(zone: BusyZone, *ops: dict[str, Any], now: int = START_MS + 2400) -> list[dict[str, Any]]:
    reply = zone.script.call(list(ops), now)
    assert "error" not in reply, reply
    assert all(one.get("error") != "internal" for one in reply["results"]), reply
    return list(reply["results"])


def stats(zone: BusyZone) -> dict[bytes, bytes]:
    return dict(zone.state.read()["stats"])


def test_counts_that_differ_are_corrected(zone: BusyZone, redis_sync: redis.Redis) -> None:
    pool = json.loads(redis_sync.hget(f"{PREFIX}pools", "trunk:x"))
    redis_sync.hset(f"{PREFIX}pools", "trunk:x", json.dumps(pool | {"in_use": 9}))
    redis_sync.hset(f"{PREFIX}shares", "trunk:x a", "7")
    redis_sync.hdel(f"{PREFIX}pools", "campaign:a")
    call(zone, {"op": "time"}, now=LATER_MS)
    check_counts(zone.state.read())
    assert int(stats(zone)[b"recounted"]) == 3


def test_a_recovery_recounts(zone: BusyZone, redis_sync: redis.Redis) -> None:
    redis_sync.hset(f"{PREFIX}shares", "trunk:x a", "7")
    call(zone, {"op": "stepped"})
    call(zone, {"op": "time"})
    check_counts(zone.state.read())


@pytest.mark.parametrize("text", ["", "garbage", "1 2 3", b"\xff\x00"])
def test_an_unreadable_record_stops_nothing(
    zone: BusyZone, redis_sync: redis.Redis, text: str | bytes
) -> None:
    redis_sync.hset(f"{PREFIX}res", "x1", text or "x")
    assert call(zone, end("x1"))[0]["error"] == "unknown_reservation"
    call(zone, admit("n1", "c"), now=START_MS + 90_000)  # every deadline has passed
    call(zone, {"op": "time"}, now=START_MS + 90_001)
    check_counts(zone.state.read())
    assert int(stats(zone)[b"set_aside"]) == 1
    assert redis_sync.hkeys(f"{PREFIX}aside") == [b"reservation x1"]


def test_an_unreadable_pool_is_rebuilt(zone: BusyZone, redis_sync: redis.Redis) -> None:
    redis_sync.hset(f"{PREFIX}pools", "trunk:x", "{")
    call(zone, admit("n1", "b"), launched("x2"))
    call(zone, {"op": "time"})
    check_counts(zone.state.read())
    assert redis_sync.hget(f"{PREFIX}aside", "pool trunk:x") == b"{"


def test_an_unreadable_request_is_decided_anew(zone: BusyZone, redis_sync: redis.Redis) -> None:
    redis_sync.hset(f"{PREFIX}req", "a/x1", "?")
    call(zone, admit("x1", "a", id="n"))
    assert redis_sync.hget(f"{PREFIX}aside", "request a/x1") == b"?"


def test_fields_of_a_later_version_are_kept(zone: BusyZone, redis_sync: redis.Redis) -> None:
    record = redis_sync.hget(f"{PREFIX}res", "x1")
    redis_sync.hset(f"{PREFIX}res", "x1", record.replace(b" 1 x1 a", b" 1;later=7 x1 a"))
    request = redis_sync.hget(f"{PREFIX}req", "a/x1")
    redis_sync.hset(f"{PREFIX}req", "a/x1", request + b" later=8")
    pool = json.loads(redis_sync.hget(f"{PREFIX}pools", "trunk:x"))
    redis_sync.hset(f"{PREFIX}pools", "trunk:x", json.dumps(pool | {"later": 9}))
    call(zone, launched("x1", session="s"), admit("x1", "a", id="n"))
    call(zone, end("x1"))
    assert b" 1;later=7 x1 a" in redis_sync.hget(f"{PREFIX}res", "x1")
    assert redis_sync.hget(f"{PREFIX}req", "a/x1").endswith(b" later=8")
    assert json.loads(redis_sync.hget(f"{PREFIX}pools", "trunk:x"))["later"] == 9
    assert b"x1" not in live_records(zone.state.read())


def test_replicas_that_notice_one_clock_step_cause_one_recovery(zone: BusyZone) -> None:
    def recoveries() -> int:
        return int(stats(zone)[b"recovery"])

    before = recoveries()
    noticed = {"op": "stepped", "since": START_MS + 2300, "ahead_ms": 5000}
    call(zone, noticed, now=START_MS + 9000)
    call(zone, noticed, now=START_MS + 9500)
    assert recoveries() == before + 1
    call(zone, noticed | {"ahead_ms": 9000}, now=START_MS + 9700)  # there was a second step
    assert recoveries() == before + 2
