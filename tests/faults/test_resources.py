"""Disks and memory run out, the log is not read: requests are decided all the same, or refused."""

import asyncio
import fcntl
import json
import os
import resource
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.faults.load import Load, ServiceReplica, Start, find_free_ports, run_load
from tests.faults.test_processes import build_config, find_workers
from tests.support.served_portal import ServedPortal
from tests.support.small_disk import mount_small_disk

pytestmark = pytest.mark.faults
FULL_S = 3.0
LOG = '[log]\ndecisions = "all"\n'  # a line for each decision
PIPE_BYTES = 4096  # the smallest pipe of Linux: full after some 20 lines


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mount_small_disk(tmp_path / "disk", "512k") as folder:
        yield folder


def fill(disk: Path) -> None:
    with (disk / "full").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def serve(
    replicas: list[ServiceReplica], folder: Path, *, workers: int = 1, **options: str | Path
) -> Start:
    """Starts the service with these options of a `ServiceReplica`."""

    @asynccontextmanager
    async def start(platform: ServedPortal) -> AsyncIterator[list[str]]:
        text = build_config(platform, "", workers) + LOG
        (port,) = find_free_ports(1)
        replicas.append(ServiceReplica(folder, text, port, **options))  # type: ignore[arg-type]
        await replicas[0].start()
        try:
            yield [replicas[0].url]
        finally:
            await replicas[0].end()

    return start


async def test_tmpdir_is_full(tmp_path: Path, disk: Path) -> None:
    start = serve([], tmp_path / "service", workers=2, TMPDIR=str(disk))
    async with run_load(start) as load:
        fill(disk)
        await asyncio.sleep(FULL_S)
        await load.wait_for_grant()
        await load.finish("TMPDIR full, 2 workers", "Processes")
    assert load.statistics.answered == load.statistics.sent


async def test_the_disk_of_the_log_is_full(tmp_path: Path, disk: Path) -> None:
    start = serve([], tmp_path / "service", log=disk / "service.log")
    async with run_load(start) as load:
        fill(disk)
        await asyncio.sleep(FULL_S)
        await load.wait_for_grant()
        await load.finish("disk of the log full", "Processes")
    assert load.statistics.answered == load.statistics.sent


async def test_the_log_is_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        async with run_load(serve([], tmp_path / "service", log=pipe)) as load:
            await asyncio.sleep(FULL_S)
            await load.wait_for_grant()
            await load.finish("the log is a pipe that is not read", "Processes")
        assert load.statistics.answered == load.statistics.sent
        assert len(os.read(reader, 2 * PIPE_BYTES)) >= PIPE_BYTES - 1024  # it was full
    finally:
        os.close(reader)


def set_memory_limit(replica: ServiceReplica, more_bytes: int) -> None:
    """Let each worker have so many bytes of address space more than it has; -1: without a limit."""
    for worker in find_workers(replica.pid):
        limit = resource.RLIM_INFINITY
        if more_bytes >= 0:
            pages = int(Path(f"/proc/{worker}/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + more_bytes
        resource.prlimit(worker, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


async def send_large_bodies(load: Load, seconds: float) -> Counter[int]:
    """Batches of nearly a megabyte, 40 at a time. Returns: statuses, 0 for no answer."""
    body = json.dumps({"requests": [], "filler": "x" * 1_000_000})
    headers = {"Content-Type": "application/json"}
    statuses = Counter[int]()
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds

    async def send() -> None:
        while loop.time() < until:
            try:
                url = f"{load.urls[0]}/v1/admissions/batch"
                async with load.http.post(url, data=body, headers=headers) as answer:
                    statuses[answer.status] += 1
            except aiohttp.ClientError:
                statuses[0] += 1

    await asyncio.gather(*(send() for _ in range(40)))
    return statuses


async def test_workers_are_out_of_memory(tmp_path: Path) -> None:
    """The system refuses them memory: a large body fails, what is small is decided as before."""
    replicas: list[ServiceReplica] = []
    async with run_load(
        serve(replicas, tmp_path / "service", workers=2, MALLOC_ARENA_MAX="1")
    ) as load:
        set_memory_limit(replicas[0], 0)
        statuses = await send_large_bodies(load, FULL_S)
        assert set(statuses) - {422}, "the limit refused nothing"
        set_memory_limit(replicas[0], -1)
        await load.wait_for_grant()
        assert set(await send_large_bodies(load, 0.1)) == {422}  # an unknown field
        await load.finish("no more memory for 2 workers for 3 s", "Processes")
