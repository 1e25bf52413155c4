"""Waiting in the ledger: which changes notify replicas, and which do not."""

from typing import Any

import pytest
import redis

from tests.support.virtual_zone import StaticZone, ask, beat, big, decision, end, wait, withdraw

SNAPSHOTS = {"source": "push", "capacity": {}}


def test_nothing_is_notified_without_a_waiter(zone: StaticZone) -> None:
    zone.call(end("x"))
    assert zone.notifications == []


def test_freed_ports_notify_once_in_a_call(zone: StaticZone) -> None:
    zone.call(wait("w1"), wait("v1", campaign="d"))
    zone.call(end("x"), end("y"))
    assert zone.notifications == ["room East"]


def test_a_port_freed_and_granted_in_one_call_does_not_notify(zone: StaticZone) -> None:
    zone.call(wait("w1"))
    zone.call(end("x"), wait("w1"), wait("w2"))
    assert zone.notifications == []


def test_a_port_freed_after_the_first_waiter_of_the_same_call_notifies(zone: StaticZone) -> None:
    zone.call(wait("w1"), end("x"))
    assert zone.notifications == ["room East"]


def test_nothing_is_notified_without_more_room(zone: StaticZone) -> None:
    zone.call(wait("w1"))
    for op in (beat(), wait("w1"), wait("w2"), ask("p"), {"op": "status"}, {"op": "time"}):
        zone.call(op)
        assert zone.notifications == [], op


@pytest.mark.parametrize(
    "op",
    [
        {"op": "pause", "on": False},
        {"op": "limit", "pool": "channel:sip", "limit": 2, "ttl_ms": 9000},
    ],
)
def test_a_resume_and_a_higher_limit_notify(redis_sync: redis.Redis, op: dict[str, Any]) -> None:
    zone = StaticZone(redis_sync)
    closing = {"pause": {"on": True}, "limit": {"pool": "channel:sip", "limit": 0, "ttl_ms": 9000}}
    zone.call({"op": op["op"], **closing[op["op"]]})
    assert "waiting" in zone.one(wait("w"))
    zone.call(op)
    assert zone.notifications == ["room East"]
    assert decision(zone.one(wait("w"))) == "grant"


def test_a_new_policy_notifies(zone: StaticZone) -> None:
    zone.call(wait("w"))
    zone.set_policy(capacity={"sip": 3})
    assert "room East" in zone.notifications
    assert decision(zone.one(wait("w"))) == "grant"


def test_an_expiry_that_a_heartbeat_serves_notifies(zone: StaticZone) -> None:
    zone.advance(149_000)
    zone.call(wait("w"))
    zone.advance(1500)
    zone.call(beat())
    assert zone.notifications == ["room East"]


def test_a_port_that_is_free_later_notifies_with_the_time(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync, capacity={"sip": 1}, release_within_ms=250)
    zone.call(ask("x"), wait("w"))
    zone.call(end("x"))
    assert zone.notifications == ["room East 251"]
    zone.advance(251)
    assert decision(zone.one(wait("w"))) == "grant"


def test_a_snapshot_notifies_only_when_it_gives_room(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync, **SNAPSHOTS)
    assert decision(zone.one(wait("w"))) == "no_snapshot"
    for unused, expected in ((0, ["room East"]), (0, []), (1, ["room East"])):
        zone.advance(1000)
        group = {"total": 5, "unused": {"channel:sip": unused}}
        zone.call(beat(), {"op": "ingest", "t0": zone.now_ms, "groups": [group]})
        assert zone.notifications == expected, unused
        last = zone.one(wait("w"))
    assert decision(last) == "grant"


def test_an_end_whose_ceiling_falls_with_it_does_not_notify(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync, **SNAPSHOTS)
    group = {"total": 5, "unused": {"channel:sip": 1}}
    zone.advance(1000)
    zone.call({"op": "ingest", "t0": zone.now_ms, "groups": [group]}, ask("x"))
    zone.advance(5000)
    group = {"total": 5, "unused": {"channel:sip": 0}}
    zone.call({"op": "ingest", "t0": zone.now_ms, "groups": [group]}, wait("w"))
    zone.call(end("x", outcome="failed"))
    assert zone.notifications == []


def test_a_waiter_on_another_replica_that_is_first_now_is_notified(zone: StaticZone) -> None:
    zone.call(wait("w1", "A"), wait("w2", "B"), wait("w3", "B"))
    zone.call(withdraw("w1", "A"))
    assert zone.notifications[0].startswith("room East")
    zone.call(withdraw("w2", "B"))
    assert "room East" not in zone.notifications  # B knows


def test_a_rate_gives_the_exact_retry_time(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync, campaigns={"c": {"rate_per_s": 2, "burst": 1}})
    zone.call(ask("x"))
    answer = zone.one(wait("w"))
    assert (answer["reason"], answer["waiting"]["again_ms"]) == ("rate_limited", 500)
    zone.advance(500)
    assert decision(zone.one(wait("w"))) == "grant"


def test_the_ends_of_a_recovery_and_of_a_temporary_limit_give_the_retry_time(
    redis_sync: redis.Redis,
) -> None:
    zone = StaticZone(redis_sync, launch_within_ms=1000)
    assert zone.one(wait("w"))["waiting"]["again_ms"] == 990
    zone.advance(990)
    zone.call({"op": "limit", "pool": "campaign:c", "limit": 0, "ttl_ms": 700})
    assert zone.one(wait("w"))["waiting"]["again_ms"] == 700


def test_a_large_request_that_leaves_unblocks_smaller_ones_of_its_campaign(
    redis_sync: redis.Redis,
) -> None:
    mpps = {"m1": {"sip": 9}, "m2": {"sip": 9}}
    zone = StaticZone(redis_sync, capacity={"sip": 2}, mpps=mpps)
    zone.call(ask("x", campaign="k", mpp="m1"), ask("y", campaign="k", mpp="m1"))
    zone.call(big("b", 2, campaign="d", mpp="m2"))
    assert decision(zone.call(end("x"), wait("v", "B", campaign="d", mpp="m1"))[1]) == "fair_share"
    assert zone.notifications == ["room East"]  # of the end
    zone.call(withdraw("b", campaign="d"))
    assert zone.notifications == ["room East"]
    assert decision(zone.one(wait("v", "B", campaign="d", mpp="m1"))) == "grant"


def test_of_several_channels_the_first_that_time_alone_may_free_is_tried_again(
    redis_sync: redis.Redis,
) -> None:
    zone = StaticZone(redis_sync, channels=["sip", "h323"], capacity={"sip": 1, "h323": 1})
    limit = {"op": "limit", "pool": "channel:h323", "limit": 0, "ttl_ms": 500}
    zone.call(ask("x", channel="sip"), limit)
    assert zone.one(wait("w", channel="any"))["waiting"]["again_ms"] == 500
