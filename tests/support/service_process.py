"""The service as a user starts it: `admission serve` in a process and a folder of its own."""

import itertools
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

START_S = 60
NUMBERS = itertools.count()


class ServiceProcess:
    """`admission serve` in a folder of its own, started up to the first commands that it prints.

    Args:
        log: file of its standard error; None: one in the folder.
    """

    def __init__(
        self, folder: Path, *arguments: str, log: Path | None = None, **environ: str
    ) -> None:
        self.folder = folder
        self._log = log or folder / f"service-{next(NUMBERS)}.log"
        with self._log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "admission", "serve", *arguments],
                cwd=folder,
                env={**os.environ, "ADMISSION__SERVER__PORT": "0", **environ},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.printed: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line.strip())
            if line.startswith("  curl") and "/zones/" in line:
                break
        self.url = self.printed[0].split()[3] if self.printed else ""

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def read_log(self) -> str:
        """What it logged so far."""
        return self._log.read_text()

    def redis_pid(self) -> int:
        return int((self.folder / "data" / "server.lock").read_text())

    def stop(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Send a signal and wait for the end. Returns: the exit code and the log."""
        self.process.send_signal(how)
        self.process.communicate(timeout=START_S)
        return self.process.returncode, self._log.read_text() if self._log.is_file() else ""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
