"""A platform on the wire, and the service in front of it: in this process, or in ones to be killed.

As `world.py`, but the service polls the simulated Experience Portal over HTTP, which misbehaves
when told to, and what is asked of the service is asked over HTTP too.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from aiohttp import web

from admission.config.settings import RedisSettings, Settings
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.domain.policy.document import parse_policy
from admission.http.app import create_app
from admission.service.bootstrap import open_service
from admission.sim.experience_portal.config import PortalSettings
from admission.sim.experience_portal.contract import CURRENT_PATH
from admission.sim.experience_portal.endpoint import Endpoint
from admission.sim.experience_portal.faults import Fault, FaultKind
from admission.sim.experience_portal.live import RealTimePortal
from admission.sim.experience_portal.operations import Operations
from admission.sim.experience_portal.values import SystemSettings, build_even_zone
from admission.sim.faults import ActiveFaults
from admission.sim.serving import serve_app
from admission.sim.sessions import SessionLog
from admission.sim.values import Delay
from admission.telemetry.metrics import Telemetry
from tests.faults.dialer import Dialer, Tally
from tests.faults.table import record
from tests.faults.world import (
    FOREIGN,
    GRANTS_FIRST,
    LAG_MS,
    LOOK_S,
    PATIENCE_S,
    PORTS,
    TIMING,
    ZONE,
)
from tests.support.http_server import serving

DIALERS = 6
SILENCE_S_MAX = 30.0

Weather = Callable[[web.Request], Any]
Start = Callable[["Platform"], AbstractAsyncContextManager[list[str]]]


class Platform:
    """A simulated Experience Portal on loopback. `weather` answers in its stead."""

    def __init__(self, tally: Tally, mpps: int, seed: int) -> None:
        zones = (build_even_zone("East", mpps=mpps, sip=PORTS // mpps),)
        system = SystemSettings(zones=zones, timing=TIMING, lag_ms=LAG_MS)
        settings = PortalSettings(system=system, current_auth="none")
        self.live = RealTimePortal(system, seed=seed, listener=tally.hear)
        self.weather: Weather | None = None
        self.url = ""
        self._faults: ActiveFaults[Fault] = ActiveFaults(Random(seed))
        run = Operations(settings, self.live, SessionLog())
        self._endpoint = Endpoint("axis2", settings, run, self._faults)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """On the wire, its time running."""
        app = web.Application()
        app.router.add_post(CURRENT_PATH, self._post)
        self.live.start()
        self.live.act(
            lambda portal: portal.occupy("East", FOREIGN, hold=Delay(low_ms=10**9, high_ms=10**9))
        )
        try:
            async with serve_app(app, host="127.0.0.1", port=0) as url:
                self.url = url + CURRENT_PATH
                yield
        finally:
            self.live.stop()

    def misbehaves(self, kind: FaultKind | None) -> None:
        """From now on; None: no more."""
        faults = [] if kind is None else [Fault(kind=kind)]
        self._faults.replace(faults)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        if self.weather is not None:
            return await self.weather(request)  # type: ignore[no-any-return]
        return await self._endpoint.post(request)


@dataclass
class Scene:
    """Dialers, the service that they ask, and the platform that knows the truth."""

    platform: Platform
    tally: Tally
    urls: list[str]
    http: aiohttp.ClientSession
    dialers: list[Dialer] = field(default_factory=list)
    resumed_s: float = 0.0
    excused: int = 0  # over-launches that the row itself makes

    @property
    def over_launches(self) -> int:
        """Granted calls that found no port."""
        return self.platform.live.act(lambda portal: portal.truth.over_launches)

    async def resumes(self) -> float:
        """Wait for a grant that is asked for from now on. Returns: seconds."""
        began = asyncio.get_running_loop().time()
        waited_s = await self.tally.granted_after(began, PATIENCE_S) - began
        self.resumed_s = max(self.resumed_s, waited_s)
        return waited_s

    async def falls_silent(self) -> None:
        """Wait until no grant was made for a second: what was known is too old by now."""
        async with asyncio.timeout(SILENCE_S_MAX):
            before = -1
            while before != self.tally.grants:
                before = self.tally.grants
                await asyncio.sleep(1.0)

    async def status(self) -> Any:
        """Of the zone, from whichever replica answers."""
        for url in self.urls:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self.http.get(f"{url}/v1/zones/East") as answer:
                    if answer.status == 200:
                        return await answer.json()
        return None

    async def judge(self, row: str, group: str) -> None:
        """End the load, record the row, and insist on what must always hold."""
        for dialer in self.dialers:
            dialer.stop_asking()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(dialer.finished() for dialer in self.dialers))
        leaked = await self._leaked()
        tally = self.tally
        record(
            row,
            group=group,
            sent=tally.sent,
            answered=tally.answered,
            grants=tally.grants,
            over_launches=self.over_launches,
            leaked=leaked,
            resumed_s=self.resumed_s,
            slowest_s=tally.slowest_s,
        )
        assert tally.grants > GRANTS_FIRST
        assert self.over_launches <= self.excused
        assert leaked == 0
        assert not tally.strange, tally.strange

    async def _leaked(self) -> int:
        """What is in use when all deadlines are over: patience covers the longest of them."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            status = await self.status()
            if status is not None:
                in_use = sum(pool["in_use"] for pool in status["pools"])
                if not in_use or asyncio.get_running_loop().time() > deadline:
                    return int(in_use)
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def scene(
    start: Start, *, mpps: int = 1, seed: int = 1, dialers: int = DIALERS
) -> AsyncIterator[Scene]:
    """A scene in which grants are being made.

    Args:
        start: Platform -> context manager of the URLs at which the service listens.
        mpps: of the platform, which share its ports evenly.
        dialers: six keep all ports busy.
    """
    tally = Tally()
    platform = Platform(tally, mpps, seed)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(platform.served())
        urls = await stack.enter_async_context(start(platform))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        found = Scene(platform, tally, urls, http)
        for n in range(dialers):
            dialer = Dialer(f"d{n}", urls[n % len(urls)], platform.live, tally, seed + n)
            found.dialers.append(await stack.enter_async_context(dialer))
        await tally.counts(GRANTS_FIRST, PATIENCE_S)
        yield found


@asynccontextmanager
async def polling(platform: Platform, redis_url: str) -> AsyncIterator[list[str]]:
    """The service in this process, which polls the platform."""
    portal = {"type": "experience_portal", "url": platform.url, "auth": "none", "timeout_ms": 500}
    settings = Settings(
        redis=RedisSettings(url=redis_url),
        sources={"epm": ExperiencePortalSettings.model_validate(portal)},
        zones={"East": parse_policy(ZONE)},
    )
    async with (
        open_service(settings, Telemetry()) as service,
        serving(create_app(service, default_zone="East")) as server,
    ):
        yield [f"http://127.0.0.1:{server.port}"]


class Process:
    """`admission serve FILE` in a folder of its own, on a port that stays the same."""

    def __init__(self, folder: Path, text: str, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        folder.mkdir(exist_ok=True)
        (folder / "service.toml").write_text(text)
        self._environ = {**os.environ, "ADMISSION__SERVER__PORT": str(port)}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it, and wait until it says where it listens."""
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "admission", "serve", "service.toml"),
                cwd=self.folder,
                env=self._environ,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await self._process.stdout.readline()
        assert b"listens" in line, (self.folder / "log").read_text()

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal, and wait for its end."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        async with asyncio.timeout(PATIENCE_S):
            await self._process.wait()


def free_ports(n: int) -> list[int]:
    """So many ports that nobody has now."""
    with contextlib.ExitStack() as stack:
        found: Sequence[socket.socket] = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]
