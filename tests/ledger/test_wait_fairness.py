"""Waiting in the ledger: between campaigns, and clients that hung up."""

from typing import Any

import pytest
import redis

from tests.support.virtual_zone import StaticZone, ask, big, decision, end, wait, withdraw


def test_a_large_min_count_gets_its_ports_as_they_are_freed(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync, capacity={"sip": 100})
    zone.call(*(ask(f"x{n}") for n in range(100)))
    zone.call(big("b", 50, campaign="d"))
    for n in range(50):
        answers = zone.call(end(f"x{n}"), ask(f"p{n}"), big("b", 50, campaign="d"))
        assert decision(answers[1]) == "fair_share"
    assert answers[2]["granted"] == 50


@pytest.mark.parametrize("own", [False, True])
def test_campaigns_without_a_port_do_not_starve_a_large_min_count(
    redis_sync: redis.Redis, own: bool
) -> None:
    """Each freed port is wanted by a campaign that has none, or by the waiter's own campaign."""
    mpps = {"m1": {"sip": 9}, "m2": {"sip": 9}}
    zone = StaticZone(redis_sync, capacity={"sip": 4}, mpps=mpps)
    zone.call(*(ask(f"x{n}", campaign=f"k{n}", mpp="m1") for n in range(4)))
    zone.call(big("b", 3, campaign="d", mpp="m2"))
    for n in range(3):
        other = {"campaign": "d"} if own else {"campaign": f"k{n}"}
        answers = zone.call(
            end(f"x{n}"),
            ask(f"p{n}", mpp="m1", **other),
            big("b", 3, campaign="d", mpp="m2"),
        )
        assert decision(answers[1]) == "fair_share"
    assert answers[2]["granted"] == 3


def test_two_large_requests_do_not_block_each_other(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync, capacity={"sip": 4})
    zone.call(*(ask(f"x{n}", campaign="k") for n in range(4)))
    zone.call(big("b", 3, campaign="d"), big("e", 3, campaign="e"))
    *_, one, other = zone.call(
        *(end(f"x{n}") for n in range(4)), big("b", 3, campaign="d"), big("e", 3, campaign="e")
    )
    assert (decision(one), decision(other)) == ("grant", "no_capacity")


def test_a_large_request_that_is_not_first_blocks_no_other(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync, capacity={"sip": 4})
    zone.call(*(ask(f"x{n}", campaign="k") for n in range(4)))
    zone.call(wait("w"), big("b", 3))
    assert decision(zone.call(end("x0"), wait("w"))[1]) == "grant"


def test_contention_ends_soon_after_the_waiter_left(redis_sync: redis.Redis) -> None:
    """Ports must not stay free for a request that has left."""
    zone = StaticZone(redis_sync)
    zone.call(ask("x", campaign="k"), ask("y", campaign="k"))
    zone.call(big("b", 2, campaign="d", waits=30_000))
    held_back = zone.call(end("x"), wait("w", "B", campaign="k"))[1]
    assert held_back["reason"] == "fair_share"
    assert held_back["waiting"]["again_ms"] == 30_001
    zone.call(withdraw("b", campaign="d"))
    assert zone.notifications == ["room East 1001"]
    zone.advance(1001)
    assert decision(zone.one(wait("w", "B", campaign="k"))) == "grant"


def test_a_yielding_waiter_is_notified_when_the_contending_one_got_its_port(
    redis_sync: redis.Redis,
) -> None:
    zone = StaticZone(redis_sync, capacity={"sip": 3})
    zone.call(ask("x", campaign="k"), ask("y1", campaign="m"), ask("y2", campaign="m"))
    zone.call(wait("w", "A", campaign="k"), wait("v", "B", campaign="d"), ask("z", campaign="d"))
    zone.call(end("y1"), end("y2"))
    assert decision(zone.one(wait("w", "A", campaign="k"))) == "fair_share"
    assert decision(zone.one(wait("v", "B", campaign="d"))) == "grant"
    assert zone.notifications == ["room East 0 1001"]
    assert decision(zone.one(wait("w", "A", campaign="k"))) == "grant"


def test_an_undelivered_grant_is_withdrawn_and_the_next_request_is_new(
    zone: StaticZone,
) -> None:
    zone.call(wait("w1"))
    zone.call(end("x"), wait("w1"))
    assert zone.one(withdraw("w1"))["withdrawn"] == 1
    [view] = zone.call({"op": "get", "id": "000000000w1"})
    assert (view["state"], view["outcome"]) == ("ended", "not_launched")
    answer = zone.one(ask("w1", id="another0000"))
    assert (answer["decision"], answer.get("repeated")) == ("grant", None)
    zone.advance(130_000)  # the old one is forgotten, the new one's request is not
    zone.call({"op": "time"})
    assert zone.one(ask("w1", id="another0000"))["repeated"] is True


@pytest.mark.parametrize(
    "delivered",
    [
        ask("p", id="repeat00000"),
        {"op": "launched", "id": "0000000000p"},
        {"op": "renew", "id": "0000000000p"},
        end("p"),
    ],
)
def test_a_delivered_grant_stays(redis_sync: redis.Redis, delivered: dict[str, Any]) -> None:
    zone = StaticZone(redis_sync)
    zone.call(ask("p"), delivered)
    before = zone.one({"op": "get", "id": "0000000000p"})
    assert zone.one(withdraw("p"))["withdrawn"] == 0
    assert zone.one({"op": "get", "id": "0000000000p"}) == before


def test_a_retry_of_a_lost_reply_by_the_client_is_no_delivery(
    redis_sync: redis.Redis,
) -> None:
    zone = StaticZone(redis_sync)
    assert zone.call(ask("p"), ask("p"))[1]["repeated"] is True
    assert zone.one(withdraw("p"))["withdrawn"] == 1


def test_a_grant_of_another_request_is_not_withdrawn(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync)
    zone.call(ask("p"))
    assert zone.one(withdraw("p", id="another0000"))["withdrawn"] == 0
    assert zone.one(withdraw("q"))["withdrawn"] == 0


def test_all_units_are_withdrawn_and_the_port_notifies(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync)
    zone.call(ask("p", count=2, min_count=2), wait("w"))
    assert zone.one(withdraw("p"))["withdrawn"] == 2
    assert zone.notifications == ["room East"]
    assert zone.one(withdraw("p"))["withdrawn"] == 0
    pools = {p["pool"]: p["in_use"] for p in zone.one({"op": "status"})["pools"]}
    assert pools["channel:sip"] == 0
