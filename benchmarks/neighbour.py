"""What a hostile tenant with valid tokens costs the others, in each way that it has.

    python -m benchmarks.neighbour [--seconds 60] [--way NAME]

A service of its own (one worker, the embedded Redis) has a quiet dialer: it asks for a launch every
PERIOD_S, reports the launch and its end. Beside it runs one way of an attack at a time, by two
processes that send as fast as they are answered. Printed for each way: the 99th percentile of the
quiet dialer's answers and its grants, before the attack and during it, and the statuses that the
attacker got. A way passes if both are within 20% of before. A machine with other work says nothing.
"""

import argparse
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

PERIOD_S: Final = 0.02
ATTACKERS: Final = 2
TOLERANCE: Final = 0.2
BATCH: Final = 1000
RATE: Final = 500  # requests_per_s_per_caller
START_S: Final = 60

CONFIG: Final = """
[limits]
requests_per_s_per_caller = {rate}
[[auth.tokens]]
name = "quiet"
sha256 = "{quiet}"
role = "dialer"
campaigns = ["quiet"]
[[auth.tokens]]
name = "hostile"
sha256 = "{hostile}"
role = "dialer"
campaigns = ["hostile"]
[[auth.tokens]]
name = "source"
sha256 = "{source}"
role = "source"
pools = ["agent:*"]
[zones.East]
source = "static"
channels = ["sip"]
capacity = {{ sip = 200 }}
max_records = 100000
max_pools = 1000
[zones.East.campaigns.quiet]
guarantee = 50
[zones.East.campaigns.hostile]
limit = 20
[zones.East.pools."trunk:shared"]
limit = 200
[zones.East.pools."agent:*"]
"""

Attack = Callable[["Client", Iterator[int]], int]


class Client:
    """Requests with one token over one connection, which is opened again when it breaks."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token
        self._connection = HTTPConnection("127.0.0.1", port, timeout=40)

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            self._connection.request(method, path, json.dumps(body), headers)
            response = self._connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        except (OSError, HTTPException):
            self._connection.close()
            return 0, None


def invent_id() -> str:
    """An id in the form of genuine ones."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "East~" + "".join(random.choices(letters, k=19))


def adopt_invented(client: Client, numbers: Iterator[int]) -> int:
    known = {"zone": "East", "channel": "sip", "campaign": "hostile", "pools": ["trunk:shared"]}
    reports = [{"op": "launched", "id": invent_id(), "reservation": known} for _ in range(BATCH)]
    return client.send("POST", "/v1/reservations/batch", {"reports": reports})[0]


def end_invented(client: Client, numbers: Iterator[int]) -> int:
    reports = [{"op": "end", "id": invent_id()} for _ in range(BATCH)]
    return client.send("POST", "/v1/reservations/batch", {"reports": reports})[0]


def ask_in_batches(client: Client, numbers: Iterator[int]) -> int:
    asks = [{"campaign": "hostile"} for _ in range(BATCH)]
    return client.send("POST", "/v1/admissions/batch", {"requests": asks})[0]


def ask_and_end(client: Client, numbers: Iterator[int]) -> int:
    status, answer = client.send("POST", "/v1/admissions", {"campaign": "hostile", "count": 20})
    if status == 200 and answer["granted"]:
        reports = [{"op": "end", "id": one["id"]} for one in answer["reservations"]]
        status, _ = client.send("POST", "/v1/reservations/batch", {"reports": reports})
    return status


def wait_in_batches(client: Client, numbers: Iterator[int]) -> int:
    asks = [{"campaign": "hostile", "wait_ms": 5000} for _ in range(BATCH)]
    return client.send("POST", "/v1/admissions/batch", {"requests": asks})[0]


def push_pools(client: Client, numbers: Iterator[int]) -> int:
    now = client.send("GET", "/v1/zones/East/time")[1]
    taken_at, number = (now or {}).get("now", 0), next(numbers)
    counts = {"total": 1, "unused": 1}
    pools = {f"agent:{number * 2000 + n}": counts for n in range(2000)}
    return client.send("PUT", "/v1/zones/East/snapshot", {"taken_at": taken_at, "pools": pools})[0]


def push_too_many(client: Client, numbers: Iterator[int]) -> int:
    counts = {"total": 1, "unused": 1}
    pools = {f"agent:{n}": counts for n in range(14_000)}
    return client.send("PUT", "/v1/zones/East/snapshot", {"taken_at": 1, "pools": pools})[0]


def guess_links(client: Client, numbers: Iterator[int]) -> int:
    return client.send("POST", f"/r/{'A' * 22}.{invent_id()}~quiet/end", {})[0]


def guess_at_page(client: Client, numbers: Iterator[int]) -> int:
    return Client(client.port, f"wrong{next(numbers)}").send("GET", "/")[0]


def stay_idle(client: Client, numbers: Iterator[int]) -> int:
    opened = []
    for _ in range(300):
        opened.append(socket.create_connection(("127.0.0.1", client.port), timeout=5))
    for one in opened:
        one.close()
    return 200


# way -> the token of the attacker, what it does
WAYS: Final[dict[str, tuple[str, Attack]]] = {
    "adoption of invented ids": ("hostile", adopt_invented),
    "ends of invented ids": ("hostile", end_invented),
    "batches of 1000 admissions": ("hostile", ask_in_batches),
    "admissions and ends": ("hostile", ask_and_end),
    "batches of 1000 that wait": ("hostile", wait_in_batches),
    "pushes of 2000 new pools": ("source", push_pools),
    "pushes of 14,000 pools": ("source", push_too_many),
    "guessed report links": ("none", guess_links),
    "guessed tokens at /": ("none", guess_at_page),
    "idle connections": ("none", stay_idle),
}


def attack(port: int, way: str, seconds: float, statuses: Any, first: int) -> None:
    """Send one way of an attack without a pause. Puts the counts of statuses into a queue."""
    os.nice(19)  # an attacker runs elsewhere: its processor is not the service's
    token, send = WAYS[way]
    client, numbers, found = Client(port, token), itertools.count(first), Counter[int]()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found[send(client, numbers)] += 1
    statuses.put(found)


def watch(port: int, seconds: float) -> tuple[float, int, int]:
    """Run the quiet dialer. Returns: the 99th percentile in ms, grants, and other answers."""
    client, took, grants, others = Client(port, "quiet"), [], 0, 0
    starts = time.monotonic()
    for n in itertools.count():
        due = starts + n * PERIOD_S
        if due > starts + seconds:
            break
        time.sleep(max(0, due - time.monotonic()))
        before = time.perf_counter()
        status, answer = client.send("POST", "/v1/admissions", {"campaign": "quiet"})
        took.append(time.perf_counter() - before)
        if status == 200 and answer["granted"]:
            grants += 1
            path = f"/v1/reservations/{answer['reservations'][0]['id']}"
            client.send("POST", f"{path}/launched", {"port_taken": True})
            client.send("POST", f"{path}/end", {"outcome": "completed"})
        else:
            others += 1
    return 1000 * quantiles(took, n=100)[98], grants, others


@contextmanager
def serve() -> Iterator[int]:
    """A service in a folder of its own. Gives its port."""
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("quiet", "hostile")}
    digests["source"] = hashlib.sha256(b"source").hexdigest()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        Path(folder, "admission.toml").write_text(CONFIG.format(rate=RATE, **digests))
        process = subprocess.Popen(
            [sys.executable, "-m", "admission", "serve", "admission.toml"],
            cwd=folder,
            env={**os.environ, "ADMISSION__SERVER__PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until_ready(port)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_S)


def wait_until_ready(port: int) -> None:
    """Return once the zone grants."""
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
        except OSError:
            time.sleep(0.1)
            continue
        if Client(port, "quiet").send("POST", "/v1/admissions", {"campaign": "quiet"})[1][
            "granted"
        ]:
            return
        time.sleep(0.5)
    raise SystemExit("the service did not start")


def measure(port: int, way: str, seconds: float) -> bool:
    """Measure one way. Returns: whether the quiet dialer was served as before."""
    p99_before, grants_before, _ = watch(port, seconds)
    statuses: Any = multiprocessing.Queue()
    attackers = [
        multiprocessing.Process(target=attack, args=(port, way, seconds, statuses, n * 1_000_000))
        for n in range(ATTACKERS)
    ]
    for one in attackers:
        one.start()
    p99, grants, others = watch(port, seconds)
    found = sum((statuses.get(timeout=60) for _ in attackers), Counter[int]())
    for one in attackers:
        one.join()
    is_same = p99 <= (1 + TOLERANCE) * p99_before and grants >= (1 - TOLERANCE) * grants_before
    print(
        f"{way:28} p99 {p99_before:6.1f} -> {p99:6.1f} ms   grants {grants_before} -> {grants}"
        f"   not granted {others}   attacker {dict(found)}   {'ok' if is_same else 'WORSE'}",
        flush=True,
    )
    return is_same


def main() -> int:
    """Measure the ways. The exit code is 1 if one of them harms the quiet dialer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--way", choices=WAYS, action="append")
    options = parser.parse_args()
    with serve() as port:
        found = [measure(port, way, options.seconds) for way in options.way or WAYS]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
