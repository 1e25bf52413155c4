"""Redis loses everything, with the whole service around it: what comes back, and from whom."""

import asyncio
from typing import Any

import redis

from tests.support.service import EAST, ServiceHarness, serve_service, service_settings

RESTATED = {
    "zone": "East",
    "channel": "sip",
    "campaign": "collections",
    "pools": ["trunk:carrier-a"],
}


async def in_use(harness: ServiceHarness) -> dict[str, int]:
    pools = (await harness.get("/v1/zones/East"))["pools"]
    return {pool["pool"]: pool["in_use"] for pool in pools if pool["in_use"]}


async def granted(harness: ServiceHarness, request: str, **more: Any) -> str:
    """The id of the one reservation of a grant."""
    answer = await harness.ask(request_id=request, pools=["trunk:carrier-a"], **more)
    return str(answer["reservations"][0]["id"])


async def test_dialers_restate_their_calls_and_so_caps_hold_again(
    redis_url: str, redis_sync: redis.Redis
) -> None:
    async with serve_service(service_settings(EAST, redis_url)) as harness:
        await harness.can_grant()
        up, over = await granted(harness, "r1"), await granted(harness, "r2")
        redis_sync.flushall()
        await harness.can_grant()
        assert await in_use(harness) == {}

        body = {"port_taken": True, "reservation": RESTATED}
        status, answer = await harness.send("POST", f"/v1/reservations/{up}/launched", body)
        assert (status, answer["state"]) == (200, "live")
        status, answer = await harness.send("POST", f"/v1/reservations/{up}/renew", {})
        assert (status, answer["state"]) == (200, "live")
        status, _ = await harness.send("POST", f"/v1/reservations/{over}/end", {})
        assert status == 404  # done, and forgotten: nothing is left of it
        status, _ = await harness.send(
            "POST", f"/v1/reservations/{over}/renew", {"reservation": RESTATED}
        )
        assert status == 404  # its end came first: a late report brings nothing back

        assert await in_use(harness) == {
            "campaign:collections": 1,
            "channel:sip": 1,
            "trunk:carrier-a": 1,
        }
        status, answer = await harness.send("POST", f"/v1/reservations/{up}/end", {})
        assert (status, answer["state"]) == (200, "ended")
        assert await in_use(harness) == {}


async def test_a_replica_restores_the_policy_and_its_pauses(
    redis_url: str, redis_sync: redis.Redis
) -> None:
    settings = service_settings(EAST, redis_url)
    async with serve_service(settings) as one, serve_service(settings) as two:
        await one.can_grant()
        patch = {"campaigns": {"collections": {"limit": 1}}}
        status, _ = await one.send("PATCH", "/v1/zones/East/policy", patch)
        assert status == 200
        status, _ = await one.send("POST", "/v1/zones/East/pools/trunk:carrier-a/pause")
        assert status == 200
        await _knows_the_pause(two)
        redis_sync.flushall()

        answer = await two.ask(request_id="r1", pools=["trunk:carrier-a"])
        while answer["reason"] == "recovering":
            answer = await two.ask(request_id="r1", pools=["trunk:carrier-a"])

        assert answer["reason"] == "pool_paused"
        assert (await two.ask(request_id="r2"))["granted"] == 1
        assert (await two.ask(request_id="r3"))["reason"] == "campaign_limit"


async def _knows_the_pause(harness: ServiceHarness) -> None:
    """Until this replica has learnt the newest policy, by asking until it has."""
    async with asyncio.timeout(20):
        while True:
            version = (await harness.get("/v1/zones/East"))["policy"]["version"]
            if harness.service.components.ledger._policies.version("East") == version:
                return
