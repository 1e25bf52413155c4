"""Waiting in the ledger: the order of places, their end, and that nothing of them is left."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.support.virtual_zone import Op, StaticZone, ask, beat, big, decision, end, wait, withdraw

EMPTY = {"queue": 0, "waiters": 0, "arrived": 0}


def test_a_waiting_request_has_a_place_and_a_denied_one_has_none(zone: StaticZone) -> None:
    waiting, plain = zone.call(wait("w"), ask("p"))
    assert (waiting["reason"], plain["reason"]) == ("no_capacity", "no_capacity")
    assert waiting["waiting"]["group"] == "c/sip///"
    assert "waiting" not in plain
    assert zone.queue_sizes() == {"queue": 1, "waiters": 1, "arrived": 1}


def test_no_request_overtakes_the_first_waiter_of_its_campaign_on_any_replica(
    zone: StaticZone,
) -> None:
    zone.call(wait("w1", "A"), wait("w2", "B"))
    answers = zone.call(end("x"), ask("p"), wait("w2", "B"), wait("w3", "B"), wait("w1", "A"))
    assert [decision(one) for one in answers[1:]] == ["no_capacity"] * 3 + ["grant"]


def test_a_request_behind_another_gets_the_reason_of_the_first(zone: StaticZone) -> None:
    zone.call(wait("w1"))
    _, plain = zone.call(end("x"), ask("p"))
    denied = {name: plain[name] for name in ("reason", "pool", "in_use", "limit")}
    assert denied == {"reason": "no_capacity", "pool": "channel:sip", "in_use": 1, "limit": 2}
    assert plain["retry_after_ms"] > 0


@pytest.mark.parametrize(
    "other", [{"campaign": "d"}, {"channel": "any"}, {"pools": ["trunk:t"]}, {"mpp": "m1"}]
)
def test_another_campaign_or_pool_set_is_another_queue(
    redis_sync: redis.Redis, other: dict[str, Any]
) -> None:
    zone = StaticZone(redis_sync, pools={"trunk:t": {"limit": 9}}, mpps={"m1": {"sip": 9}})
    zone.call(ask("x"), ask("y"))
    zone.call(wait("w1"))
    assert decision(zone.call(end("x"), ask("p", **other))[1]) == "grant"


def test_the_default_channel_and_its_name_are_one_queue(zone: StaticZone) -> None:
    zone.call(wait("w1"))
    assert decision(zone.call(end("x"), ask("p", channel="sip"))[1]) == "no_capacity"


def test_a_dry_run_is_blocked_by_no_waiter_and_has_no_place(zone: StaticZone) -> None:
    zone.call(wait("w1"))
    _, dry = zone.call(end("x"), wait("d", dry_run=True))
    assert decision(dry) == "grant"
    assert zone.queue_sizes()["queue"] == 1


@pytest.mark.parametrize("free", [False, True])
def test_a_waiter_that_lost_its_place_gets_it_back_by_when_it_came(
    zone: StaticZone, free: bool
) -> None:
    came = zone.now_ms
    zone.call(wait("w1", "A", waits=20_000))
    zone.advance(1000)
    zone.call(wait("w2", "B", waits=20_000))
    for _ in range(3):
        zone.advance(1500)
        zone.call(beat("B"))
    zone.call(ask("p"))  # sees that A is dead
    assert zone.queue_sizes()["queue"] == 1
    again = wait("w1", "A", seen=came)
    if free:
        assert decision(zone.call(end("x"), again)[1]) == "grant"
        return
    answers = zone.call(again, end("x"), wait("w2", "B"), again)
    assert [decision(one) for one in answers[2:]] == ["no_capacity", "grant"]


def test_a_grant_frees_the_place(zone: StaticZone) -> None:
    zone.call(wait("w1"))
    zone.call(end("x"), wait("w1"))
    assert zone.queue_sizes() == EMPTY


def test_the_last_try_gives_the_place_up_and_counts_as_the_denial(zone: StaticZone) -> None:
    zone.call(wait("w1"))
    assert zone.one({"op": "status"})["stats"].get("deny:no_capacity") is None
    zone.advance(10_000)
    answer = zone.one(wait("w1", waits=0))
    assert decision(answer) == "no_capacity"
    assert "waiting" not in answer
    assert zone.queue_sizes() == EMPTY
    assert zone.one({"op": "status"})["stats"]["deny:no_capacity"] == 1


def test_a_place_whose_time_is_up_blocks_no_request(zone: StaticZone) -> None:
    zone.call(wait("w1", waits=2000))
    zone.advance(2001)
    assert decision(zone.call(beat(), end("x"), ask("p"))[2]) == "grant"
    assert zone.queue_sizes() == EMPTY


def test_waiters_of_a_dead_replica_block_no_request_and_those_of_a_live_one_do(
    zone: StaticZone,
) -> None:
    zone.call(wait("w1", "A", waits=30_000), wait("v1", "B", waits=30_000, campaign="d"))
    for _ in range(3):
        zone.advance(1500)
        zone.call(beat("B"))
    answers = zone.call(end("x"), end("y"), ask("p1"), ask("p2", campaign="d"))
    assert [decision(one) for one in answers[2:]] == ["grant", "no_capacity"]


def test_places_of_a_dead_replica_are_deleted_without_further_requests_there(
    zone: StaticZone,
) -> None:
    zone.call(*(wait(f"w{n}", waits=30_000) for n in range(150)))
    zone.advance(35_001)
    zone.call({"op": "time"})
    zone.call({"op": "time"})
    assert zone.queue_sizes() == EMPTY
    assert zone.one({"op": "status"})["stats"].get("deny:no_capacity") is None


def test_many_dead_waiters_before_a_living_one_do_not_hide_it(zone: StaticZone) -> None:
    zone.call(*(wait(f"w{n}", "A", waits=30_000) for n in range(99)))
    zone.advance(2000)
    zone.call(wait("v", "B", waits=30_000))
    zone.advance(2000)
    _, plain, waiter = zone.call(end("x"), ask("p"), wait("v", "B"))
    assert (decision(plain), decision(waiter)) == ("no_capacity", "grant")


def test_a_request_for_more_than_the_zone_has_does_not_wait(zone: StaticZone) -> None:
    answer = zone.one(big("w", 3))
    assert decision(answer) == "no_capacity"
    assert "waiting" not in answer
    assert zone.queue_sizes() == EMPTY


def test_a_queue_of_one_group_is_bounded(zone: StaticZone) -> None:
    for start in range(0, 5000, 1000):
        zone.call(*(wait(f"w{n}") for n in range(start, start + 1000)))
    full, other = zone.call(wait("more"), wait("other", campaign="d"))
    assert "waiting" not in full
    assert "waiting" in other


def test_a_repeat_on_another_replica_takes_over_its_own_place(zone: StaticZone) -> None:
    zone.call(wait("w1", "A", id="first000000"))
    answers = zone.call(end("x"), wait("w1", "B", id="second00000"))
    assert decision(answers[1]) == "grant"
    assert zone.notifications == ["room East"]  # A has its answer to fetch
    again = zone.one(wait("w1", "A", id="first000000"))
    assert again["repeated"] is True
    assert [one["id"] for one in again["reservations"]] == ["second00000"]
    assert zone.queue_sizes() == EMPTY


def test_the_end_of_the_first_wait_leaves_the_repeat_its_place(zone: StaticZone) -> None:
    zone.call(wait("w1", "A"), wait("w1", "B"))
    zone.call(withdraw("w1", "A"), wait("w1", "A", waits=0))
    assert zone.queue_sizes()["queue"] == 1
    zone.call(withdraw("w1", "B"))
    assert zone.queue_sizes() == EMPTY


@pytest.mark.parametrize("again", [ask, wait, lambda *a, **k: wait(*a, "B", **k)])
@pytest.mark.parametrize("first", ["w1", "w2"])
def test_another_body_under_a_waiting_request_id_is_a_conflict_at_once(
    zone: StaticZone, first: str, again: Callable[..., Op]
) -> None:
    zone.call(wait("w1"), wait("w2"))
    other = again(first, body="other", id="other000000")
    assert [zone.one(other).get("error") for _ in range(2)] == ["conflict", "conflict"]
    assert zone.queue_sizes()["queue"] == 2
    answers = zone.call(end("x"), wait("w1"), end("y"), wait("w2"), other)
    assert [decision(answer) for answer in answers[1::2]] == ["grant", "grant"]
    assert answers[-1]["error"] == "conflict"


def test_another_body_inherits_no_place_of_a_request_that_waits_no_longer(
    zone: StaticZone,
) -> None:
    zone.call(wait("w0"), wait("w1", "dead"), wait("w2"))
    for _ in range(4):
        zone.advance(1000)
        zone.call(beat())
    other = wait("w1", body="other", id="other000000")
    first = zone.one(other)
    assert "waiting" in first
    assert decision(zone.one(other | {"seen": zone.now_ms})) == "no_capacity"  # no conflict
    assert zone.one(wait("w1", "dead"))["error"] == "conflict"
    _, first, _, second = zone.call(end("x"), wait("w0"), end("y"), wait("w2"))
    assert (decision(first), decision(second)) == ("grant", "grant")  # each before the new one


def test_another_body_in_the_call_of_the_first_is_a_conflict(zone: StaticZone) -> None:
    answers = zone.call(wait("w1"), ask("w1", body="other", id="other000000"))
    assert answers[1]["error"] == "conflict"


def test_launch_within_counts_from_when_the_request_was_first_seen(redis_sync: redis.Redis) -> None:
    zone = StaticZone(redis_sync, capacity={"sip": 1}, launch_within_ms=5000)
    zone.advance(5000)
    zone.call(ask("x"))
    seen = zone.now_ms
    zone.call(wait("w1"))
    zone.advance(4000)
    _, answer = zone.call(end("x"), wait("w1", seen=seen))
    assert answer["launch_within_ms"] == 9000
    zone.advance(500)
    assert zone.one(ask("w1", id="repeat00000"))["launch_within_ms"] == 4500


GROUP_MAX, ZONE_MAX = 5_000, 20_000  # lua/state/wait_queue.lua


def fill(zone: StaticZone, caller: str, replicas: str, campaign: str, n: int) -> int:
    """One caller's requests of a campaign, by several replicas. Returns: how many got a place."""
    asks = [
        wait(
            f"{caller}{replicas}{i}", replicas[i % len(replicas)], campaign=campaign, caller=caller
        )
        for i in range(n)
    ]
    answers = [one for at in range(0, n, 250) for one in zone.call(*asks[at : at + 250])]
    return sum("waiting" in one for one in answers)


def test_a_caller_leaves_places_of_a_campaign_to_others_on_any_replica(zone: StaticZone) -> None:
    assert fill(zone, "greedy", "AB", "c", GROUP_MAX) == GROUP_MAX * 4 // 5
    assert fill(zone, "other", "C", "c", 1) == 1
    assert fill(zone, "greedy", "D", "c", 1) == 0
    assert fill(zone, "greedy", "D", "d", 1) == 1  # another campaign is another queue


def test_a_caller_leaves_places_of_the_zone_to_others(zone: StaticZone) -> None:
    placed = sum(fill(zone, "greedy", "AB", f"c{n}", GROUP_MAX) for n in range(5))
    assert placed == ZONE_MAX * 4 // 5
    assert fill(zone, "other", "A", "new", 1) == 1


def test_the_places_of_a_caller_return_with_their_end(
    zone: StaticZone, redis_sync: redis.Redis
) -> None:
    count = lambda: redis_sync.hgetall(f"{zone.keys[8]}callers")  # noqa: E731
    zone.call(*(wait(f"w{n}", caller="token a") for n in range(3)))
    assert count() == {b"token a": b"3", b"token a c/sip///": b"3"}
    zone.call(withdraw("w0", replica="A"), wait("w1", waits=0, caller="token a"))
    assert count() == {b"token a": b"1", b"token a c/sip///": b"1"}
    zone.call(end("x"), wait("w2", caller="token a"))
    assert count() == {}


def test_the_counts_of_callers_go_with_a_queue_that_begins_anew(
    zone: StaticZone, redis_sync: redis.Redis
) -> None:
    zone.call(wait("w", caller="token a"))
    redis_sync.delete(zone.keys[10])
    redis_sync.set(zone.keys[10], "no queue")
    zone.call(ask("p"))
    assert redis_sync.hgetall(f"{zone.keys[8]}callers") == {}
