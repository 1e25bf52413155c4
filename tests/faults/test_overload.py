"""Sustained overload of one zone: full batches without a pause, from several clients at once.

What does not depend on the speed of the machine is asserted: no circuit opens, every refusal is an
`Overloaded` that was not carried out, no other zone is refused, and no grant is lost: when every
grant that a client received has ended, nothing is in use. The times of the other zone, alone and
beside the overload, are recorded in the log of the test.
"""

import asyncio
import itertools
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from admission.config.settings import RedisSettings
from admission.ledger import group_commit
from admission.ledger.group_commit import Overloaded
from admission.ledger.ledger import Ledger
from admission.ledger.store.connection import open_connection
from tests.faults.table import record
from tests.support.paths import ROOT
from tests.support.redis_server import RedisServer
from tests.support.service_process import ServiceProcess
from tests.support.typed_ledger import ask, make_policy

pytestmark = pytest.mark.faults

OVERLOAD_S = float(os.environ.get("ADMISSION_OVERLOAD_S", "5"))
ALONE_S = 1.0
CLIENTS = 4
BATCH = 1000
CAPACITY = 20_000
CONFIG = """
[redis]
url = "{url}"
timeout_ms = 20000
""" + "".join(
    f"""
[zones.{zone}]
source = "static"
channels = ["sip"]
capacity.sip = {CAPACITY}
launch_within_ms = 1
claim_within_ms = 0
campaigns."*" = {{{{}}}}
"""
    for zone in ("East", "West")
)

log = logging.getLogger(__name__)
numbers = itertools.count(1)


@asynccontextmanager
async def ledger_of(server: RedisServer) -> AsyncIterator[Ledger]:
    """A ledger with two zones; Redis has more time than any machine here needs."""
    connection = await open_connection(RedisSettings(url=server.url, timeout_ms=20_000))
    ledger = Ledger(connection)
    for zone in ("East", "West"):
        policy = make_policy(capacity={"sip": CAPACITY}, campaigns={"*": {}}, retention_ms=0)
        await ledger.store_policy(zone, policy, "file")
        while (await ledger.get_status(zone))["recovering"]:
            pass
    yield ledger
    await ledger.close()
    await connection.close()


async def end_grants(ledger: Ledger, zone: str, answers: list[Any]) -> None:
    """Report the end of every grant, again where the report was refused."""
    for answer in answers:
        for reservation in answer["reservations"]:
            report = {"op": "end", "id": reservation["id"], "outcome": "completed"}
            while True:
                try:
                    await ledger.report(zone, report)
                except Overloaded:
                    await asyncio.sleep(0)
                else:
                    break


class Client:
    """Sends one full batch after the other, and ends what it was granted at the end."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.answers: list[Any] = []
        self.refused = 0
        self.other: list[BaseException] = []

    async def run(self, until: float) -> None:
        while time.monotonic() < until:
            batch = [ask(next(numbers)) for _ in range(BATCH)]
            for found in await self.ledger.admit_batch("East", batch):
                if isinstance(found, Overloaded):
                    self.refused += 1
                elif isinstance(found, BaseException):
                    self.other.append(found)
                elif found["granted"]:
                    self.answers.append(found)


async def measure_other_zone(ledger: Ledger, until: float) -> list[float]:
    """Seconds of each decision of the other zone; raises what it is refused with."""
    seconds = []
    while time.monotonic() < until:
        started = time.perf_counter()
        answer = await ledger.admit("West", ask(next(numbers)))
        seconds.append(time.perf_counter() - started)
        await end_grants(ledger, "West", [answer])
    return sorted(seconds)


async def count_in_use(ledger: Ledger, zone: str) -> dict[str, int]:
    pools = (await ledger.get_status(zone))["pools"]
    return {pool["pool"]: pool["in_use"] for pool in pools if pool["in_use"]}


def p99_ms(seconds: list[float]) -> float:
    return round(1000 * seconds[int(0.99 * (len(seconds) - 1))], 1)


@pytest.mark.parametrize("queue_units", [group_commit.QUEUE_UNITS_MAX, 2 * BATCH])
async def test_full_batches_of_four_clients_open_no_circuit_and_lose_no_grant(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, queue_units: int
) -> None:
    monkeypatch.setattr(group_commit, "QUEUE_UNITS_MAX", queue_units)
    caplog.set_level(logging.INFO)
    with RedisServer() as server:
        async with ledger_of(server) as ledger:
            alone = await measure_other_zone(ledger, time.monotonic() + ALONE_S)
            clients = [Client(ledger) for _ in range(CLIENTS)]
            until = time.monotonic() + OVERLOAD_S
            beside, *_ = await asyncio.gather(
                measure_other_zone(ledger, until), *(one.run(until) for one in clients)
            )

            assert not [fault for one in clients for fault in one.other]
            assert "calls are refused until" not in caplog.text  # no circuit opened
            granted = sum(len(one.answers) for one in clients)
            assert await count_in_use(ledger, "East") == {
                "channel:sip": granted, "campaign:collections": granted,
            }  # fmt: skip
            await asyncio.gather(*(end_grants(ledger, "East", one.answers) for one in clients))
            assert await count_in_use(ledger, "East") == {}
            assert await count_in_use(ledger, "West") == {}
            refused = sum(one.refused for one in clients)
            if queue_units == 2 * BATCH:
                assert refused  # at once: the queue has no room for the batches of all clients
            log.info(
                "overload: %d granted, %d refused; other zone p99 %s ms alone, %s ms beside it",
                granted, refused, p99_ms(alone), p99_ms(beside),
            )  # fmt: skip


def start_client(kind: str, url: str, zone: str, seconds: float) -> subprocess.Popen[str]:
    """Start a client. Those of batches yield the processor: clients of a site run elsewhere."""
    arguments = ["-m", "tests.faults.load_client", kind, url, zone, str(seconds)]
    command = [sys.executable, *arguments]
    if kind == "batches":
        command = ["nice", "-n", "19", *command]
    return subprocess.Popen(command, stdout=PIPE, text=True, cwd=ROOT)


def finish(client: subprocess.Popen[str]) -> Any:
    """Wait for a client. Returns: what it found."""
    output, _ = client.communicate(timeout=OVERLOAD_S + 120)
    assert client.returncode == 0
    return json.loads(output)


def test_four_client_processes_of_full_batches_leave_the_other_zone_its_answers(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    (tmp_path / "admission.toml").write_text(CONFIG.format(url=own_redis.url))
    service = ServiceProcess(tmp_path, "admission.toml")
    try:
        alone = finish(start_client("single", service.url, "West", OVERLOAD_S))
        clients = [start_client("batches", service.url, "East", OVERLOAD_S) for _ in range(CLIENTS)]
        beside = finish(start_client("single", service.url, "West", OVERLOAD_S))
        found = [finish(client) for client in clients]
        statuses = [service.call("GET", f"/v1/zones/{zone}")[1] for zone in ("East", "West")]
    finally:
        _, errors = service.stop()

    assert "calls are refused until" not in errors  # no circuit opened
    assert beside["statuses"].keys() == {"200"}
    for client in found:
        assert client["statuses"].keys() <= {"200", "503"}
    left = sum(pool["in_use"] for status in statuses for pool in status["pools"])
    grants = sum(client["grants"] for client in found)
    assert grants
    record(
        f"4 clients send full batches for {OVERLOAD_S:.0f} s: requests of another zone",
        sent=beside["requests"],
        answered=beside["requests"],
        grants=beside["grants"],
        leaked=left,
        slowest_s=beside["max_ms"] / 1000,
        group="Processes",
    )
    assert not left  # every grant was received: the clients ended what they received
    log.info(
        "overload: %d grants in batches; the other zone alone %s, beside them %s",
        grants, alone, beside,
    )  # fmt: skip
