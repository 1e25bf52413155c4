"""Workers and replicas are killed: others continue; nothing is lost or granted twice."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults.load import Load, ServiceReplica, find_free_ports, run_load
from tests.support.redis_server import RedisServer
from tests.support.served_portal import ZONE, ServedPortal

pytestmark = pytest.mark.faults
KILLS = 10


def build_config(platform: ServedPortal, redis_url: str, workers: int = 1) -> str:
    """Return the configuration file of a replica."""
    policy = {name: value for name, value in ZONE.items() if not isinstance(value, dict)}
    lines = [f"{name} = {value!r}" for name, value in policy.items()]
    return "\n".join(
        [
            f'[server]\nworkers = {workers}\n[redis]\nurl = "{redis_url}"',
            f'[sources.epm]\ntype = "experience_portal"\nurl = "{platform.url}"',
            'auth = "none"\ntimeout_ms = 500\n[zones.East]',
            *lines,
            '[zones.East.campaigns."*"]\n[zones.East.pools."trunk:a"]\nlimit = 12\n',
        ]
    )


def find_workers(parent: int) -> list[int]:
    """Return the process ids of the workers of a supervisor."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            command = (stat.parent / "cmdline").read_bytes()
            if int(ppid) == parent and state != "Z" and b"admission.runtime.worker" in command:
                found.append(int(stat.parent.name))
    return sorted(found)


async def test_workers_are_killed(tmp_path: Path) -> None:
    processes: list[ServiceReplica] = []

    @asynccontextmanager
    async def start(platform: ServedPortal) -> AsyncIterator[list[str]]:
        text = build_config(platform, "", workers=2)
        processes.append(ServiceReplica(tmp_path / "service", text, *find_free_ports(1)))
        await processes[0].start()
        yield [processes[0].url]
        await processes[0].end()

    random = Random(1)
    async with run_load(start) as load:
        for _ in range(KILLS):
            workers = find_workers(processes[0].pid)
            os.kill(random.choice(workers), signal.SIGKILL)
            await load.wait_for_grant()
            await asyncio.sleep(random.uniform(0.1, 1.0))
        await load.finish(f"kill -9 of one worker of two, {KILLS} times", "Processes")


async def test_the_replica_that_polls_is_killed(own_redis: RedisServer, tmp_path: Path) -> None:
    replicas: list[ServiceReplica] = []

    @asynccontextmanager
    async def start(platform: ServedPortal) -> AsyncIterator[list[str]]:
        text = build_config(platform, own_redis.url)
        for n, port in enumerate(find_free_ports(2)):
            replicas.append(ServiceReplica(tmp_path / f"replica{n}", text, port))
            await replicas[-1].start()
        yield [one.url for one in replicas]
        for one in replicas:
            await one.end()

    async with run_load(start) as load:
        for _ in range(4):
            polls = await _find_poller(load, replicas)
            await polls.end(signal.SIGKILL)
            await load.wait_for_grant()
            await _wait_for_snapshot(load)
            await polls.start()
        await load.finish("kill -9 of the replica that polls, 4 times", "Processes")


async def _find_poller(load: Load, replicas: list[ServiceReplica]) -> ServiceReplica:
    async with asyncio.timeout(30):
        while True:
            status: Any = await load.get_status()
            holder = status["lease"]["holder"] if status else ""
            for one in replicas:
                if f":{one.pid}:" in holder:
                    return one
            await asyncio.sleep(0.02)


async def _wait_for_snapshot(load: Load) -> None:
    """Wait until the other replica took a snapshot after this moment."""
    since = None
    async with asyncio.timeout(30):
        while True:
            status = await load.get_status()
            if status is not None:
                since = since or status["now"]
                sip = next(one for one in status["pools"] if one["pool"] == "channel:sip")
                if sip["snapshot"] and sip["snapshot"]["t0"] > since:
                    return
            await asyncio.sleep(0.02)
