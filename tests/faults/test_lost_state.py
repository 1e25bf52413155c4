"""Redis forgets: everything, or all since a backup, or what its replica had not heard yet."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from admission.config.settings import RedisSettings
from tests.faults.world import World, world
from tests.support.redis_server import RedisServer
from tests.support.redis_sets import Watched, watched

pytestmark = pytest.mark.faults
LOST_S = 0.7  # writes of this long are lost on purpose


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer(appendonly="yes", appendfsync="everysec") as server:
        yield server


async def test_everything_is_flushed(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(monkeypatch, RedisSettings(url=redis.url)) as alive:
        for _ in range(3):
            with redis.client() as client:
                client.flushall()
            await alive.resumes()
            await asyncio.sleep(alive.random.uniform(0.1, 0.5))
        await alive.judge("FLUSHALL, 3 times")


async def test_an_old_backup_is_restored(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with world(monkeypatch, RedisSettings(url=redis.url)) as alive:
        backup = _data(redis.folder, tmp_path)
        await alive.tally.counts(alive.tally.grants + 30, 60)
        redis.kill()
        _remove(redis.folder)
        shutil.copytree(backup, redis.folder, dirs_exist_ok=True)
        redis.start()
        await alive.resumes()
        await alive.judge("restart on an old backup")


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


async def test_the_primary_dies_with_writes_that_its_replica_never_got(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        watched(sentinels=3) as three,
        world(monkeypatch, RedisSettings(url=three.url)) as alive,
    ):
        await _lose_writes(three, alive)
        three.primary.kill()
        three.replica.thaw()
        await alive.resumes()
        await alive.judge("primary killed under Sentinel, replication paused 0.7 s before")


async def _lose_writes(three: Watched, alive: World) -> None:
    """Grants go on while the replica hears nothing, and cannot come back to hear it later."""
    before = alive.tally.grants
    three.replica.freeze()
    three.primary.call("CLIENT", "KILL", "TYPE", "replica")
    await asyncio.sleep(LOST_S)
    await alive.tally.counts(before + 1, 60)
