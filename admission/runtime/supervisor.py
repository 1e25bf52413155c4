"""Several worker processes behind one port: their parent, which serves nothing itself.

The parent owns what there must be one of: the embedded Redis, the demo's simulated platform, the
number of the port. Workers share the port (SO_REUSEPORT): the system gives each new connection to
one of them. A worker that dies is started again; meanwhile the others serve. SIGTERM, SIGINT and
SIGHUP are passed on. Should the parent itself be killed, its workers leave.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from admission.config.load import DEMO_SOURCE
from admission.config.settings import Settings
from admission.errors import ConfigError
from admission.ledger.store.embedded.server import EmbeddedRedis
from admission.runtime.greeting import format_banner
from admission.runtime.worker_plan import LISTENING, METRICS_FOLDER, USAGE, WorkerPlan

log = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "admission.runtime.worker")
BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 10.0
STABLE_S: Final = 30.0  # who served for so long is started again without delay
END_S: Final = 10.0  # more than its own grace, then a worker is killed


async def serve_with_workers(
    path: Path | None,
    environ: Mapping[str, str],
    settings: Settings,
    used: Settings,
    stop: asyncio.Event,
    *,
    announce: bool = True,
) -> None:
    """Serve with several workers until `stop`; arguments and errors as of `serve_in_process`."""
    server = settings.server
    platform_url = None if used is settings else used.sources[DEMO_SOURCE].url
    async with _shared(path, settings, platform_url) as plan:
        with tempfile.TemporaryDirectory(prefix="admission-metrics-") as metrics:
            crew = Supervisor(
                replace(plan, announces=announce),
                server.workers,
                environ={**environ, METRICS_FOLDER: metrics},
                grace_s=(server.shutdown_delay_ms + server.shutdown_grace_ms) / 1000,
            )
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGHUP, crew.forward_signal, signal.SIGHUP
            )
            await crew.run(stop, format_banner(used, plan.port) if announce else "")


@asynccontextmanager
async def _shared(
    path: Path | None, settings: Settings, platform_url: str | None
) -> AsyncIterator[WorkerPlan]:
    """What all workers have in common, for as long as they work."""
    async with AsyncExitStack() as stack:
        port = stack.enter_context(_reserved(settings.server.host, settings.server.port))
        plan = WorkerPlan(
            path=None if path is None else str(path), port=port, platform_url=platform_url
        )
        if not settings.redis.url:
            server = EmbeddedRedis(settings.redis.data_dir, settings.redis.durability)
            plan = replace(plan, redis_url=await server.start())
            stack.push_async_callback(server.stop)
        yield plan


@contextlib.contextmanager
def _reserved(host: str, port: int) -> Iterator[int]:
    """The port, kept for the workers: bound, though nobody listens at this end of it."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, proto) as alone:
            # Another service of the same user would share its port with us, silently.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
            alone.listen(1)
        kept = socket.socket(family, kind, proto)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(address)
    except OSError as fault:
        place = f"{host}:{port}"
        raise ConfigError(f"server.port: cannot listen on {place}: {fault.strerror}") from None
    with kept:
        yield int(kept.getsockname()[1])


class Supervisor:
    """The workers.

    Args:
        plan: what they are told; the first of them announces, if it says so.
        size: how many.
        environ: of their processes.
        grace_s: how long a worker takes to leave at most, by its own settings.
    """

    def __init__(
        self, plan: WorkerPlan, size: int, *, environ: Mapping[str, str], grace_s: float
    ) -> None:
        self._plans = [replace(plan, announces=plan.announces and n == 0) for n in range(size)]
        self._environ = dict(environ)
        self._grace_s = grace_s
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._listening = [asyncio.Event() for _ in range(size)]
        self._told = asyncio.Event()
        self._leaving = asyncio.Event()

    async def run(self, stop: asyncio.Event, greeting: str) -> None:
        """Keep them all working until `stop` is set.

        Args:
            greeting: printed once all of them listen, before anything they print.

        Raises:
            ConfigError: a worker found that it cannot work before it ever did.
        """
        keeping = [asyncio.create_task(self._keep(n)) for n in range(len(self._plans))]
        helping = [asyncio.create_task(self._greet(greeting)), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait({*keeping, helping[1]}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in helping:
                one.cancel()
            await self._end(keeping)
        for keeper in keeping:
            keeper.result()

    def forward_signal(self, number: signal.Signals) -> None:
        """Send a signal to every worker."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _greet(self, greeting: str) -> None:
        for one in self._listening:
            await one.wait()
        if greeting:
            print(greeting, flush=True)
        self._told.set()

    async def _keep(self, n: int) -> None:
        backoff_s = BACKOFF_MIN_S
        while not self._leaving.is_set():
            began = time.monotonic()
            code = await self._work(n)
            if self._leaving.is_set():
                return
            if code == USAGE and not self._listening[n].is_set():
                raise ConfigError("a worker cannot start; it said why")
            log.error("worker %d ended with %s; starting another", n, code)
            if time.monotonic() - began > STABLE_S:
                backoff_s = BACKOFF_MIN_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    async def _work(self, n: int) -> int:
        """One process from start to end. Returns: its exit code."""
        pipe = asyncio.subprocess.PIPE
        # In a session of its own: a Ctrl-C comes to the parent, which passes it on in order.
        process = await asyncio.create_subprocess_exec(
            *COMMAND, stdin=pipe, stdout=pipe, env=self._environ, start_new_session=True
        )
        self._processes[n] = process
        if self._leaving.is_set():  # the signal was sent before it was there
            process.terminate()
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(self._plans[n].encode())
            await process.stdin.drain()
        await self._hear(n, process)
        return await process.wait()

    async def _hear(self, n: int, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode().rstrip("\n")
            if line == LISTENING:
                self._listening[n].set()
            else:
                await self._told.wait()
                print(line, flush=True)

    async def _end(self, keeping: list[asyncio.Task[None]]) -> None:
        self._leaving.set()
        self._told.set()
        for how, patience_s in ((signal.SIGTERM, self._grace_s + END_S), (signal.SIGKILL, END_S)):
            self.forward_signal(how)
            _, late = await asyncio.wait(keeping, timeout=patience_s)
            if not late:
                return
