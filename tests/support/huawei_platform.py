"""A simulated CC-Gateway, a source that queries it, and a client of its control interface."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from admission.config.sources.huawei import HuaweiAgentGatewaySettings
from admission.domain.policy.zone import ZonePolicy
from admission.domain.snapshots import Snapshot
from admission.errors import SourceError
from admission.sim.huawei.app import serve_huawei
from admission.sim.huawei.config import HuaweiSettings
from admission.sim.huawei.values import CenterSettings
from admission.sources.huawei.agent_gateway import HuaweiAgentGatewaySource
from admission.sources.huawei.agent_session import SessionBackoff
from admission.tasks import Backoff
from tests.support.secrets import AGENT_PASSWORD

AGENTS = (1001, 1002, 1003)


def agent_policy(pools: Mapping[str, int | None], **changes: Any) -> ZonePolicy:
    """A policy with these pools -> limit; changes are not validated."""
    named = {pool: {} if limit is None else {"limit": limit} for pool, limit in pools.items()}
    policy = {"source": "agents", "channels": ("voice",), "pools": named}
    return ZonePolicy.model_validate(policy).model_copy(update=changes)


POLICY = agent_policy({"agent:*": 1})
# Failures are retried at once; the gate of an agent still keeps refused credentials for minutes.
QUICK = SessionBackoff(failed=Backoff(min_s=0.01, max_s=0.01))
WAIT_S = 30.0


def quiet(agents: tuple[int, ...] = AGENTS, **said: Any) -> HuaweiSettings:
    """A call centre without foreign calls."""
    center = CenterSettings(agents=agents, lag_ms=0)
    return HuaweiSettings(center=center, agent_password=AGENT_PASSWORD, **said)


def settings(url: str, agents: tuple[int, ...] = AGENTS, **said: Any) -> HuaweiAgentGatewaySettings:
    password = said.pop("password", AGENT_PASSWORD)
    owned = [{"id": agent, "password": password, "phone": f"9{agent}"} for agent in agents]
    usual = {"url": url, "agents": owned, "timeout_ms": 20_000, "min_interval_ms": 0}
    return HuaweiAgentGatewaySettings.model_validate(usual | said)


@dataclass
class Guids:
    """Guids that were handed over, as the ledger would keep them."""

    known: dict[int, str] = field(default_factory=dict)

    async def of(self, zone: str) -> Mapping[int, str]:
        return dict(self.known)

    async def drop(self, zone: str, agent: int, guid: str) -> None:
        if self.known.get(agent) == guid:
            del self.known[agent]


class Served(Protocol):
    """A platform that is served."""

    url: str


@dataclass
class Center:
    """A client of the simulator's control interface."""

    http: aiohttp.ClientSession
    url: str

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        async with self.http.request(method, f"{self.url}/sim{path}", json=body) as answer:
            result = await answer.json()
            assert answer.status == 200, result
            return result

    async def misbehave(self, kind: str, *operations: str, **more: Any) -> None:
        fault = {"kind": kind, "operations": operations, **more}
        await self.control("PUT", "/faults", {"faults": [fault]})

    async def behave(self) -> None:
        await self.control("DELETE", "/faults")

    async def agent(self, agent: int, deed: str) -> None:
        await self.control("POST", f"/agents/{agent}/{deed}")

    async def call(self, agent: int, calls: int = 1) -> None:
        """Start foreign calls of the agent."""
        wave = {"calls": calls, "hold_ms": 3_600_000, "agent": agent}
        assert (await self.control("POST", "/occupy", wave))["taken"] == calls

    async def truth(self) -> dict[str, Any]:
        return dict(await self.control("GET", "/truth"))

    async def until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the truth fits."""
        async with asyncio.timeout(WAIT_S):
            truth = await self.truth()
            while not fits(truth):
                truth = await self._truth_soon()
        return truth

    async def _truth_soon(self) -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return await self.truth()

    async def sign_in(self, agent: int, *, force: bool = False) -> str:
        """The agent's own desktop signs in. Returns: its Guid."""
        path = f"/agentgateway/resource/onlineagent/{agent}" + ("/forcelogin" if force else "")
        body = {"password": AGENT_PASSWORD, "phonenum": "1"}
        async with self.http.put(self.url + path, json=body) as answer:
            assert (await answer.json())["retcode"] == "0"
            return answer.headers["Set-GUID"].removeprefix("JSESSIONID=")


@asynccontextmanager
async def center(simulated: HuaweiSettings | None = None) -> AsyncIterator[Center]:
    async with (
        serve_huawei(simulated or quiet()) as url,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        yield Center(http, url)


@asynccontextmanager
async def counting(
    at: Served, agents: tuple[int, ...] = AGENTS, guids: Guids | None = None, **said: Any
) -> AsyncIterator[HuaweiAgentGatewaySource]:
    source = HuaweiAgentGatewaySource("agents", settings(at.url, agents, **said), backoff=QUICK)
    if guids:
        source.use_guid_store(guids)
    try:
        yield source
    finally:
        await source.close()


async def counted(source: HuaweiAgentGatewaySource, policy: ZonePolicy = POLICY) -> Snapshot:
    return await source.query("East", policy)


async def counted_again(source: HuaweiAgentGatewaySource, agents: int = len(AGENTS)) -> Snapshot:
    """Query until that many agents are counted."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                if len((found := await counted(source)).groups) == agents:
                    return found
            except SourceError:
                pass
            await asyncio.sleep(0.01)


def counts_of(snapshot: Snapshot) -> dict[int, tuple[int, int]]:
    """Agent -> total, unused."""
    return {
        int(pool.removeprefix("agent:")): (group.total, unused)
        for group in snapshot.groups
        for pool, unused in group.unused.items()
    }
