"""Redis loses state: all of it, all since a backup, or what its replica had not received."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from admission.config.settings import RedisSettings
from tests.faults.load import Load, run_load, serve_polling
from tests.support.redis_server import RedisServer
from tests.support.redis_sets import Watched, watched

pytestmark = pytest.mark.faults
LOST_S = 0.7  # writes of this long are lost on purpose


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer(appendonly="yes", appendfsync="everysec") as server:
        yield server


async def test_everything_is_flushed(redis: RedisServer) -> None:
    async with run_load(serve_polling(RedisSettings(url=redis.url))) as load:
        for _ in range(3):
            with redis.client() as client:
                client.flushall()
            await load.wait_for_grant()
            await asyncio.sleep(load.random.uniform(0.1, 0.5))
        await load.finish("FLUSHALL, 3 times")


async def test_an_old_backup_is_restored(redis: RedisServer, tmp_path: Path) -> None:
    async with run_load(serve_polling(RedisSettings(url=redis.url))) as load:
        backup = _data(redis.folder, tmp_path)
        await load.statistics.wait_for_grants(load.statistics.grants + 30, 60)
        redis.kill()
        _remove(redis.folder)
        shutil.copytree(backup, redis.folder, dirs_exist_ok=True)
        redis.start()
        await load.wait_for_grant()
        await load.finish("restart on an old backup")


def _data(folder: Path, to: Path) -> Path:
    """A copy of the append-only files, as a backup takes it."""
    kept = to / "backup"
    kept.mkdir()
    for path in folder.glob("appendonly*"):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, kept / path.name)
    assert list(kept.iterdir())
    return kept


def _remove(folder: Path) -> None:
    for path in folder.glob("appendonly*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


async def test_the_primary_is_killed_before_its_replica_has_the_last_writes() -> None:
    async with (
        watched(sentinels=3) as three,
        run_load(serve_polling(RedisSettings(url=three.url))) as load,
    ):
        await _lose_writes(three, load)
        three.primary.kill()
        three.replica.thaw()
        await load.wait_for_grant()
        await load.finish("primary killed under Sentinel, replication paused 0.7 s before")


async def _lose_writes(three: Watched, load: Load) -> None:
    """Make grants that the replica does not receive, and cannot receive later."""
    before = load.statistics.grants
    three.replica.freeze()
    three.primary.call("CLIENT", "KILL", "TYPE", "replica")
    await asyncio.sleep(LOST_S)
    await load.statistics.wait_for_grants(before + 1, 60)
