"""Operators stop and limit: over HTTP, on a real Redis."""

import pytest
import redis

from tests.support.service import EAST, ServiceHarness, serve_service, service_settings

ZONE = "/v1/zones/East"


async def test_a_paused_zone_grants_nothing_until_it_is_resumed(harness: ServiceHarness) -> None:
    _, paused = await harness.send("POST", f"{ZONE}/pause")
    denied = await harness.ask()
    _, resumed = await harness.send("POST", f"{ZONE}/resume")
    granted = await harness.ask()

    assert (paused["pool"], paused["paused"], paused["changed"]) == (None, True, True)
    assert (denied["reason"], denied["retry_after_ms"]) == ("zone_paused", None)
    assert (resumed["paused"], resumed["changed"]) == (False, True)
    assert granted["decision"] == "grant"


@pytest.mark.parametrize(
    ("pool", "asked"),
    [
        ("campaign:collections", {}),
        ("campaign:unnamed", {"campaign": "unnamed"}),
        ("trunk:carrier-a", {"pools": ["trunk:carrier-a"]}),
        ("agent:1001", {"pools": ["agent:1001"]}),
        ("channel:sip", {"channel": "sip"}),
        ("mpp:mpp1:sip", {"mpp": "mpp1"}),
        ("mpp:mpp1", {"mpp": "mpp1"}),
        ("mpp:mpp2", {"mpp": "mpp2"}),
    ],
)
async def test_any_pool_can_be_paused_again_and_again(
    harness: ServiceHarness, pool: str, asked: dict
) -> None:
    path = f"{ZONE}/pools/{pool}"
    _, first = await harness.send("POST", f"{path}/pause")
    _, second = await harness.send("POST", f"{path}/pause")
    denied = await harness.ask(**asked)
    status = await harness.get(ZONE)
    _, resumed = await harness.send("POST", f"{path}/resume")
    granted = await harness.ask(**asked)

    assert (first["changed"], second["changed"]) == (True, False)
    assert first["version"] == second["version"] == resumed["version"] - 1
    assert denied["reason"] == "pool_paused"
    assert denied["pool"] == pool
    assert list(status["paused"]) == [pool]
    assert first["now"] <= status["paused"][pool] <= status["now"]
    assert granted["decision"] == "grant"


@pytest.mark.parametrize(
    "pool",
    ["mpp:mpp9", "mpp:mpp9:sip", "mpp:mpp1:web", "channel:web", "trunk:b", "application:ivr",
     "guarantees:x", "zone:x"],
)  # fmt: skip
@pytest.mark.parametrize(("method", "verb"), [("POST", "pause"), ("PUT", "limit")])
async def test_an_unknown_pool_is_not_found(
    harness: ServiceHarness, pool: str, method: str, verb: str
) -> None:
    body = {"limit": 1, "ttl_ms": 1000} if verb == "limit" else None
    status, problem = await harness.send(method, f"{ZONE}/pools/{pool}/{verb}", body)
    assert (status, problem["status"]) == (404, 404)
    assert (await harness.get(ZONE))["policy"]["version"] == 1


async def test_a_pool_that_policy_lost_can_still_be_resumed(harness: ServiceHarness) -> None:
    await harness.send("POST", f"{ZONE}/pools/trunk:carrier-a/pause")
    await harness.send("PATCH", f"{ZONE}/policy", {"pools": {"trunk:carrier-a": None}})

    status, resumed = await harness.send("POST", f"{ZONE}/pools/trunk:carrier-a/resume")

    assert (status, resumed["changed"]) == (200, True)
    assert (await harness.get(ZONE))["paused"] == {}


async def test_a_limit_holds_for_its_time_and_the_smaller_of_both_counts(
    harness: ServiceHarness,
) -> None:
    path = f"{ZONE}/pools/campaign:collections/limit"
    _, low = await harness.send("PUT", path, {"limit": 1, "ttl_ms": 60_000})
    first, second = await harness.ask(), await harness.ask()
    _, high = await harness.send("PUT", path, {"limit": 99, "ttl_ms": 60_000})
    pools = {one["pool"]: one for one in (await harness.get(ZONE))["pools"]}

    assert (low["limit"], low["temporary_limit"], low["temporary_limit_until"] - low["now"]) == (
        1,
        1,
        60_000,
    )
    assert first["decision"] == "grant"
    assert (second["reason"], second["limit"]) == ("campaign_limit", 1)
    assert (high["limit"], high["temporary_limit"]) == (8, 99)
    assert pools["campaign:collections"]["temporary_limit"] == 99


async def test_a_limit_that_is_not_refreshed_ends(harness: ServiceHarness) -> None:
    path = f"{ZONE}/pools/campaign:collections/limit"
    _, set_ = await harness.send("PUT", path, {"limit": 0, "ttl_ms": 1})
    while (await harness.service.zone("East").get_time()) < set_["temporary_limit_until"]:
        pass
    assert (await harness.ask())["decision"] == "grant"


async def test_a_whole_mpp_has_no_limit_but_a_rate(harness: ServiceHarness) -> None:
    status, _ = await harness.send("PUT", f"{ZONE}/pools/mpp:mpp1/limit", {"limit": 1, "ttl_ms": 9})
    answers = [await harness.ask(mpp="mpp1") for _ in range(3)]

    assert status == 404
    assert [one["decision"] for one in answers] == ["grant", "grant", "deny"]
    assert (answers[2]["reason"], answers[2]["pool"]) == ("rate_limited", "mpp:mpp1")
    assert 0 < answers[2]["retry_after_ms"] <= 1250
    assert (await harness.ask(mpp="mpp2"))["decision"] == "grant"


async def test_more_at_once_than_the_burst_is_a_wrong_field(harness: ServiceHarness) -> None:
    status, problem = await harness.ask(mpp="mpp1", count=3, min_count=3)
    assert status == 422
    [error] = problem["errors"]
    assert error["field"] == "min_count"
    assert "burst of mpp:mpp1" in error["message"]


async def test_the_status_lists_pools_and_only_pools(harness: ServiceHarness) -> None:
    await harness.ask(campaign="unnamed", pools=["agent:7"], mpp="mpp1")
    pools = {one["pool"]: one for one in (await harness.get(ZONE))["pools"]}

    assert sorted(pools) == [
        "agent:7", "campaign:collections", "campaign:unnamed", "channel:h323", "channel:sip",
        "mpp:mpp1:sip", "mpp:mpp2:sip", "trunk:carrier-a",
    ]  # fmt: skip
    wildcard = [name for name, one in pools.items() if one.get("wildcard")]
    assert wildcard == ["agent:7", "campaign:unnamed"]


async def test_a_pool_that_was_used_once_is_not_listed_for_ever(harness: ServiceHarness) -> None:
    granted = await harness.ask(campaign="unnamed")
    [one] = granted["reservations"]
    await harness.send("POST", f"/v1/reservations/{one['id']}/end")

    names = [one["pool"] for one in (await harness.get(ZONE))["pools"]]

    assert "campaign:unnamed" not in names


async def test_pauses_survive_a_redis_that_lost_everything(
    harness: ServiceHarness, redis_sync: redis.Redis
) -> None:
    _, put = await harness.send("PATCH", f"{ZONE}/policy", {"shadow": True})
    await harness.send("POST", f"{ZONE}/pools/mpp:mpp1/pause")
    redis_sync.flushall()

    status = await harness.get(ZONE)

    assert status["policy"]["version"] == put["version"] + 1
    assert list(status["paused"]) == ["mpp:mpp1"]
    assert status["shadow"] is True


async def test_a_pause_reaches_every_replica(harness: ServiceHarness, redis_url: str) -> None:
    async with serve_service(service_settings(EAST, redis_url)) as other:
        await harness.send("POST", f"{ZONE}/pause")
        assert (await other.ask())["reason"] == "zone_paused"


async def test_only_so_many_pools_can_be_paused_at_once(harness: ServiceHarness) -> None:
    for n in range(1000):
        await harness.service.zone("East").set_paused(f"campaign:c{n}", True)
    status, _ = await harness.send("POST", f"{ZONE}/pools/campaign:one-more/pause")
    again, _ = await harness.send("POST", f"{ZONE}/pools/campaign:c7/pause")
    assert (status, again) == (409, 200)
