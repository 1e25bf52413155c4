"""The replica that polls is paused in the middle of a query, and wakes when another one polls."""

import asyncio
from collections.abc import Iterator

import pytest

from admission.config.settings import RedisSettings
from tests.faults.world import PlatformSource, world
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.faults
PHOTOGRAPHS = 8


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def test_a_poller_wakes_after_its_lease_ended(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch, RedisSettings(url=redis.url), replicas=2) as alive:
        first, second = sorted(alive.sources, key=lambda one: -one.asked)
        first.held = asyncio.Event()
        async with asyncio.timeout(30):
            await first.holding.wait()
            await _takes_over(second)
            first.held.set()
        await alive.resumes()
        stats = (await alive.services[0].zone("East").get_status())["stats"]
        assert stats.get("refused:deposed", 0) >= 1
        await alive.judge("poller paused until after its lease, then awake", group="Processes")


async def _takes_over(second: PlatformSource) -> None:
    """Until the other one has taken so many photographs."""
    enough = second.asked + PHOTOGRAPHS
    while second.asked < enough:  # noqa: ASYNC110  a photograph tells nobody
        await asyncio.sleep(0.01)
