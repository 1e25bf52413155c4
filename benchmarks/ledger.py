"""The ledger without HTTP, compared with the script alone under redis-benchmark.

    empty script     EVALSHA of `return 1`, by redis-benchmark: a round trip
    script           the script with 64 admissions in each call, by redis-benchmark (one connection)
    ledger           the same decisions through `Ledger.admit`, 64 callers at once
    ledger, batches  through `Ledger.admit_all`, 100 admissions at a time, 4 callers at once

In turns, several rounds; decisions (calls, for the empty script) a second.
"""

import asyncio
import json
import re
import secrets
import shutil
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis
import uvloop

from admission.config.settings import RedisSettings
from admission.ledger import scripts
from admission.ledger.ledger import Ledger
from admission.ledger.store.connection import connect
from benchmarks import svg
from benchmarks.report import Report, machine, machine_line, spread, table
from benchmarks.zone import STORE, Zone, recover
from tests.support.redis_server import RedisServer

CALL, BATCH, CALLERS, BATCHERS = 64, 100, 64, 4
ROUNDS, ROUNDS_QUICK = 7, 2
DECISIONS, DECISIONS_QUICK = 32_000, 6400
EMPTY = "return 1"


def run(*, quick: bool) -> Report:
    """Measure all variants in turns."""
    rounds, decisions = (ROUNDS_QUICK, DECISIONS_QUICK) if quick else (ROUNDS, DECISIONS)
    with RedisServer(**STORE) as server, redis.Redis.from_url(server.url) as client:
        zone = Zone(client, "East")
        recover([zone])
        found: dict[str, Any] = {"machine": machine(), "rounds": rounds, "decisions": decisions}
        found["machine"]["redis"] = client.info("server")["redis_version"]
        values: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, measure in _contestants(server, zone).items():
                zone.take_snapshot()
                values.setdefault(name, []).append(measure(decisions))
    found["per_s"] = {name: spread(one, 0) for name, one in values.items()}
    found["ratios"] = _ratios(values)
    return Report(data=found, markdown=_markdown(found), pictures={"ledger.svg": _picture(found)})


def _contestants(server: RedisServer, zone: Zone) -> dict[str, Callable[[int], float]]:
    found: dict[str, Callable[[int], float]] = {}
    if shutil.which("redis-benchmark"):
        sha = str(zone.client.script_load(EMPTY))
        found["empty script"] = lambda n: _redis_benchmark(server, n, ["EVALSHA", sha, "0"])
        ops = [zone.ask() | {"id": "__rand_int__", "request_id": "r-__rand_int__"}] * CALL
        command = ["EVALSHA", scripts.load().sha, str(len(zone.keys)), *zone.keys]
        text = json.dumps(ops, separators=(",", ":"))
        found["script"] = lambda n: (
            CALL
            * _redis_benchmark(
                server, n // CALL, [*command, text, "bell"], "-c", "1", "-r", "999999999"
            )
        )
    found["ledger"] = lambda n: uvloop.run(_through(server, n, _admit))
    found["ledger, batches"] = lambda n: uvloop.run(_through(server, n, _admit_all))
    return found


def _redis_benchmark(server: RedisServer, calls: int, command: list[str], *more: str) -> float:
    """Calls a second."""
    head = ["redis-benchmark", "-s", str(server.socket), "-n", str(calls), "-q", *more]
    done = subprocess.run([*head, *command], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"([\d.]+) requests per second", done)
    return float(found[-1])


Caller = Callable[[Ledger, int], Awaitable[None]]


async def _through(server: RedisServer, decisions: int, caller: Caller) -> float:
    """Decisions a second through the ledger."""
    connection = await connect(RedisSettings(url=server.url, timeout_ms=5000))
    ledger = Ledger(connection)
    try:
        started = time.perf_counter()
        await caller(ledger, decisions)
        return decisions / (time.perf_counter() - started)
    finally:
        await ledger.close()
        await connection.close()


async def _admit(ledger: Ledger, decisions: int) -> None:
    async def one_after_the_other() -> None:
        for _ in range(decisions // CALLERS):
            answer = await ledger.admit("East", _op())
            assert answer["decision"] == "grant", answer

    await asyncio.gather(*(one_after_the_other() for _ in range(CALLERS)))


async def _admit_all(ledger: Ledger, decisions: int) -> None:
    async def one_after_the_other() -> None:
        for _ in range(decisions // BATCH // BATCHERS):
            for answer in await ledger.admit_batch("East", [_op() for _ in range(BATCH)]):
                assert isinstance(answer, dict), answer
                assert answer["decision"] == "grant", answer

    await asyncio.gather(*(one_after_the_other() for _ in range(BATCHERS)))


def _op() -> dict[str, Any]:
    made = secrets.token_urlsafe(8)
    fields = {"campaign": "c0", "channel": "sip", "mpp": "mpp1", "count": 1, "min_count": 1}
    named = {"op": "admit", "id": made, "request_id": f"r-{made}", "owner": "dialer-1"}
    return named | fields | {"body": "0123456789a"}


def _ratios(values: dict[str, list[float]]) -> dict[str, float]:
    """Each round to the script's in the same round; the median."""
    if "script" not in values:
        return {}
    return {
        f"{name} / script": round(
            statistics.median(a / b for a, b in zip(values[name], values["script"], strict=True)), 3
        )
        for name in ("ledger", "ledger, batches")
    }


def _markdown(found: dict[str, Any]) -> str:
    rows = [
        (name, *(f"{one[key]:,.0f}" for key in ("median", "least", "most")))
        for name, one in found["per_s"].items()
    ]
    lines = ["# The ledger without HTTP", "", machine_line(found["machine"])]
    lines.append(f"{found['rounds']} rounds of {found['decisions']:,} decisions, in turns.")
    lines += ["", table(("", "a second", "least", "most"), rows).strip()]
    lines += ["", table(("ratio", ""), list(found["ratios"].items())).strip()]
    return "\n".join(lines) + "\n"


def _picture(found: dict[str, Any]) -> str:
    values = {name: one["median"] for name, one in found["per_s"].items() if name[0] != "e"}
    return svg.bars("Decisions without HTTP, one process", values, "a second")
