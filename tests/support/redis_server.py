"""A real Redis server for tests: on a unix socket, without persistence, ready in about 25 ms.

Several together, as replicas, sentinels or a cluster: redis_sets.py.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from admission.ledger.store.embedded.binary import find_server

START_S = 60.0
POLL_S = 0.002
# Of a test's own clients: redis-py gives up after 5 s, which a busy machine may take.
PATIENT = {"socket_timeout": 60.0}


def server_binary() -> Path:
    """The server under test: `ADMISSION_TEST_REDIS`, else what the service itself would run."""
    return Path(os.environ.get("ADMISSION_TEST_REDIS") or find_server())


class RedisServer:
    """One server process in a short private folder; `options` are redis.conf names and values.

    Use as a context manager, or `start` and `stop`. `kill` and `start` again to see a crash.
    """

    arguments: tuple[str, ...] = ()

    def __init__(self, *, binary: Path | str | None = None, **options: str) -> None:
        self._binary = binary
        # /tmp and not TMPDIR: the path of a unix socket may have 107 bytes
        self.folder = Path(tempfile.mkdtemp(prefix="adm-", dir="/tmp"))
        self.socket = self.folder / "s"
        self.url = f"unix://{self.socket}"
        self._options = {name.replace("_", "-"): value for name, value in options.items()}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        config = self.folder / "redis.conf"
        if not config.exists():  # a sentinel writes to its own
            config.write_text(self._config())
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary or server_binary(), config, *self.arguments], stdout=log, stderr=log
            )
        self._wait_ready(self._process)
        return self

    def client(self, **options: Any) -> redis.Redis:
        """A blocking client of it, patient on a busy machine; answers are bytes."""
        return redis.Redis(unix_socket_path=str(self.socket), **PATIENT | options)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it stand still: connections open, nothing answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it and remove its folder."""
        self._end(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def _config(self) -> str:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "hz": "100",
            **self._options,
        }
        return "".join(f"{name} {value}\n" for name, value in options.items() if value)

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Ask until it answers; the server process is the event."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and process.poll() is None:
            if self._answers():
                return
            time.sleep(POLL_S)
        log = (self.folder / "log").read_text(errors="replace")
        self.stop()
        raise RuntimeError(f"the Redis server for tests did not start:\n{log}")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                # Where every client needs a password, -NOAUTH is a sign of life too.
                return client.recv(64).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(how)
        try:
            self._process.wait(timeout=START_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
