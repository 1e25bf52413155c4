"""The service harness: one or several replicas of the whole service in this process.

Each replica has its configuration, a real Redis and a real HTTP server on loopback. What differs
between tests are the settings, the credentials and the number of replicas.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from aiohttp import ClientSession, web

from admission.config.load import parse_settings
from admission.config.settings import LimitSettings, RedisSettings, ServerSettings, Settings
from admission.domain.policy.document import parse_policy
from admission.errors import Unavailable
from admission.http.app import create_app
from admission.http.auth.tokens import Credentials
from admission.service.bootstrap import open_service
from admission.service.service import Service
from admission.telemetry.metrics import Telemetry
from tests.support.http_server import Server, serving
from tests.support.redis_server import PATIENT

# On a busy machine Redis may be slow to answer: that is no outage.
REDIS_TIMEOUT_MS = 10_000
WAIT_S = 60.0

SOURCE = '[sources.epm]\ntype = "experience_portal"\nurl = "http://127.0.0.1:9/x"\nauth = "none"\n'
EAST = """
[zones.East]
source = "static"
channels = ["sip", "h323"]
capacity = { sip = 10, h323 = 4 }
launch_within_ms = 1
claim_within_ms = 0
[zones.East.mpps]
mpp1 = { sip = 5, rate_per_s = 1, burst = 2 }
mpp2 = { sip = 5 }
[zones.East.applications.ivr]
mpps = ["mpp2"]
[zones.East.campaigns.collections]
limit = 8
[zones.East.campaigns."*"]
[zones.East.pools."trunk:carrier-a"]
limit = 6
[zones.East.pools."agent:*"]
limit = 1
"""


# A zone that recovers within 1 ms: what most tests of several replicas use.
STATIC_ZONE = {
    "source": "static",
    "channels": ["sip"],
    "capacity": {"sip": 2},
    "launch_within_ms": 1,  # the start-up recovery takes as long
    "claim_within_ms": 0,
    "campaigns": {"*": {}},
}


@dataclass
class ServiceHarness:
    """A served service: an HTTP client of it, its URL, itself, its application and its server."""

    http: ClientSession
    url: str
    service: Service
    app: web.Application
    server: Server

    async def get(self, path: str) -> Any:
        async with self.http.get(path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def send(
        self, method: str, path: str, body: Any = None, if_match: str | None = None
    ) -> tuple[int, Any]:
        """Send a request. Returns the status and the JSON of the response."""
        headers = {} if if_match is None else {"If-Match": if_match}
        async with self.http.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def ask(self, **fields: Any) -> Any:
        """Ask for an admission. Returns the decision, or the status and the problem."""
        status, answer = await self.send(
            "POST", "/v1/admissions", {"campaign": "collections"} | fields
        )
        return answer if status == 200 else (status, answer)

    async def admit(self, request: str, wait_ms: int = 0, **more: Any) -> dict[str, Any]:
        """Ask for an admission by request id. Returns the response with its status in it."""
        body = {"campaign": "c", "request_id": request, "wait_ms": wait_ms} | more
        status, answer = await self.send("POST", "/v1/admissions", body)
        return {**answer, "status": status}

    async def end(self, granted: dict[str, Any], outcome: str = "completed") -> None:
        """Report the end of every reservation of a grant."""
        for one in granted["reservations"]:
            path = f"/v1/reservations/{one['id']}/end"
            status, answer = await self.send("POST", path, {"outcome": outcome})
            assert status == 200, answer

    async def status(self, zone: str = "East") -> dict[str, Any]:
        """Return the zone's status without the detour over HTTP."""
        return dict(await self.service.zone(zone).get_status())

    async def reservation(self, id: str) -> dict[str, Any]:
        return dict(await self.get(f"/v1/reservations/{id}"))

    async def wait_for_reservation(self, id: str, **wanted: Any) -> dict[str, Any]:
        """Wait until the reservation has these values."""
        seen: dict[str, Any] = {}

        async def has_them() -> bool:
            status, one = await self.send("GET", f"/v1/reservations/{id}")
            seen.update(one)
            return status == 200 and wanted.items() <= one.items()

        await wait_until(has_them)
        return seen

    async def in_use(self, pool: str = "channel:sip") -> int:
        """Return the live reservations that name the pool of zone East."""
        pools = (await self.status())["pools"]
        return int(next((one["in_use"] for one in pools if one["pool"] == pool), 0))

    async def can_grant(self, zone: str = "East") -> None:
        """Ask until the start-up recovery (here: 1 ms) has passed: no fixed wait."""
        is_recovering = True
        while is_recovering:
            with suppress(Unavailable):  # its policy is not stored yet
                is_recovering = (await self.service.zone(zone).get_status())["recovering"]
            await asyncio.sleep(0)

    async def accept_late_launches(self, **changes: int) -> None:
        """Extend the launch window, so that no test depends on how fast the machine is."""
        patch = {"launch_within_ms": 20_000} | changes
        status, answer = await self.send("PATCH", "/v1/zones/East/policy", patch)
        assert status == 200, answer


async def wait_until(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask until the condition holds: the service publishes no event per reservation."""
    async with asyncio.timeout(WAIT_S):
        while not await true():  # noqa: ASYNC110  no event
            await asyncio.sleep(0.01)


def service_settings(text: str, redis_url: str, environ: dict[str, str] | None = None) -> Settings:
    """Parse the tables of a configuration file, with Redis at this URL."""
    tables = f'[redis]\nurl = "{redis_url}"\ntimeout_ms = {REDIS_TIMEOUT_MS}\n'
    return parse_settings(tables + text, environ or {}, source="test.toml")


@asynccontextmanager
async def serve_service(
    settings: Settings, *, credentials: Credentials | None = None, default_zone: str = ""
) -> AsyncIterator[ServiceHarness]:
    """Serve one replica; `default_zone` stands in for the one of the settings."""
    telemetry = Telemetry()
    zone = default_zone or settings.server.default_zone
    async with open_service(settings, telemetry) as service:
        app = create_app(service, telemetry=telemetry, credentials=credentials, default_zone=zone)
        async with serving(app) as server:
            url = f"http://127.0.0.1:{server.port}"
            yield ServiceHarness(server.http, url, service, app, server)


@asynccontextmanager
async def serve_replicas(
    settings: Settings, n: int, *, default_zone: str = ""
) -> AsyncIterator[list[ServiceHarness]]:
    """Serve n replicas with the same settings."""
    async with AsyncExitStack() as stack:
        served = [serve_service(settings, default_zone=default_zone) for _ in range(n)]
        yield [await stack.enter_async_context(one) for one in served]


@asynccontextmanager
async def replicas(
    redis_url: str, n: int = 2, waiters: int = 2000, **zone: Any
) -> AsyncIterator[list[ServiceHarness]]:
    """Serve n replicas of one zone, East, that has recovered; `zone`: fields of its policy."""
    settings = Settings(
        redis=RedisSettings(url=redis_url, timeout_ms=REDIS_TIMEOUT_MS),
        server=ServerSettings(default_zone="East"),
        limits=LimitSettings(max_waiters=waiters),
        zones={"East": parse_policy(STATIC_ZONE | zone)},
    )
    async with serve_replicas(settings, n) as served:
        async with asyncio.timeout(WAIT_S):
            # A waiter is notified when a recovery is over, so that the test can wait for it.
            while (first := await served[0].admit("first", 5000))["status"] == 503:
                pass  # its policy is not stored yet
            await served[0].end(first, "not_launched")
        yield served


async def wait_for_waiters(redis_url: str, n: int) -> None:
    """Wait until n requests wait in zone East, on whatever replica."""
    async with (
        redis.asyncio.Redis.from_url(redis_url, **PATIENT) as client,
        asyncio.timeout(WAIT_S),
    ):
        while await client.hlen("adm:{East}:waiters") != n + 1:  # noqa: ASYNC110  no event
            await asyncio.sleep(0.001)


async def commands_run(client: redis.asyncio.Redis) -> int:
    """Return the commands that the server ran since its start or reset, inside scripts too."""
    stats = await client.info("commandstats")
    own = ("cmdstat_info", "cmdstat_config|resetstat")
    return sum(one["calls"] for name, one in stats.items() if name not in own)
