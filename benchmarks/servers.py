"""Servers on loopback, each in its own process: this service and the peers."""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

TOKEN = "bench-dialer"
SOURCE_TOKEN = "bench-source"
START_S = 20.0
PUSH_S = 1.0
PORTS = 2_000_000
ASK = {"campaign": "collections", "channel": "sip", "mpp": "mpp1"}

CONFIG = f"""
[server]
port = {{port}}
workers = {{workers}}
default_zone = "East"
[redis]
url = "{{redis}}"
timeout_ms = 5000
[log]
level = "warning"
[[auth.tokens]]
name = "dialer"
sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
role = "dialer"
campaigns = ["collections"]
zones = ["East"]
[[auth.tokens]]
name = "source"
sha256 = "{hashlib.sha256(SOURCE_TOKEN.encode()).hexdigest()}"
role = "source"
[[auth.tokens]]
name = "operator"
sha256 = "{hashlib.sha256(b"bench-operator").hexdigest()}"
role = "operator"
[zones.East]
source = "push"
channels = ["sip"]
launch_within_ms = 1000
claim_within_ms = 500
answer_within_ms = 3000000
rate_per_s = 100000
burst = 100000
[zones.East.mpps.mpp1]
sip = 1000000
[zones.East.campaigns.collections]
limit = 1000000
rate_per_s = 100000
burst = 100000
pools = ["trunk:carrier-a"]
[zones.East.pools."trunk:carrier-a"]
limit = 1000000
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def call(
    port: int, path: str, body: Any = None, *, token: str = TOKEN, method: str = "POST"
) -> Any:
    """Send one request, and return the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
    with urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


@contextmanager
def process(*command: str, ready: int) -> Iterator[int]:
    """Run a server process for the time of the block; yield its port when it listens."""
    running = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": "."}
    )
    try:
        _wait_until_listening(running, ready)
        yield ready
    finally:
        running.terminate()
        running.wait(timeout=20)


def _wait_until_listening(running: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and running.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{running.args!r} does not listen on {port}")


@contextmanager
def peer(kind: str, redis_url: str) -> Iterator[int]:
    port = free_port()
    with process(sys.executable, "-m", "benchmarks.peers", kind, str(port), redis_url, ready=port):
        yield port


@contextmanager
def throttle() -> Iterator[int]:
    """`throttle-server`: one semaphore, in memory."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "throttle.toml")
        config.write_text(f"[semaphores]\nA = {PORTS}\n")
        binary = str(Path(sys.executable).parent / "throttle")
        with process(binary, "-c", str(config), "--port", str(port), ready=port):
            yield port


@contextmanager
def admission(redis_url: str, workers: int = 1) -> Iterator[int]:
    """Run this service, after recovery, with a snapshot pushed every second."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "bench.toml")
        config.write_text(CONFIG.format(port=port, workers=workers, redis=redis_url))
        command = (sys.executable, "-m", "admission", "serve", str(config))
        with process(*command, ready=port), _push_snapshots(port):
            _wait_until_granting(port)
            yield port


@contextmanager
def _push_snapshots(port: int) -> Iterator[None]:
    stop = threading.Event()

    def push() -> None:
        while not stop.wait(PUSH_S):
            with contextlib.suppress(OSError, URLError):
                now = call(port, "/v1/zones/East/time", token=SOURCE_TOKEN, method="GET")["now"]
                body = {"taken_at": now, "total": PORTS, "unused": {"sip": PORTS}}
                call(port, "/v1/zones/East/snapshot", body, token=SOURCE_TOKEN, method="PUT")

    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _wait_until_granting(port: int) -> None:
    last: Any = None
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, URLError):
            last = call(port, "/v1/admissions", ASK | {"dry_run": True})
            if last["decision"] == "grant":
                return
        time.sleep(0.1)
    raise RuntimeError(f"the service grants nothing: {last}")


def count_grants(port: int) -> int:
    """Return the launches granted since the creation of the zone."""
    status = call(port, "/v1/zones/East", token="bench-operator", method="GET")
    return int(status["stats"].get("grant", 0))
