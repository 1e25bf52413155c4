"""A full Redis (maxmemory, noeviction) refuses whole calls and forgets what has ended."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import redis

from tests.support.busy_zone import START_MS, BusyZone, admit, end, launched, wait
from tests.support.redis_server import RedisServer
from tests.support.zone_state import check_counts, live_records

SEEDS = 30
FULL = 1  # byte: less than any server uses


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with RedisServer() as server, server.client() as opened:
        yield opened


def draw(rng: Random, n: int) -> dict[str, Any]:
    name = f"r{rng.randrange(30)}"
    campaign = rng.choice("abc")
    return rng.choice(
        [admit(name, campaign), wait(name, campaign), end(name), launched(name), end(f"r{n % 30}")]
    )


def test_an_end_repeated_while_redis_is_full_lowers_no_count_twice(client: redis.Redis) -> None:
    """Campaigns contend for the trunk of the call: an end needs memory, a withdrawal frees some."""
    zone = BusyZone(client)
    for n, (name, campaign) in enumerate([("w1", "a"), ("w2", "b")]):
        gone = {"op": "withdraw", "id": name, "request_id": name, "campaign": campaign}
        zone.script.call([end("x1"), gone | {"replica": "A"}], START_MS + 2400 + n, maxmemory=FULL)
        check_counts(zone.state.read())
    zone.script.call([end("x1")], START_MS + 2500)
    asks = [admit(f"n{n}", "a") for n in range(6)]
    answers = zone.script.call(asks, START_MS + 2600)["results"]
    assert [one["decision"] for one in answers].count("grant") <= 1  # of 3 units two are taken
    check_counts(zone.state.read())


@pytest.mark.parametrize("seed", range(SEEDS))
def test_counts_survive_a_full_redis(client: redis.Redis, seed: int) -> None:
    rng, zone, now = Random(seed), BusyZone(client), START_MS + 3200
    for n in range(60):
        is_full = n % 20 >= 10
        before = zone.state.read()
        now += rng.randrange(100)
        reply = zone.script.call(
            [draw(rng, n) for _ in range(rng.randrange(1, 5))],
            now,
            maxmemory=FULL if is_full else 0,
        )
        after = zone.state.read()
        check_counts(after)
        assert (reply.get("error") == "oom") == is_full
        if is_full:
            assert live_records(after).keys() <= live_records(before).keys()


def test_a_full_redis_forgets_what_has_ended(client: redis.Redis) -> None:
    check_forgetting(client)


def check_forgetting(client: redis.Redis, source: str | None = None) -> None:
    """A full server deletes records, so that memory becomes free. `source`: of the script."""
    for ops in ([admit("n1", "b")], [{"op": "time"}]):
        zone = BusyZone(client, source)
        zone.script.call([end("x1"), end("y1")], START_MS + 3200)
        before = zone.state.read()
        reply = zone.script.call(ops, START_MS + 4000, maxmemory=FULL)
        after = zone.state.read()
        assert reply.get("error") == "oom"
        check_counts(after)
        assert before["res"].keys() - after["res"].keys() >= {b"x1", b"y1"}


def test_a_full_redis_refuses_a_call_that_deletes_first(client: redis.Redis) -> None:
    check_deletion(client)


def check_deletion(client: redis.Redis, source: str | None = None) -> None:
    """The first command of the operation is a deletion. `source`: of the script."""
    zone = BusyZone(client, source)
    before = zone.state.read()
    leave = {"op": "withdraw", "id": "w1", "request_id": "w1", "campaign": "a", "replica": "A"}
    reply = zone.script.call([leave], START_MS + 2400, maxmemory=FULL)
    assert reply.get("error") == "oom"
    assert zone.state.read() == before
