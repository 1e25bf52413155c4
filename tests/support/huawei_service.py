"""The service in front of a simulated Huawei call centre: two sources feed one zone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from admission.config.settings import Settings
from admission.sim.huawei.config import HuaweiSettings
from admission.sim.huawei.values import CenterSettings
from admission.sim.values import CallTiming, Delay
from tests.support.huawei_platform import Center, center
from tests.support.secrets import AGENT_PASSWORD, CMS_SECRET
from tests.support.service import ServiceHarness, serve_service, service_settings

AGENTS = (1001, 1002, 1003)
WAIT_S = 60.0
POLICY = """
[zones.Center]
sources = ["cms", "agents"]
source_zone = 1
channels = ["voice", "ivr"]
launch_within_ms = 1
claim_within_ms = 0
visibility_lag_ms = 0
poll_interval_ms = 50
poll_min_ms = 20
[zones.Center.call_takes]
ivr = ["voice", "ivr"]
[zones.Center.campaigns.collections]
[zones.Center.pools."agent:*"]
limit = 1
"""


def exactly(ms: int) -> Delay:
    return Delay(low_ms=ms, high_ms=ms)


def simulated(**changes: Any) -> HuaweiSettings:
    """Six voice and four IVR licences, three agents; a call talks for a fifth of a second."""
    calls = CallTiming(
        prepare=Delay(low_ms=5, high_ms=60),
        answer_after=Delay(low_ms=5, high_ms=40),
        busy_after=exactly(10),
        talk=Delay(low_ms=50, high_ms=400),
        answered=0.8,
        busy=0.1,
        ring_at_most_ms=60,
    )
    usual: dict[str, Any] = {
        "licences": {"voice": 6, "ivr": 4},
        "agents": AGENTS,
        "lag_ms": 50,
        "timing": calls,
    }
    wire = {"access_key": "outcall", "secret_key": CMS_SECRET, "agent_password": AGENT_PASSWORD}
    center_of = {key: changes.pop(key) for key in list(changes) if key in (*usual, "takes")}
    return HuaweiSettings(center=CenterSettings(**usual | center_of), **wire | changes)


def sources(
    url: str, *, secret: str = CMS_SECRET, password: str = AGENT_PASSWORD, owned: bool = True
) -> tuple[str, dict[str, str]]:
    """The `[sources.X]` tables, and the environment that has their secrets."""
    agents = [
        f'{{ id = {agent}, password = {{ env = "AGENT" }}, phone = "9{agent}" }}'
        for agent in (AGENTS if owned else ())
    ]
    text = f"""
[sources.cms]
type = "huawei_cms"
url = "{url}"
access_key = "outcall"
secret_key = {{ env = "CMS" }}
min_interval_ms = 0
timeout_ms = 20000
[sources.agents]
type = "huawei_agent_gateway"
url = "{url}"
agents = [{", ".join(agents)}]
min_interval_ms = 0
timeout_ms = 20000
"""
    return text, {"CMS": secret, "AGENT": password}


@dataclass
class HuaweiHarness:
    """The service and the platform that it queries."""

    harness: ServiceHarness
    at: Center
    settings: Settings

    async def status(self) -> dict[str, Any]:
        return dict(await self.harness.get("/v1/zones/Center"))

    async def until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the zone's status fits."""
        async with asyncio.timeout(WAIT_S):
            status = await self.status()
            while not fits(status):
                status = await self._status_soon()
        return status

    async def _status_soon(self) -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return await self.status()

    async def can_grant(self, agents: int = len(AGENTS)) -> None:
        """Wait until every channel and so many agents have a snapshot after the recovery."""

        def fed(status: dict[str, Any]) -> bool:
            counted = [one for one in status["pools"] if one.get("snapshot")]
            fresh = [one for one in counted if one["pool"].startswith(("channel:", "agent:"))]
            return not status["recovering"] and len(fresh) >= 2 + agents

        await self.until(fed)

    async def source(self, name: str) -> dict[str, Any]:
        return source_of(await self.status(), name)


def source_of(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in status["sources"] if one["source"] == name)


def pool_of(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next((one for one in status["pools"] if one["pool"] == name), {})


@asynccontextmanager
async def serve_huawei_service(
    redis_url: str,
    platform: HuaweiSettings | None = None,
    *,
    policy: str = POLICY,
    **changes: Any,
) -> AsyncIterator[HuaweiHarness]:
    async with center(platform or simulated()) as at:
        text, environ = sources(at.url, **changes)
        settings = service_settings(text + policy, redis_url, environ)
        async with serve_service(settings) as harness:
            yield HuaweiHarness(harness, at, settings)
