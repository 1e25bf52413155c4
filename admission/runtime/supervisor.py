"""The supervisor of several worker processes behind one port; it serves no requests itself.

The supervisor owns the resources that exist once: the embedded Redis, the demo's simulated
platform, the number of the port. Workers share the port (SO_REUSEPORT): the kernel gives each new
connection to one of them. The supervisor restarts a worker that ended; meanwhile the others serve.
It forwards SIGTERM, SIGINT and SIGHUP. When the supervisor is killed, its workers stop.
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
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from admission.config import Settings
from admission.config.load import DEMO_SOURCE
from admission.errors import ConfigError
from admission.ledger import EmbeddedRedis
from admission.runtime.greeting import format_banner
from admission.runtime.worker_plan import LISTENING, METRICS_FOLDER, USAGE, WorkerPlan
from admission.tasks import Backoff, cancel_and_wait
from admission.telemetry import absorb, terminal

log = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "admission.runtime.worker")
BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 10.0
STABLE_S: Final = 30.0  # a worker that served for so long is restarted without delay
_SIGNAL_HINTS: Final = {
    "SIGBUS": "a file that it had mapped lost its space: is the disk of TMPDIR full?",
    "SIGKILL": "killed from outside: by the kernel, out of memory, or by an operator",
    "SIGSEGV": "a defect in a native library",
    "SIGABRT": "a defect in a native library",
    "SIGXCPU": "over its limit of CPU time",
    "SIGXFSZ": "over its limit of file size",
}
END_S: Final = 10.0  # beyond its own grace period; then a worker is killed


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
    async with _open_shared(path, settings, platform_url) as plan:
        with _open_metrics_folder() as metrics:
            supervisor = Supervisor(
                replace(plan, announces=announce),
                server.workers,
                environ=dict(environ),
                metrics=metrics,
                grace_s=(server.shutdown_delay_ms + server.shutdown_grace_ms) / 1000,
            )
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGHUP, supervisor.forward_signal, signal.SIGHUP
            )
            await supervisor.run(stop, format_banner(used, plan.port) if announce else "")


@asynccontextmanager
async def _open_shared(
    path: Path | None, settings: Settings, platform_url: str | None
) -> AsyncIterator[WorkerPlan]:
    """The resources that all workers share, while they run."""
    async with AsyncExitStack() as stack:
        port = stack.enter_context(_reserve_port(settings.server.host, settings.server.port))
        plan = WorkerPlan(
            path=None if path is None else str(path), port=port, platform_url=platform_url
        )
        if not settings.redis.url:
            server = EmbeddedRedis(settings.redis.data_dir, settings.redis.durability)
            plan = replace(plan, redis_url=await server.start())
            stack.push_async_callback(server.stop)
        yield plan


@contextlib.contextmanager
def _reserve_port(host: str, port: int) -> Iterator[int]:
    """The port, bound for the workers; this process does not listen on it."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, proto) as alone:
            # With SO_REUSEPORT alone another service of the same user would silently share it.
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


@contextlib.contextmanager
def _open_metrics_folder() -> Iterator[Path | None]:
    """A folder in which the workers count together; None: there is no place for one."""
    with ExitStack() as stack:
        folder = None
        try:
            made = tempfile.TemporaryDirectory(
                prefix="admission-metrics-", ignore_cleanup_errors=True
            )
            folder = Path(stack.enter_context(made))
        except OSError as fault:
            log.warning("metrics: no folder to share counts (%s): each worker counts by itself",
                        fault.strerror)  # fmt: skip
        yield folder


def describe_exit(code: int) -> str:
    """Describe the exit of a worker for an operator.

    Args: code: its exit code; negative: the signal that ended it.
    """
    if code >= 0:
        return f"exit code {code}" + ("; its last lines say why" if code else "")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = _SIGNAL_HINTS.get(name)
    return f"{name} ({hint})" if hint else name


class Supervisor:
    """Starts worker processes, restarts those that end, and stops all of them.

    Example:
        supervisor = Supervisor(plan, 4, environ=os.environ, grace_s=10.0)
        await supervisor.run(stop, banner)

    Args:
        plan: the instructions for the workers; only the first of them may announce.
        size: number of workers.
        environ: of their processes.
        metrics: folder in which they count together; None: each counts by itself.
        grace_s: how long a worker takes to stop at most, by its own settings.
    """

    def __init__(
        self,
        plan: WorkerPlan,
        size: int,
        *,
        environ: Mapping[str, str],
        grace_s: float,
        metrics: Path | None = None,
    ) -> None:
        self._plans = [replace(plan, announces=plan.announces and n == 0) for n in range(size)]
        self._metrics = metrics
        shared = {} if metrics is None else {METRICS_FOLDER: str(metrics)}
        self._environ = {**environ, **shared}
        self._grace_s = grace_s
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._listening = [asyncio.Event() for _ in range(size)]
        self._is_announced = asyncio.Event()
        self._is_stopping = asyncio.Event()

    async def run(self, stop: asyncio.Event, greeting: str) -> None:
        """Keep all workers running until `stop` is set.

        Args:
            greeting: printed once all workers listen, before their own output.

        Raises:
            ConfigError: a worker cannot start.
        """
        workers = [asyncio.create_task(self._keep_running(n)) for n in range(len(self._plans))]
        stopped = asyncio.create_task(stop.wait())
        greeted = asyncio.create_task(self._greet(greeting))
        try:
            await asyncio.wait({*workers, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(stopped, greeted)
            await self._stop(workers)
        for worker in workers:
            worker.result()

    def forward_signal(self, number: signal.Signals) -> None:
        """Send a signal to every worker."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _greet(self, greeting: str) -> None:
        for one in self._listening:
            await one.wait()
        if greeting:
            terminal.info(greeting)
        self._is_announced.set()

    async def _keep_running(self, n: int) -> None:
        backoff = Backoff(min_s=BACKOFF_MIN_S, max_s=BACKOFF_MAX_S, jitter=0)
        while not self._is_stopping.is_set():
            began = time.monotonic()
            code = await self._run_worker(n)
            if self._is_stopping.is_set():
                return
            if code == USAGE and not self._listening[n].is_set():
                raise ConfigError("a worker cannot start; its own message says why")
            log.error("worker %d ended: %s; starting another", n, describe_exit(code))
            if time.monotonic() - began > STABLE_S:
                backoff.reset()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_stopping.wait(), backoff.next_s())

    async def _run_worker(self, n: int) -> int:
        """One process from start to end. Returns: its exit code."""
        pipe = asyncio.subprocess.PIPE
        # In a session of its own: a Ctrl-C reaches the supervisor alone, which forwards it.
        process = await asyncio.create_subprocess_exec(
            *COMMAND, stdin=pipe, stdout=pipe, env=self._environ, start_new_session=True
        )
        self._processes[n] = process
        if self._is_stopping.is_set():  # the signal was sent before the process existed
            process.terminate()
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(self._plans[n].encode())
            await process.stdin.drain()
        await self._read_output(n, process)
        code = await process.wait()
        if self._metrics is not None:
            await asyncio.to_thread(absorb, self._metrics, process.pid)
        return code

    async def _read_output(self, n: int, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode().rstrip("\n")
            if line == LISTENING:
                self._listening[n].set()
            else:
                await self._is_announced.wait()
                terminal.info(line)

    async def _stop(self, workers: list[asyncio.Task[None]]) -> None:
        self._is_stopping.set()
        self._is_announced.set()
        for signal_number, wait_s in (
            (signal.SIGTERM, self._grace_s + END_S),
            (signal.SIGKILL, END_S),
        ):
            self.forward_signal(signal_number)
            _, late = await asyncio.wait(workers, timeout=wait_s)
            if not late:
                return
