"""Replicas of the service in one process, on one Redis, really served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from aiohttp import ClientSession, TCPConnector

from admission.config.settings import LimitSettings, RedisSettings, Settings
from admission.domain.policy.document import parse_policy
from admission.http.app import create_app
from admission.service.bootstrap import open_service
from admission.service.service import Service
from admission.telemetry.metrics import Telemetry
from tests.support.http_house import Server, serving

ZONE = {
    "source": "static",
    "channels": ["sip"],
    "capacity": {"sip": 2},
    "launch_within_ms": 1,  # and so long does the start-up recovery take
    "claim_within_ms": 0,
    "campaigns": {"*": {}},
}


@dataclass
class Replica:
    """One of them: its service and the server in front of it."""

    service: Service
    server: Server
    http: ClientSession

    async def ask(self, request: str, wait_ms: int = 0, **more: Any) -> dict[str, Any]:
        body = {"campaign": "c", "request_id": request, "wait_ms": wait_ms} | more
        async with self.http.post("/v1/admissions", json=body) as answer:
            found: dict[str, Any] = await answer.json(content_type=None)
            return found | {"status": answer.status}

    async def end(self, granted: dict[str, Any], outcome: str = "completed") -> None:
        for one in granted["reservations"]:
            path = f"/v1/reservations/{one['id']}/end"
            async with self.http.post(path, json={"outcome": outcome}) as answer:
                assert answer.status == 200

    async def status(self) -> dict[str, Any]:
        return await self.service.zone("East").get_status()

    async def in_use(self) -> int:
        pools = {one["pool"]: one["in_use"] for one in (await self.status())["pools"]}
        return int(pools["channel:sip"])


@asynccontextmanager
async def replicas(
    url: str, n: int = 2, waiters: int = 2000, **zone: Any
) -> AsyncIterator[list[Replica]]:
    """So many replicas of one zone, East, that has recovered; `zone`: fields of its policy."""
    settings = Settings(
        redis=RedisSettings(url=url, timeout_ms=10_000),  # on a busy machine, too
        limits=LimitSettings(max_waiters=waiters),
        zones={"East": parse_policy(ZONE | zone)},
    )
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(n):
            service = await stack.enter_async_context(open_service(settings, Telemetry()))
            app = create_app(service, default_zone="East")
            server = await stack.enter_async_context(serving(app))
            # As many connections as there are waiters; the server's own client has 100.
            everybody = ClientSession(
                f"http://127.0.0.1:{server.port}", connector=TCPConnector(limit=0)
            )
            http = await stack.enter_async_context(everybody)
            found.append(Replica(service, server, http))
        async with asyncio.timeout(15):
            # Those who wait are told when a recovery is over: so it can be waited for.
            first = await found[0].ask("first", 5000)
            await found[0].end(first, "not_launched")
        yield found


async def waiting(url: str, n: int) -> None:
    """Until n requests wait in the zone, whatever replica they came to."""
    async with redis.asyncio.Redis.from_url(url) as client, asyncio.timeout(15):
        while await client.hlen("adm:{East}:waiters") != n + 1:  # noqa: ASYNC110  no event
            await asyncio.sleep(0.001)


async def calls(client: redis.asyncio.Redis) -> int:
    """Commands that the server ran since its start or reset, inside scripts too."""
    stats = await client.info("commandstats")
    own = ("cmdstat_info", "cmdstat_config|resetstat")
    return sum(one["calls"] for name, one in stats.items() if name not in own)
