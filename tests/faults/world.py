"""A service under load, and a platform that knows the truth: what every fault is judged in.

The platform is the simulated Experience Portal in real time, in this process, so that it cannot
fall behind: whoever looks at it brings it up to the moment first. The dialers ask over HTTP, keep
their promises by their own stopwatch, and repeat what got no answer. Calls are short, so that a
zone recovers, fills up and empties within seconds.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import admission.service.bootstrap
from admission.config.settings import RedisSettings, Settings
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.domain.policy.document import parse_policy
from admission.domain.policy.zone import ZonePolicy
from admission.domain.snapshots import Snapshot, SnapshotGroup
from admission.http.app import create_app
from admission.service.bootstrap import open_service
from admission.service.service import Service
from admission.sim.experience_portal.live import RealTimePortal
from admission.sim.experience_portal.platform import Portal
from admission.sim.experience_portal.values import SystemSettings, build_even_zone
from admission.sim.values import CallTiming, Delay
from admission.telemetry.metrics import Telemetry
from tests.faults.dialer import Dialer, Tally
from tests.faults.table import record
from tests.support.http_server import serving

PORTS = 12
FOREIGN = 3  # ports that somebody else holds throughout
DIALERS = 6
GRANTS_FIRST = 25  # before anything is broken: the ports are taken by then
PATIENCE_S = 60.0
LOOK_S = 0.02
LAUNCH_MS, CLAIM_MS, LAG_MS = 500, 500, 100

TIMING = CallTiming(
    prepare=Delay(low_ms=20, high_ms=200),
    answer_after=Delay(low_ms=50, high_ms=200),
    busy_after=Delay(low_ms=20, high_ms=100),
    talk=Delay(low_ms=100, high_ms=600),
    answered=0.8,
    ring_at_most_ms=500,
)
ZONE = {
    "source": "epm",
    "source_zone": "East",
    "channels": ["sip"],
    "launch_within_ms": LAUNCH_MS,
    "claim_within_ms": CLAIM_MS,
    "visibility_lag_ms": LAG_MS,
    "poll_interval_ms": 250,
    "max_age_ms": 2000,
    "answer_within_ms": 4000,
    "max_call_ms": 5000,
    "retention_ms": 5000,
    "campaigns": {"*": {}},
    "pools": {"trunk:a": {"limit": PORTS}},
}


class PlatformSource:
    """A source that photographs the platform; `hold` keeps a photograph back, as a pause would."""

    name = "epm"
    min_interval_ms = 0
    timeout_ms = 500  # what the lease lasts depends on it

    def __init__(self, platform: RealTimePortal) -> None:
        self._platform = platform
        self.asked = 0
        self.held: asyncio.Event | None = None
        self.holding = asyncio.Event()

    async def query(self, zone: str, policy: ZonePolicy) -> Snapshot:
        counts = self._platform.act(lambda portal: portal.query(policy.source_zone or ""))
        self.asked += 1
        if self.held:
            self.holding.set()
            await self.held.wait()
        group = SnapshotGroup(total=counts.total, unused={"channel:sip": counts.unused_sip})
        return Snapshot(groups=(group,))

    async def close(self) -> None:
        """Nothing is open."""


class World:
    """Replicas of a service, their platform, and the dialers that load them.

    Args:
        services: in this process.
        urls: where they listen.
        sources: what each of them photographs with.
    """

    def __init__(
        self,
        seed: int,
        platform: RealTimePortal,
        tally: Tally,
        services: list[Service],
        urls: list[str],
        sources: list[PlatformSource],
    ) -> None:
        self.platform = platform
        self.tally = tally
        self.services = services
        self.sources = sources
        self.random = random.Random(seed)
        self.resumed_s = 0.0
        self.dialers = [
            Dialer(f"d{n}", urls[n % len(urls)], platform, tally, seed + n) for n in range(DIALERS)
        ]

    @property
    def truth(self) -> Any:
        """What really happened on the platform."""
        return self.platform.act(lambda portal: portal.truth)

    async def resumes(self, since: float | None = None) -> float:
        """Wait for a grant that was asked for after `since` (loop time; default: now)."""
        began = asyncio.get_running_loop().time() if since is None else since
        granted_at = await self.tally.granted_after(began, PATIENCE_S)
        self.resumed_s = max(self.resumed_s, granted_at - began)
        return granted_at - began

    async def settles(self) -> int:
        """Stop asking, let all calls and reports end. Returns: reservations that are left over."""
        for dialer in self.dialers:
            dialer.stop_asking()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(dialer.finished() for dialer in self.dialers))
        return await self._leaked()

    async def judge(self, row: str, **more: Any) -> None:
        """End the load, record the row, and insist on what must always hold."""
        leaked = await self.settles()
        truth, tally = self.truth, self.tally
        record(
            row,
            sent=tally.sent,
            answered=tally.answered,
            grants=tally.grants,
            over_launches=truth.over_launches,
            leaked=leaked,
            resumed_s=self.resumed_s,
            slowest_s=tally.slowest_s,
            **more,
        )
        assert truth.launches > 0
        assert truth.over_launches == 0
        assert leaked == 0
        assert not tally.strange, tally.strange

    async def _leaked(self) -> int:
        """What is in use when all deadlines are over: patience covers the longest of them."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            with suppress(admission.errors.Unavailable):
                pools = (await self.services[0].zone("East").get_status())["pools"]
                in_use = sum(pool["in_use"] for pool in pools)
                if not in_use or asyncio.get_running_loop().time() > deadline:
                    return int(in_use)
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def world(
    monkeypatch: Any, redis: RedisSettings, *, seed: int = 1, replicas: int = 1
) -> AsyncIterator[World]:
    """A world under load, in which grants are being made."""
    tally = Tally()
    zones = (build_even_zone("East", mpps=1, sip=PORTS),)
    system = SystemSettings(zones=zones, timing=TIMING, lag_ms=LAG_MS)
    platform = RealTimePortal(system, seed=seed, listener=tally.hear)
    platform.start()
    platform.act(_occupied)
    sources: list[PlatformSource] = []

    def photographer(_name: str, _settings: Any) -> PlatformSource:
        sources.append(PlatformSource(platform))
        return sources[-1]

    monkeypatch.setattr(admission.service.bootstrap, "build_source", photographer)
    async with AsyncExitStack() as stack:
        services, urls = [], []
        for _ in range(replicas):
            service = await stack.enter_async_context(open_service(_settings(redis), Telemetry()))
            server = await stack.enter_async_context(
                serving(create_app(service, default_zone="East"))
            )
            services.append(service)
            urls.append(f"http://127.0.0.1:{server.port}")
        found = World(seed, platform, tally, services, urls, sources)
        stack.callback(platform.stop)
        for dialer in found.dialers:
            await stack.enter_async_context(dialer)
        await tally.counts(GRANTS_FIRST, PATIENCE_S)
        yield found


def _occupied(portal: Portal) -> None:
    portal.occupy("East", FOREIGN, hold=Delay(low_ms=10**9, high_ms=10**9))


def _settings(redis: RedisSettings) -> Settings:
    portal = ExperiencePortalSettings.model_validate(
        {"type": "experience_portal", "url": "http://127.0.0.1:9/", "auth": "none"}
    )
    return Settings(redis=redis, sources={"epm": portal}, zones={"East": parse_policy(ZONE)})
