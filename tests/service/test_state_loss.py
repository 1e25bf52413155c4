"""Redis loses everything, with the whole service around it: what comes back, and from whom."""

import asyncio
from typing import Any

import redis

from tests.support.service_house import EAST, House, house_of, settings_of

RESTATED = {
    "zone": "East",
    "channel": "sip",
    "campaign": "collections",
    "pools": ["trunk:carrier-a"],
}


async def in_use(house: House) -> dict[str, int]:
    pools = (await house.get("/v1/zones/East"))["pools"]
    return {pool["pool"]: pool["in_use"] for pool in pools if pool["in_use"]}


async def granted(house: House, request: str, **more: Any) -> str:
    """The id of the one reservation of a grant."""
    answer = await house.ask(request_id=request, pools=["trunk:carrier-a"], **more)
    return str(answer["reservations"][0]["id"])


async def test_dialers_restate_their_calls_and_so_caps_hold_again(
    redis_url: str, redis_sync: redis.Redis
) -> None:
    async with house_of(settings_of(EAST, redis_url)) as house:
        await house.can_grant()
        up, over = await granted(house, "r1"), await granted(house, "r2")
        redis_sync.flushall()
        await house.can_grant()
        assert await in_use(house) == {}

        body = {"port_taken": True, "reservation": RESTATED}
        status, answer = await house.send("POST", f"/v1/reservations/{up}/launched", body)
        assert (status, answer["state"]) == (200, "live")
        status, answer = await house.send("POST", f"/v1/reservations/{up}/renew", {})
        assert (status, answer["state"]) == (200, "live")
        status, _ = await house.send("POST", f"/v1/reservations/{over}/end", {})
        assert status == 404  # done, and forgotten: nothing is left of it
        status, _ = await house.send(
            "POST", f"/v1/reservations/{over}/renew", {"reservation": RESTATED}
        )
        assert status == 404  # its end came first: a late report brings nothing back

        assert await in_use(house) == {
            "campaign:collections": 1,
            "channel:sip": 1,
            "trunk:carrier-a": 1,
        }
        status, answer = await house.send("POST", f"/v1/reservations/{up}/end", {})
        assert (status, answer["state"]) == (200, "ended")
        assert await in_use(house) == {}


async def test_the_policy_and_its_pauses_are_brought_back_by_whoever_remembers(
    redis_url: str, redis_sync: redis.Redis
) -> None:
    settings = settings_of(EAST, redis_url)
    async with house_of(settings) as one, house_of(settings) as two:
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


async def _knows_the_pause(house: House) -> None:
    """Until this replica has learnt the newest policy, by asking until it has."""
    async with asyncio.timeout(20):
        while True:
            version = (await house.get("/v1/zones/East"))["policy"]["version"]
            if house.service.components.ledger._memory.version("East") == version:
                return
