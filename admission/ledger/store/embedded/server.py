"""The embedded Redis: started and stopped with the service, restarted when its process ends.

The server runs in a session of its own, so a Ctrl-C in the terminal ends the service first and
the service then ends the server. After a SIGKILL of the service the server stays behind as an
orphan. PR_SET_PDEATHSIG would end it with the service, but exists on Linux only, needs code between
fork and exec, and is sent when the *thread* that forked ends. Instead the next start finds the
orphan by the lock that it still holds and ends it: on SIGTERM Redis writes and fsyncs its
append-only file first. To adopt the orphan would save the zones a few seconds of recovery after a
SIGKILL, at the cost of a second kind of server: no child process, and perhaps of another version or
durability than configured.

A restarted server has a new `run_id`, by which the ledger notices that it must recover.
"""

import asyncio
import contextlib
import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal
from urllib.parse import quote

from admission.errors import ConfigError
from admission.ledger.store.embedded.binary import ServerBinary, find_servers
from admission.ledger.store.embedded.data_dir import DataDirectory
from admission.tasks import Backoff, cancel_and_wait

log = logging.getLogger(__name__)

START_S = 120.0  # a long append-only file loads slowly
STOP_S = 10.0
POLL_S = 0.005
BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 30.0
# Redis 7 of data of Redis 7.2 or Valkey 8, and of data of Valkey 9.
UNREADABLE = re.compile(r"Can't handle RDB format version|Bad file format reading .*\.base\.rdb:")
STABLE_S = 60.0  # after so long a run a server is restarted without delay


class EmbeddedRedis:
    """One server process, and the task that restarts it.

    Example:
        server = EmbeddedRedis("data")
        url = await server.start()

    Args:
        data_dir: directory of its data, socket, log and locks; used by one service at a time.
        durability: `everysec` may lose the last second in a power cut, `always` nothing.
    """

    def __init__(
        self, data_dir: Path | str, durability: Literal["everysec", "always"] = "everysec"
    ) -> None:
        self._data_dir = Path(data_dir)
        self._durability = durability
        self._lock: IO[str] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server; None while none runs."""
        alive = self._process and self._process.returncode is None
        return self._process.pid if self._process and alive else None

    async def start(self) -> str:
        """Start the server, wait until it has loaded its data, and return its `unix://` URL.

        Raises: ConfigError: no server installed; the folder is not writable or belongs to another
            running service; the data is damaged; the server does not start.
        """
        if self._lock:
            raise RuntimeError("already started")
        folder = DataDirectory(self._data_dir)
        self._lock = _lock_data_dir(folder)
        try:
            binary = await self._launch_first(folder)
        except BaseException:
            await self.stop()
            raise
        self._supervisor = asyncio.create_task(self._supervise(binary, folder), name="redis")
        return f"unix://{quote(str(folder.socket))}"

    async def stop(self) -> None:
        """End the server, its data written, and release the folder. Safe to call twice."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor:
            await cancel_and_wait(supervisor)
        process, self._process = self._process, None
        if process:
            await _end(process)
        lock, self._lock = self._lock, None
        if lock:
            lock.close()

    async def _launch_first(self, folder: DataDirectory) -> Path:
        """Launch the first server that reads the data of the folder, and return its path."""
        failure: ConfigError | None = None
        servers = _find_readers(folder)
        while server := await asyncio.to_thread(next, servers, None):
            try:
                await self._launch(server.path, folder)
                return server.path
            except _UnreadableData as exc:
                failure = exc
                log.warning("redis: %s does not read the data of %s", server.path, folder.path)
        assert failure
        raise ConfigError(
            f"redis.data_dir: no server on this machine reads the data of {folder.path}: a newer "
            f"version wrote it, or it is damaged. Install that version, or move {folder.data} "
            "away: every zone then recovers by itself within seconds, without its reservations.\n"
            f"{failure.detail}"
        )

    async def _launch(self, binary: Path, folder: DataDirectory) -> None:
        server_lock = await _lock_server(folder)
        try:
            folder.write_config(self._durability)
            offset_bytes = await self._spawn(binary, folder, server_lock)
        except OSError as exc:
            raise ConfigError(f"redis.data_dir: cannot start {binary}: {exc}") from exc
        finally:
            server_lock.close()  # from here on only the server holds it
        assert self._process is not None
        await _wait_until_ready(self._process, folder, offset_bytes)
        _warn_of_losses(folder, offset_bytes)

    async def _spawn(self, binary: Path, folder: DataDirectory, server_lock: IO[str]) -> int:
        """Run the server with its lock. Returns: where in the log it begins, in bytes."""
        with folder.open_log() as out:
            offset_bytes = out.seek(0, os.SEEK_END)
            self._process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", 'umask 077 && exec "$0" "$@"', binary, folder.config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=folder.path,
                start_new_session=True,
                pass_fds=(server_lock.fileno(),),
            )
        _write_pid(server_lock, self._process.pid)
        return offset_bytes

    async def _supervise(self, binary: Path, folder: DataDirectory) -> None:
        backoff = Backoff(min_s=BACKOFF_MIN_S, max_s=BACKOFF_MAX_S, jitter=0)
        while True:
            assert self._process is not None
            began = time.monotonic()
            code = await self._process.wait()
            log.error("redis: the server ended with %s; restarting it", code)
            if time.monotonic() - began > STABLE_S:
                backoff.reset()
            await self._restart(binary, folder, backoff)

    async def _restart(self, binary: Path, folder: DataDirectory, backoff: Backoff) -> None:
        logged = ""
        while True:
            await asyncio.sleep(backoff.next_s())
            try:
                await self._launch(binary, folder)
                return
            except (ConfigError, OSError) as exc:
                if logged != (logged := str(exc).partition("\n")[0]):  # once, not at every attempt
                    log.error("redis: the server does not restart: %s", exc)


class _UnreadableData(ConfigError):
    """The server does not know the format of the data: another version or Redis wrote it."""


def _find_readers(folder: DataDirectory) -> Iterator[ServerBinary]:
    """Usable servers. Those that would not look at the data, and start empty, come last."""
    blind = []
    for server in find_servers():
        if server.version < (7, 0) and folder.data.exists():
            blind.append(server)
        else:
            yield server
    yield from blind


def _lock_data_dir(folder: DataDirectory) -> IO[str]:
    lock = folder.lock("service")
    if lock is None:
        raise ConfigError(
            f"redis.data_dir: {folder.path} is in use by another running service, process "
            f"{folder.holder('service')}; stop that one, or give each its own folder"
        )
    _write_pid(lock, os.getpid())
    return lock


def _write_pid(lock: IO[str], pid: int) -> None:
    lock.truncate(0)
    lock.write(str(pid))
    lock.flush()


async def _lock_server(folder: DataDirectory) -> IO[str]:
    """The server's lock; an orphan that still holds it is ended first."""
    if lock := folder.lock("server"):
        return lock
    pid = folder.holder("server")
    log.warning("redis: ending process %s, which a service that was killed left behind", pid)
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            if pid:
                os.kill(pid, how)
        deadline = time.monotonic() + STOP_S
        while time.monotonic() < deadline:
            if lock := folder.lock("server"):
                return lock
            await asyncio.sleep(POLL_S)
    raise ConfigError(f"redis.data_dir: process {pid} still uses {folder.path} and does not end")


async def _wait_until_ready(
    process: asyncio.subprocess.Process, folder: DataDirectory, offset_bytes: int
) -> None:
    deadline = time.monotonic() + START_S
    while process.returncode is None and time.monotonic() < deadline:
        if await _is_answering(folder.socket):
            return
        await asyncio.sleep(POLL_S)
    text = folder.log_since(offset_bytes)
    if process.returncode is None:
        await _end(process)
        raise ConfigError(f"redis: the server did not answer within {START_S:.0f} s:\n{text}")
    if UNREADABLE.search(text):
        raise _UnreadableData(text)
    if "Bad file format reading the append only file" in text:
        damaged = folder.damaged_file(text)
        # Redis 7 and newer keep several files and a list of them, which go together.
        what = "it" if damaged.parent == folder.path else f"the whole of {damaged.parent}"
        raise ConfigError(
            f"redis.data_dir: {damaged} is damaged. Move {what} away: every zone then recovers by "
            "itself within seconds, without its reservations. Or repair a copy of it with "
            "redis-check-aof --fix"
        )
    raise ConfigError(f"redis: the server ended with {process.returncode}:\n{text}")


def _warn_of_losses(folder: DataDirectory, offset_bytes: int) -> None:
    if "loaded anyway because aof-load-truncated" in folder.log_since(offset_bytes):
        log.warning("redis: the append-only file ended in the middle of an entry, which is lost")
    if folder.has_two_data_sets():
        log.warning("redis: %s has data of two versions of Redis; one is not read", folder.path)


async def _is_answering(path: Path) -> bool:
    """Whether the server answers PING, which it does not while it loads its data."""
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, TimeoutError):
        return False


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, on which Redis fsyncs its data; SIGKILL if that takes too long."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await process.wait()
                return
