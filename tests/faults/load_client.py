"""A client process of the overload test: full batches without a pause, or single requests.

    python -m tests.faults.load_client batches URL ZONE SECONDS
    python -m tests.faults.load_client single URL ZONE SECONDS

It prints one JSON object when it is done. Everything that it was granted has ended by then.
"""

import http.client
import itertools
import json
import os
import sys
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

BATCH = 1000
REFUSED = 503


class Client:
    """Requests over one connection, counted by status."""

    def __init__(self, url: str, zone: str) -> None:
        self.zone = zone
        self.statuses: Counter[int] = Counter()
        self.grants = 0
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._numbers = itertools.count()

    def build_admission(self) -> dict[str, Any]:
        name = f"{os.getpid()}-{next(self._numbers)}"
        return {"zone": self.zone, "campaign": "load", "channel": "sip", "request_id": name}

    def send(self, path: str, body: Any) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", path, json.dumps(body), headers)
        response = self._connection.getresponse()
        return response.status, json.load(response)

    def admit_batch(self) -> list[str]:
        """Send a full batch. Returns: the ids of its grants."""
        requests = [self.build_admission() for _ in range(BATCH)]
        status, answer = self.send("/v1/admissions/batch", {"requests": requests})
        assert status == 200, answer
        self.statuses.update(one["status"] for one in answer["results"])
        ids = [
            reservation["id"]
            for one in answer["results"]
            for reservation in one.get("reservations", ())
        ]
        self.grants += len(ids)
        return ids

    def end_grants(self, ids: list[str]) -> None:
        """Report ends, those that were refused again."""
        while ids:
            reports = [{"op": "end", "id": one, "outcome": "completed"} for one in ids]
            status, answer = self.send("/v1/reservations/batch", {"reports": reports})
            assert status == 200, answer
            statuses = [one["status"] for one in answer["results"]]
            self.statuses.update(statuses)
            ids = [one for one, found in zip(ids, statuses, strict=True) if found == REFUSED]


def send_batches(client: Client, until: float) -> dict[str, Any]:
    os.nice(19)  # as if it ran on another machine: it takes no processor from the service
    while time.monotonic() < until:
        client.end_grants(client.admit_batch())
    return {}


def send_single(client: Client, until: float) -> dict[str, Any]:
    seconds = []
    while time.monotonic() < until:
        started = time.perf_counter()
        status, answer = client.send("/v1/admissions", client.build_admission())
        seconds.append(time.perf_counter() - started)
        client.statuses[status] += 1
        client.grants += status == 200
        client.end_grants([one["id"] for one in answer.get("reservations", ())])
    ms = sorted(1000 * one for one in seconds)
    at = {name: ms[int(part * (len(ms) - 1))] for name, part in (("p50", 0.5), ("p99", 0.99))}
    return {"requests": len(ms), "p50_ms": at["p50"], "p99_ms": at["p99"], "max_ms": ms[-1]}


def main() -> None:
    kind, url, zone, seconds = sys.argv[1:]
    client = Client(url, zone)
    run = send_batches if kind == "batches" else send_single
    found = run(client, time.monotonic() + float(seconds))
    print(json.dumps({**found, "grants": client.grants, "statuses": client.statuses}))


if __name__ == "__main__":
    main()
