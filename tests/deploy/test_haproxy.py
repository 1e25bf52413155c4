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
# /readyz says no for so long: the balancer needs two checks, one in a second.
SHUTDOWN_DELAY_MS = 5000
WAIT_MS = 8000
ZONE = """
[server]
shutdown_delay_ms = {delay}
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
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.stats_url = f"http://127.0.0.1:{stats.getsockname()[1]}"
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
def balanced(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Balanced]:
    tool("haproxy")
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        file = tmp_path / "admission.toml"
        delay_ms = getattr(request, "param", 0)
        file.write_text(ZONE.format(redis=server.url, delay=delay_ms), "utf-8")
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


@pytest.mark.parametrize("balanced", [SHUTDOWN_DELAY_MS], indirect=True)
def test_a_polite_stop_cuts_no_waiting_request(balanced: Balanced) -> None:
    for _ in range(2):
        balanced.ask()
    body = {"campaign": "collections", "wait_ms": WAIT_MS}
    with ThreadPoolExecutor(20) as pool:
        waiting = [
            pool.submit(balanced.call, "/v1/admissions", {**body, "request_id": f"w-{n}"})
            for n in range(20)
        ]
        both_have_waiting_requests(balanced)
        balanced.replicas[0].process.send_signal(signal.SIGTERM)
        statuses = {one.result()[0] for one in waiting}
    assert balanced.replicas[0].stop(signal.SIGTERM)[0] == 0
    # 200 with a decision, or 503 with the reason by the replica that stops; none is cut (0, 502).
    assert statuses <= {200, 503}
    assert balanced.call("/readyz")[0] == 200


def both_have_waiting_requests(balanced: Balanced) -> None:
    deadline = time.monotonic() + REACHED_S
    while not all(open_connections(replica) >= 5 for replica in balanced.replicas):
        assert time.monotonic() < deadline, "the requests do not wait"
        time.sleep(PAUSE_S)


def open_connections(replica: ServiceProcess) -> int:
    """Established connections to the port of a replica, its own side of each."""
    port = f":{int(replica.url.rpartition(':')[2]):04X}"
    lines = Path(f"/proc/{replica.process.pid}/net/tcp").read_text().splitlines()[1:]
    return sum(one.split()[1].endswith(port) and one.split()[3] == "01" for one in lines)


# Forms of a path that a replica might read as /metrics.
HIDDEN = [
    "/metrics",
    "/metrics?a=1",
    "/%6Detrics",
    "/%6detric%73",
    "/%2Fmetrics",
    "//metrics",
    "/metrics/",
    "/./metrics",
    "/x/../metrics",
    "/%2e/metrics",
    "/x/%2e%2e/metrics",
    "/metrics;a",
    "/METRICS",
    "http://a.example/metrics",
    "http://a.example/%6Detrics",
]


def ask_raw(port: int, target: str) -> tuple[int, bytes]:
    """Status and answer of a request whose target is sent as it is."""
    with socket.create_connection(("127.0.0.1", port), timeout=REACHED_S) as connection:
        head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split()[1]), answer


def test_numbers_of_one_replica_are_not_shown_through_the_balancer(balanced: Balanced) -> None:
    replica = int(balanced.replicas[0].url.rpartition(":")[2])
    assert b"admission_zone_up" in ask_raw(replica, "/%6Detrics")[1]  # a replica decodes
    shown = [one for one in HIDDEN if b"admission_zone_up" in ask_raw(balanced.port, one)[1]]
    assert shown == []
    assert balanced.call("/metrics")[0] == 404


def test_the_balancer_has_numbers_for_prometheus(balanced: Balanced) -> None:
    with urllib.request.urlopen(f"{balanced.stats_url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    up = [one for one in lines if one.startswith("haproxy_server_status{") and 'state="UP"' in one]
    assert [one.rpartition(" ")[2] for one in up] == ["1", "1"]
