"""The replica that polls is paused during a query, and continues when another one polls."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import admission.sources.live_sources
from admission.config.settings import RedisSettings
from admission.domain.policy.zone import ZonePolicy
from admission.domain.snapshots import Snapshot
from admission.sources import build_source
from admission.sources.base import Source
from tests.faults.load import run_load, serve_polling
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.faults
SNAPSHOTS = 8


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class PausableSource:
    """A real source that holds its snapshots back while `resume` is not set, as a pause would.

    Attributes:
        queries: that were answered.
        paused: set when a snapshot is held back.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name
        self.min_interval_ms = source.min_interval_ms
        self.timeout_ms = source.timeout_ms
        self.queries = 0
        self.resume = asyncio.Event()
        self.paused = asyncio.Event()
        self.resume.set()

    async def query(self, zone: str, policy: ZonePolicy) -> Snapshot:
        snapshot = await self._source.query(zone, policy)
        self.queries += 1
        if not self.resume.is_set():
            self.paused.set()
            await self.resume.wait()
        return snapshot

    async def close(self) -> None:
        await self._source.close()


async def test_a_poller_continues_after_its_lease_ended(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[PausableSource] = []

    def build(name: str, settings: Any) -> PausableSource:
        sources.append(PausableSource(build_source(name, settings)))
        return sources[-1]

    monkeypatch.setattr(admission.sources.live_sources, "build_source", build)
    async with run_load(serve_polling(RedisSettings(url=redis.url), replicas=2)) as load:
        first, second = sorted(sources, key=lambda one: -one.queries)
        first.resume.clear()
        async with asyncio.timeout(30):
            await first.paused.wait()
            await _poll(second)
            first.resume.set()
        await load.wait_for_grant()
        status = await load.get_status()
        assert status["stats"].get("refused:deposed", 0) >= 1
        await load.finish("poller paused until after its lease, then awake", group="Processes")


async def _poll(source: PausableSource) -> None:
    """Wait until a source has taken some more snapshots."""
    enough = source.queries + SNAPSHOTS
    while source.queries < enough:  # noqa: ASYNC110  a query sets no event
        await asyncio.sleep(0.01)
