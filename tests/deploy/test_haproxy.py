"""Two replicas behind the HAProxy that deploy/ configures: what dialers see when one dies."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.redis_server import RedisServer
from tests.support.service_process import ServiceProcess
from tests.support.tools import tool

CONFIG = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
REACHED_S = 30
PAUSE_S = 0.05
ZONE = """
[redis]
url = "{redis}"
[zones.East]
source = "static"
channels = ["sip"]
capacity = {{ sip = 2 }}
launch_within_ms = 100
claim_within_ms = 0
[zones.East.campaigns."*"]
"""


class Balanced:
    """Two replicas, and what one sees of them through the balancer."""

    def __init__(self, replicas: list[ServiceProcess]) -> None:
        self.replicas = replicas
        first, second = (replica.url.removeprefix("http://") for replica in replicas)
        # The socket is bound here and handed over, so that its port is ours for certain.
        listener = socket.create_server(("127.0.0.1", 0))
        stats = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        places = {
            "ADMISSION_BIND": f"fd@{listener.fileno()}",
            "ADMISSION_STATS": f"fd@{stats.fileno()}",
            "ADMISSION_1": first,
            "ADMISSION_2": second,
        }
        self._process = subprocess.Popen(
            [tool("haproxy"), "-db", "-f", str(CONFIG)],
            env={**os.environ, **places},
            pass_fds=(listener.fileno(), stats.fileno()),
            stderr=subprocess.DEVNULL,
        )
        for one in (listener, stats):
            one.close()

    def call(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer; None: an answer of the balancer, or (0) none."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None
        except OSError:
            return 0, None

    def said(self, path: str, body: Any) -> dict[str, Any]:
        """As a dialer says it: who loses an answer repeats, for once and twice are the same."""
        deadline = time.monotonic() + REACHED_S
        while (answered := self.call(path, body))[0] != 200:
            assert time.monotonic() < deadline, answered
            time.sleep(PAUSE_S)
        return dict(answered[1])

    def ask(self, **more: Any) -> dict[str, Any]:
        request_id = f"r-{time.monotonic_ns()}"
        return self.said(
            "/v1/admissions", {"campaign": "collections", "request_id": request_id, **more}
        )

    def end(self, granted: dict[str, Any]) -> None:
        for one in granted["reservations"]:
            assert self.said(f"/v1/reservations/{one['id']}/end", {})["state"] == "ended"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=REACHED_S)

    def until_reached(self) -> None:
        deadline = time.monotonic() + REACHED_S
        while self.call("/readyz")[0] != 200:
            assert self._process.poll() is None, "haproxy ended"
            assert time.monotonic() < deadline, "nothing answers behind the balancer"
            time.sleep(PAUSE_S)


@pytest.fixture
def balanced(tmp_path: Path) -> Iterator[Balanced]:
    tool("haproxy")
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        file = tmp_path / "admission.toml"
        file.write_text(ZONE.format(redis=server.url), "utf-8")
        behind = Balanced([stack.enter_context(running(file)) for _ in range(2)])
        stack.callback(behind.stop)
        behind.until_reached()
        yield behind


@contextmanager
def running(file: Path) -> Iterator[ServiceProcess]:
    """A replica, which the test may kill."""
    replica = ServiceProcess(file.parent, str(file))
    yield replica
    if replica.process.poll() is None:
        replica.stop()


def decisions(replica: ServiceProcess) -> int:
    """How many asks this replica decided."""
    with urllib.request.urlopen(f"{replica.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith("admission_decisions_total{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in found)


def test_dialers_do_not_notice_which_replica_answers_nor_that_one_died(balanced: Balanced) -> None:
    deadline = time.monotonic() + REACHED_S
    while not all(decisions(replica) > 0 for replica in balanced.replicas):
        assert time.monotonic() < deadline, "one replica is never asked"
        for granted in [balanced.ask() for _ in range(2)]:
            balanced.end(granted)

    kept = balanced.ask()
    victim = balanced.replicas[0].process
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    for _ in range(6):
        granted = balanced.ask()
        assert granted["decision"] == "grant"
        balanced.end(granted)
    balanced.end(kept)


def test_a_waiter_at_one_replica_gets_a_port_freed_at_the_other(balanced: Balanced) -> None:
    taken = [balanced.ask() for _ in range(2)]
    assert balanced.ask()["reason"] == "no_capacity"
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(balanced.ask, wait_ms=30_000) for _ in range(2)]
        for one in taken:
            balanced.end(one)
        assert [one.result()["decision"] for one in waiting] == ["grant", "grant"]


def test_numbers_of_one_replica_are_not_shown_through_the_balancer(balanced: Balanced) -> None:
    assert balanced.call("/metrics")[0] == 404
