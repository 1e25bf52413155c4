"""The embedded Redis is killed, and its files damaged, under load."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from admission.config.settings import RedisSettings
from admission.service.service import Service
from tests.faults.load import run_load, serve_polling
from tests.support.small_disk import mount_small_disk

pytestmark = pytest.mark.faults
KILLS = 20
RESTART_S = 0.5  # time enough to damage a file between a kill and the restart


@pytest.fixture
def redis(tmp_path: Path) -> RedisSettings:
    return RedisSettings(data_dir=tmp_path / "data")


async def kill(services: list[Service]) -> None:
    """Kill the embedded server, once it runs."""
    server = services[0]._connection.server
    assert server is not None
    async with asyncio.timeout(30):
        while server.pid is None:  # noqa: ASYNC110  a restart sets no event
            await asyncio.sleep(0.01)
    os.kill(server.pid, signal.SIGKILL)


def logs(data_dir: Path) -> list[Path]:
    """The files of the append-only log that are being written: 6.2 has one, 7 names them."""
    found = [data_dir / "appendonly.aof", *data_dir.glob("appendonlydir/*.incr.aof")]
    return [path for path in found if path.exists()]


async def test_the_server_is_killed_twenty_times(
    redis: RedisSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admission.ledger.store.embedded.server.BACKOFF_MAX_S", 0.1)
    services: list[Service] = []
    async with run_load(serve_polling(redis, served=services)) as load:
        for n in range(KILLS):
            await kill(services)
            if n % 2 or n == KILLS - 1:
                await load.wait_for_grant()
                await asyncio.sleep(load.random.uniform(0.1, 0.8))  # calls are up when it dies
            else:  # and again, while the zone still recovers
                await asyncio.sleep(load.random.uniform(0.05, 0.5))
        await load.finish("kill -9 of the embedded Redis, 20 times")


@pytest.mark.parametrize("damage", ["cut off in the middle", "gone"])
async def test_the_server_restarts_on_damaged_data(
    redis: RedisSettings, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr("admission.ledger.store.embedded.server.BACKOFF_MIN_S", RESTART_S)
    services: list[Service] = []
    async with run_load(serve_polling(redis, served=services)) as load:
        await asyncio.sleep(1.0)
        await kill(services)
        files = logs(redis.data_dir)
        assert files
        for path in files:
            if damage == "gone":
                path.unlink()
                shutil.rmtree(redis.data_dir / "appendonlydir", ignore_errors=True)
            else:
                os.truncate(path, path.stat().st_size * 2 // 3)
        await load.wait_for_grant()
        await load.finish(f"restart of the embedded Redis, its append-only file {damage}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB of its own."""
    with mount_small_disk(tmp_path / "disk", "8m") as folder:
        yield folder


async def test_the_disk_is_full(small_disk: Path) -> None:
    redis = RedisSettings(data_dir=small_disk / "data")
    async with run_load(serve_polling(redis)) as load:
        filler = small_disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        await load.wait_for_refusals()  # until Redis has noticed
        filler.unlink()
        await load.wait_for_grant()
        assert load.statistics.statuses[503]
        await load.finish("disk full, then emptied")
