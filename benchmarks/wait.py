"""The time from a freed port to the grant of a waiting request, and the cost of waiting.

Two replicas of the service in this process (real HTTP on loopback, one real Redis server of its
own). A port's `end` is posted to one of them; measured is the time from then until a waiter's
grant is read, on the same replica or on the other. Then 500 requests wait while nothing happens,
and Redis counts its commands. Takes about half a minute.

    python -m benchmarks wait
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio

from benchmarks.report import Report, machine, machine_line
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceHarness, commands_run, replicas, wait_for_waiters

ROUNDS = 400
ROUNDS_QUICK = 40
ROUNDS_WARM_UP = 20
IDLE_WAITERS = 500
IDLE_S = 5.0
IDLE_QUICK_S = 1.0
WAIT_MS = 30_000


async def wakes(
    url: str, on: ServiceHarness, ending: ServiceHarness, name: str, rounds: int
) -> list[float]:
    """Return the seconds from an `end` on one replica to the grant of a waiter on another."""
    seconds = []
    held = await ending.admit(f"{name}-first")
    for n in range(ROUNDS_WARM_UP + rounds):
        waiter = asyncio.create_task(on.admit(f"{name}-{n}", WAIT_MS))
        await wait_for_waiters(url, 1)
        started = time.perf_counter()
        ended = asyncio.create_task(ending.end(held))
        granted = await waiter
        seconds.append(time.perf_counter() - started)
        await ended
        assert granted["decision"] == "grant", granted
        held = granted
    await ending.end(held)
    return seconds[ROUNDS_WARM_UP:]


async def idle(
    url: str, both: list[ServiceHarness], campaigns: int, idle_s: float
) -> dict[str, float]:
    """Commands a second while 500 wait in so many groups, on two replicas, and nothing happens."""
    held = await both[0].admit(f"idle-{campaigns}")
    waiters = [
        asyncio.create_task(
            both[n % 2].admit(f"i{campaigns}-{n}", WAIT_MS, campaign=f"c{n % campaigns}")
        )
        for n in range(IDLE_WAITERS)
    ]
    await wait_for_waiters(url, IDLE_WAITERS)
    async with redis.asyncio.Redis.from_url(url) as client:
        await client.config_resetstat()
        started = time.perf_counter()
        await asyncio.sleep(idle_s)
        took = time.perf_counter() - started
        stats = await client.info("commandstats")
        scripts = stats.get("cmdstat_evalsha", {"calls": 0})["calls"]
        commands = await commands_run(client)
        cpu_us = sum(one["usec"] for one in stats.values())
    for one in waiters:
        one.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    await wait_for_waiters(url, 0)
    await both[0].end(held)
    found = {"scripts_per_s": scripts / took, "commands_per_s": commands / took}
    return found | {"redis_cpu_percent": 100 * cpu_us / 1e6 / took}


@asynccontextmanager
async def _open_replicas() -> AsyncIterator[tuple[str, list[ServiceHarness]]]:
    with RedisServer() as server:
        async with replicas(server.url, capacity={"sip": 1}) as both:
            yield server.url, both


async def measure(*, quick: bool) -> dict[str, Any]:
    rounds, idle_s = (ROUNDS_QUICK, IDLE_QUICK_S) if quick else (ROUNDS, IDLE_S)
    async with _open_replicas() as (url, (a, b)):
        async with redis.asyncio.Redis.from_url(url) as client:
            version = (await client.info("server"))["redis_version"]
        return {
            "machine": machine() | {"redis": version},
            "rounds": rounds,
            "wake_ms": {
                "same replica": summary(await wakes(url, a, a, "same", rounds)),
                "another replica": summary(await wakes(url, b, a, "other", rounds)),
            },
            "idle": {
                f"{IDLE_WAITERS} waiters of {n} campaign{'s' * (n > 1)}": {
                    name: round(value, 2)
                    for name, value in (await idle(url, [a, b], n, idle_s)).items()
                }
                for n in (1, 50)
            },
        }


def summary(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    named = {"median": statistics.median(seconds), "p99": cuts[98], "max": max(seconds)}
    return {name: round(1000 * value, 2) for name, value in named.items()}


def table(found: dict[str, Any]) -> str:
    lines = [
        "# Waiting for room",
        "",
        f"{machine_line(found['machine'])} Clients, two replicas and Redis share it.",
        "",
        f"From `end` of a port, posted, to the waiter's grant, read ({found['rounds']} rounds):",
        "",
        "| the waiter is on | median ms | p99 ms | max ms |",
        "|---|---|---|---|",
        *(
            f"| {where} | {one['median']} | {one['p99']} | {one['max']} |"
            for where, one in found["wake_ms"].items()
        ),
        "",
        f"While {IDLE_WAITERS} wait on two replicas and nothing happens:",
        "",
        "| | script calls/s | commands/s, inside scripts too | Redis CPU % |",
        "|---|---|---|---|",
        *(
            f"| {what} | {one['scripts_per_s']} | {one['commands_per_s']} "
            f"| {one['redis_cpu_percent']} |"
            for what, one in found["idle"].items()
        ),
    ]
    return "\n".join(lines) + "\n"


def run(*, quick: bool) -> Report:
    found = asyncio.run(measure(quick=quick))
    return Report(data=found, markdown=table(found))
