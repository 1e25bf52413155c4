"""A served service under load, beside a platform that knows the truth: the frame of every fault.

`run_load` starts a platform, the service in front of it and six dialers, and yields once grants
are being made. The test breaks something and waits for grants again; `Load.finish` ends the load,
records the row of the fault and asserts what must always hold. The service runs in this process
(`serve_polling`), or in processes that a test may kill (`ServiceReplica`).
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from admission.config.settings import RedisSettings, Settings
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.domain.policy.document import parse_policy
from admission.service.service import Service
from tests.faults.table import record
from tests.support.load_dialer import Dialer, LoadStatistics
from tests.support.served_portal import ZONE, ServedPortal
from tests.support.service import serve_replicas
from tests.support.service_process import ServiceProcess

DIALERS = 6  # so many keep all ports busy
GRANTS_FIRST = 25  # before anything is broken: the ports are taken by then
TIMEOUT_S = 60.0
POLL_S = 0.02
NO_GRANTS_S_MAX = 30.0

# Platform -> the URLs at which the service listens.
Start = Callable[[ServedPortal], AbstractAsyncContextManager[list[str]]]


@dataclass
class Load:
    """Dialers, the service that they ask, and the platform that knows the truth.

    Attributes:
        random: for the choices of the test.
        resumed_s: the longest time until grants resumed.
        excused: over-launches that the fault itself causes.
    """

    platform: ServedPortal
    statistics: LoadStatistics
    urls: list[str]
    http: aiohttp.ClientSession
    random: Random
    dialers: list[Dialer] = field(default_factory=list)
    resumed_s: float = 0.0
    excused: int = 0

    async def wait_for_grant(self) -> float:
        """Wait for a grant that is asked for from now on. Returns: seconds."""
        began = asyncio.get_running_loop().time()
        waited_s = await self.statistics.wait_for_grant_after(began, TIMEOUT_S) - began
        self.resumed_s = max(self.resumed_s, waited_s)
        return waited_s

    async def wait_for_silence(self) -> None:
        """Wait until no grant was made for a second: the last snapshot is too old by now."""
        async with asyncio.timeout(NO_GRANTS_S_MAX):
            before = -1
            while before != self.statistics.grants:
                before = self.statistics.grants
                await asyncio.sleep(1.0)

    async def wait_for_refusals(self, more: int = 20) -> None:
        """Wait until so many more requests were refused with 503."""
        enough = self.statistics.statuses[503] + more
        async with asyncio.timeout(NO_GRANTS_S_MAX):
            while self.statistics.statuses[503] < enough:  # noqa: ASYNC110  no event
                await asyncio.sleep(0.01)

    async def get_status(self) -> Any:
        """Return the zone's status from any replica that answers, or None."""
        for url in self.urls:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self.http.get(f"{url}/v1/zones/East") as answer:
                    if answer.status == 200:
                        return await answer.json()
        return None

    async def finish(self, row: str, group: str = "Redis") -> None:
        """End the load, record the row of the fault, and assert what must always hold."""
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(dialer.finish() for dialer in self.dialers))
        leaked = await self._count_leaked()
        statistics = self.statistics
        record(
            row,
            group=group,
            sent=statistics.sent,
            answered=statistics.answered,
            grants=statistics.grants,
            over_launches=self.platform.over_launches,
            leaked=leaked,
            resumed_s=self.resumed_s,
            slowest_s=statistics.slowest_s,
        )
        assert statistics.launches > 0
        assert statistics.grants > GRANTS_FIRST
        assert self.platform.over_launches <= self.excused
        assert leaked == 0
        assert not statistics.unexpected, statistics.unexpected

    async def _count_leaked(self) -> int:
        """Return what is in use after all deadlines: the timeout exceeds the longest of them."""
        deadline = asyncio.get_running_loop().time() + TIMEOUT_S
        while True:
            status = await self.get_status()
            if status is not None:
                in_use = sum(pool["in_use"] for pool in status["pools"])
                if not in_use or asyncio.get_running_loop().time() > deadline:
                    return int(in_use)
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def run_load(
    start: Start, *, mpps: int = 1, seed: int = 1, dialers: int = DIALERS
) -> AsyncIterator[Load]:
    """Run a load in which grants are being made.

    Args:
        start: starts the service in front of the platform.
        mpps: of the platform, which share its ports evenly.
        seed: of all random numbers.
        dialers: how many.
    """
    statistics, platform = LoadStatistics(), ServedPortal(mpps, seed)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(platform.serve())
        urls = await stack.enter_async_context(start(platform))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        load = Load(platform, statistics, urls, http, Random(seed))
        for n in range(dialers):
            dialer = Dialer(
                f"d{n}",
                urls[n % len(urls)],
                platform.launch,
                statistics,
                seed + n,
                make_request=lambda _random: {"pools": ["trunk:a"]},
            )
            load.dialers.append(await stack.enter_async_context(dialer))
        await statistics.wait_for_grants(GRANTS_FIRST, TIMEOUT_S)
        yield load


def serve_polling(
    redis: RedisSettings, replicas: int = 1, served: list[Service] | None = None
) -> Start:
    """Return what starts replicas in this process, which poll the platform over HTTP.

    Args:
        redis: their store.
        replicas: how many.
        served: filled with the services, for tests that reach into them.
    """

    @asynccontextmanager
    async def start(platform: ServedPortal) -> AsyncIterator[list[str]]:
        portal = {"type": "experience_portal", "url": platform.url, "auth": "none"}
        portal["timeout_ms"] = 500  # what the lease lasts depends on it
        settings = Settings(
            redis=redis,
            sources={"epm": ExperiencePortalSettings.model_validate(portal)},
            zones={"East": parse_policy(ZONE)},
        )
        async with serve_replicas(settings, replicas, default_zone="East") as harnesses:
            if served is not None:
                served.extend(one.service for one in harnesses)
            yield [one.url for one in harnesses]

    return start


class ServiceReplica:
    """`admission serve` in a process that a test may kill, on a port that stays the same.

    Args:
        folder: its working directory, which it makes.
        text: its configuration file.
        port: where it listens.
        log: file of its standard error; None: one in the folder.
        environ: more variables of its environment.
    """

    def __init__(
        self, folder: Path, text: str, port: int, *, log: Path | None = None, **environ: str
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._environ = {"ADMISSION__SERVER__PORT": str(port), **environ}
        self._log = log
        folder.mkdir(exist_ok=True)
        (folder / "service.toml").write_text(text)
        self._process: ServiceProcess | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.process.pid

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = await asyncio.to_thread(
            partial(ServiceProcess, self._folder, "service.toml", log=self._log, **self._environ)
        )
        assert self._process.url

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal, and wait for its end."""
        assert self._process is not None
        await asyncio.to_thread(self._process.stop, how)


def find_free_ports(n: int) -> list[int]:
    """Return n ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
