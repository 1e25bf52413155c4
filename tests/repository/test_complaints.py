"""What users of other limiters complain about, one test each; the issues are named as `project N`.

Each shows the behaviour itself, on a real Redis; the exhaustive tests stand in the other folders.
"""

import asyncio
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from tests.support.redis_server import RedisServer
from tests.support.service import replicas, wait_for_waiters
from tests.support.virtual_zone import StaticZone, ask, decision, end, wait

ANSWER_WITHIN_MS = 150_000
PORTS = 10


class Zone(StaticZone):
    """One zone by zone: SIP ports counted by snapshots, and campaigns that may dial."""

    def __init__(self, client: redis.Redis, **policy: Any) -> None:
        fed = {"source": "push", "capacity": {}, "visibility_lag_ms": 0}
        super().__init__(client, **fed | policy)

    def snapshot(self, unused: Any, total: int = PORTS) -> dict[str, Any]:
        groups = [{"total": total, "unused": {"channel:sip": unused}}]
        answer = self.one({"op": "ingest", "t0": self.now_ms, "groups": groups})
        self.advance(1)
        return answer

    def pool(self, name: str = "channel:sip") -> dict[str, Any]:
        pools = self.one({"op": "status"})["pools"]
        return next((one for one in pools if one["pool"] == name), {"in_use": 0})

    def ask(self, request: str, **more: Any) -> str:
        return decision(self.one(ask(request, **more)))


@pytest.fixture
def zone(redis_sync: redis.Redis) -> Zone:
    made = Zone(redis_sync)
    assert made.snapshot(PORTS)["accepted"]
    return made


def test_01_a_dead_holder_or_an_unanswered_call_leaks_nothing(zone: Zone) -> None:
    """prefect 17415, 9895; dograh 737."""
    assert zone.ask("dies", count=PORTS, min_count=PORTS) == "grant"
    zone.advance(1000)
    assert zone.ask("early") == "no_capacity"
    # The next snapshot is right: its ports are free, although the ledger still counts them.
    zone.snapshot(PORTS)
    assert zone.ask("later") == "grant"
    zone.advance(ANSWER_WITHIN_MS + 1)
    assert zone.pool()["in_use"] == 0


def test_02_counts_of_a_killed_holder_fall_by_themselves(redis_sync: redis.Redis) -> None:
    """libresbc 214; freeswitch 2389."""
    capped = StaticZone(redis_sync, campaigns={"c": {"limit": 1}})  # no snapshot corrects this one
    assert decision(capped.one(ask("killed"))) == "grant"
    assert decision(capped.one(ask("next"))) == "campaign_limit"
    capped.advance(ANSWER_WITHIN_MS + 1)
    assert decision(capped.one(ask("next"))) == "grant"


def test_03_two_releases_at_once_count_once(zone: Zone) -> None:
    """jambonz sbc-outbound 151, sbc-inbound 177."""
    zone.call(ask("a"), ask("b"))
    first, second = zone.call(end("a"), end("a"))
    assert (first["repeated"], second["repeated"]) == (False, True)
    assert zone.pool()["in_use"] == 1
    zone.call(end("b"), end("b"), end("a"))
    assert zone.pool()["in_use"] == 0


@pytest.mark.parametrize("unused", [4_294_967_295, 4_294_967_262, -1, -34])
def test_04_an_unsigned_wrap_is_never_read_as_room(zone: Zone, unused: int) -> None:
    """opensips 2102, 3294."""
    zone.snapshot(3)
    before = zone.pool()["ceiling"]
    answer = zone.snapshot(unused)
    assert (answer["accepted"], answer["reason"]) == (False, "inconsistent")
    assert zone.snapshot(1, total=unused)["accepted"] is False
    assert zone.pool()["ceiling"] == before == 3


def test_05_calls_in_the_snapshot_are_not_counted_again(zone: Zone) -> None:
    """opensips 3297."""
    zone.call(*(ask(f"r{n}") for n in range(4)))
    zone.advance(1000)  # by now they have their ports
    zone.snapshot(PORTS - 4)
    assert (zone.pool()["in_use"], zone.pool()["room"]) == (4, PORTS - 4)
    answers = zone.call(*(ask(f"s{n}") for n in range(PORTS)))
    assert [decision(one) for one in answers].count("grant") == PORTS - 4


def test_06_a_count_and_its_holders_never_drift_apart(zone: Zone) -> None:
    """prefect 21794."""
    for n in range(40):
        zone.call(ask(f"r{n}", count=1 + n % 3), end(f"r{n - 2}"), end(f"r{n - 2}", nth=2))
        zone.call({"op": "launched", "id": f"r{n}".rjust(11, "0"), "port_taken": n % 2 == 0})
        zone.advance(20_000 * (n % 4))
        zone.snapshot(n % PORTS)
        page = zone.one({"op": "list", "cursor": "0", "limit": 1000, "state": "live"})
        assert zone.pool()["in_use"] == len(page["reservations"])


def test_07_denied_requests_eat_nothing(redis_sync: redis.Redis) -> None:
    """envoyproxy/ratelimit 1060, 427, 348."""
    rated = StaticZone(
        redis_sync, campaigns={"c": {"rate_per_s": 1, "burst": 1}}, capacity={"sip": 50}
    )
    assert decision(rated.one(ask("first"))) == "grant"
    refused = rated.call(*(ask(f"again{n}") for n in range(100)))
    assert {decision(one) for one in refused} == {"rate_limited"}
    rated.advance(max(one["retry_after_ms"] for one in refused))
    assert decision(rated.one(ask("retried"))) == "grant"
    assert rated.one({"op": "status"})["pools"][0]["in_use"] == 2


async def test_08_a_release_notifies_waiters(redis_url: str) -> None:
    """prefect 23183, 15618."""
    async with replicas(redis_url, capacity={"sip": 1}) as (a, b):
        held = await a.admit("holds")
        asked = asyncio.create_task(b.admit("waits", 30_000))
        await wait_for_waiters(redis_url, 1)
        await a.end(held)
        assert (await asked)["decision"] == "grant"


async def test_09_a_herd_on_two_replicas_does_not_break_the_cap(redis_url: str) -> None:
    """prefect 9270; concurrency-limits 234."""
    async with replicas(redis_url, capacity={"sip": 7}) as both:
        asks = (both[n % 2].admit(f"r{n}") for n in range(200))
        answers = await asyncio.gather(*asks)
        assert [one["decision"] for one in answers].count("grant") == 7
        assert await both[0].in_use() == 7


async def test_10_a_renewal_is_not_starved_by_other_work(redis_url: str) -> None:
    """prefect 19068, 18893."""
    async with replicas(redis_url, 1, capacity={"sip": 1}) as (one,):
        held = await one.admit("holds")
        reservation = held["reservations"][0]["id"]
        herd = [asyncio.create_task(one.admit(f"r{n}")) for n in range(1000)]
        await asyncio.wait(herd, return_when=asyncio.FIRST_COMPLETED)  # it is at full work
        async with one.http.post(f"/v1/reservations/{reservation}/renew") as answer:
            renewed = await answer.json()
        await asyncio.gather(*herd)
        assert renewed["state"] == "live"
        assert renewed["renew_within_ms"] > ANSWER_WITHIN_MS // 2


async def test_11_a_restarted_store_that_forgot_the_script_breaks_nothing(
    own_redis: RedisServer,
) -> None:
    """bottleneck 118; trigger.dev 834."""
    async with replicas(own_redis.url, 1) as (one,):
        with own_redis.client() as client:
            client.script_flush()
        flushed = await one.admit("flushed")
        assert flushed.get("decision") == "grant", flushed
        own_redis.kill()
        own_redis.start()  # empty: without script, policy and reservations
        async with asyncio.timeout(60):
            while (found := await one.admit("restarted", 5000)).get("decision") != "grant":
                assert found["status"] == 503 or found["reason"] == "recovering", found


async def test_12_an_outage_is_reported_at_once_and_never_as_lack_of_capacity(
    own_redis: RedisServer,
) -> None:
    """firecrawl 3728."""
    async with replicas(own_redis.url, 1) as (one,):
        own_redis.kill()
        async with asyncio.timeout(20):  # and not the 30 s of the complaint
            async with one.http.post("/v1/admissions", json={"campaign": "c"}) as answer:
                problem = await answer.json(content_type="application/problem+json")
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert "reason" not in problem


def test_13_all_keys_of_a_zone_are_in_one_slot(redis_sync: redis.Redis) -> None:
    """PyrateLimiter 151; limitador 514."""
    busy = Zone(redis_sync, mpps={"m1": {"sip": 5}}, pools={"trunk:a": {"limit": 1}})
    busy.snapshot(0)
    busy.call(ask("a", pools=["trunk:a"], mpp="m1"), wait("b"), ask("c"))
    busy.call({"op": "pause", "on": True, "by": "ann"}, end("a"))
    ours = [key for key in redis_sync.scan_iter() if not key.endswith((b":clock", b":run"))]
    assert len(ours) > len(busy.keys) / 2
    assert {key_slot(key) for key in ours} == {key_slot(busy.keys[0].encode())}


def test_14_no_replica_s_timer_ends_what_another_renewed(zone: Zone) -> None:
    """kamailio 3656; opensips 1937."""
    zone.ask("a")
    private = "a".rjust(11, "0")
    zone.advance(ANSWER_WITHIN_MS - 1)
    assert zone.one({"op": "renew", "id": private})["state"] == "live"  # on one replica
    zone.advance(ANSWER_WITHIN_MS - 1)  # the first deadline is long over
    zone.one({"op": "beat", "replica": "another"})
    assert zone.one({"op": "get", "id": private})["state"] == "live"
    zone.advance(2)
    assert zone.one({"op": "get", "id": private})["state"] == "expired"


def test_15_a_rejection_reserves_nothing_and_no_holder_is_evicted(redis_sync: redis.Redis) -> None:
    """kueue 6035, 14811."""
    policy: dict[str, Any] = {
        "capacity": {"sip": 4},
        "pools": {"trunk:a": {"limit": 1}},
        "campaigns": {"c": {"priority": 9}, "first": {"priority": 0, "guarantee": 2}},
    }
    zone = StaticZone(redis_sync, **policy)
    assert decision(zone.one(ask("holds", pools=["trunk:a"]))) == "grant"
    for n in range(50):  # each finds the trunk full, after its channel had room
        assert decision(zone.one(ask(f"r{n}", pools=["trunk:a"]))) == "pool_full"
    pools = {one["pool"]: one["in_use"] for one in zone.one({"op": "status"})["pools"]}
    assert (pools["channel:sip"], pools["trunk:a"]) == (1, 1)
    assert decision(zone.one(ask("low"))) == "grant"
    for n in range(3):
        zone.one(ask(f"high{n}", campaign="first"))
    for request in ("holds", "low"):  # the first holder stays, whichever request comes next
        assert zone.one({"op": "get", "id": request.rjust(11, "0")})["state"] == "live"
