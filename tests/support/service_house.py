"""The whole service in this process: its configuration, a real Redis, HTTP on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession

from admission.config.load import parse_settings
from admission.config.settings import Settings
from admission.domain.policy.zone import ZonePolicy
from admission.domain.snapshots import Snapshot, SnapshotGroup
from admission.http.app import create_app
from admission.service.bootstrap import open_service
from admission.service.service import Service
from admission.telemetry.metrics import Telemetry
from tests.support.http_house import serving

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


@dataclass(eq=False)
class FakeSource:
    """A platform that counts whatever it is asked for, and remembers it."""

    name: str = "epm"
    min_interval_ms: int = 0
    timeout_ms: int = 1000
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def query(self, zone: str, policy: ZonePolicy) -> Snapshot:
        self.asked.append((policy.source_zone or "", policy.channels))
        self.called.set()
        unused = {f"channel:{channel}": 1 for channel in policy.channels}
        return Snapshot(groups=(SnapshotGroup(total=10, unused=unused),))

    async def close(self) -> None:
        """Nothing is open."""

    async def until(self, source_zone: str, channels: tuple[str, ...]) -> None:
        """Wait until it is asked for just that."""
        async with asyncio.timeout(10):
            while self.asked[-1:] != [(source_zone, channels)]:
                self.called.clear()
                await self.called.wait()


@dataclass
class House:
    """A served service: a client of it, where it is, and itself."""

    http: ClientSession
    url: str
    service: Service

    async def get(self, path: str) -> Any:
        async with self.http.get(path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def send(
        self, method: str, path: str, body: Any = None, if_match: str | None = None
    ) -> tuple[int, Any]:
        """-> status, and the JSON of the answer."""
        headers = {} if if_match is None else {"If-Match": if_match}
        async with self.http.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def ask(self, **fields: Any) -> Any:
        status, answer = await self.send(
            "POST", "/v1/admissions", {"campaign": "collections"} | fields
        )
        return answer if status == 200 else (status, answer)

    async def can_grant(self, zone: str = "East") -> None:
        """Until the start-up recovery (here: 1 ms) has passed, by asking, not by waiting."""
        while (await self.service.zone(zone).get_status())["recovering"]:
            pass


def settings_of(text: str, redis_url: str, environ: dict[str, str] | None = None) -> Settings:
    """On a busy machine Redis may take its time: that is no outage."""
    redis = f'[redis]\nurl = "{redis_url}"\ntimeout_ms = 10000\n'
    return parse_settings(redis + text, environ or {}, source="test.toml")


@asynccontextmanager
async def house_of(settings: Settings) -> AsyncIterator[House]:
    """The service with these settings; the first zone is the default."""
    telemetry = Telemetry()
    async with open_service(settings, telemetry) as service:
        app = create_app(service, telemetry=telemetry, default_zone=settings.server.default_zone)
        async with serving(app) as server:
            yield House(server.http, f"http://127.0.0.1:{server.port}", service)
