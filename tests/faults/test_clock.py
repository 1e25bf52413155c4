"""The clock of the Redis host is stepped by an hour, both ways, under load."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import redis.asyncio

import admission.service.bootstrap
from admission.config.settings import RedisSettings
from admission.ledger import scripts
from admission.ledger.keys import zone_keys
from admission.ledger.ledger import Ledger
from admission.tasks import cancel_and_wait
from tests.faults.load import run_load, serve_polling
from tests.support.redis_server import PATIENT
from tests.support.served_portal import ServedPortal

pytestmark = pytest.mark.faults
HOUR_US = 3_600_000_000
TICK_S = 0.002


class Clock:
    """The clock of the host, as the scripts read it: this machine's, plus an offset."""

    def __init__(self, url: str) -> None:
        self._client = redis.asyncio.Redis.from_url(url, **PATIENT)
        self._zone = zone_keys("adm", "East")[0]
        self.offset_us = 0

    async def set(self) -> None:
        now_us = time.time_ns() // 1000 + self.offset_us
        await self._client.mset({f"{self._zone}:clock": now_us, f"{self._zone}:run": "r"})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.set()
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            await cancel_and_wait(ticking)  # its client may swallow a cancellation
            await self._client.aclose()

    async def _tick(self) -> None:
        while True:
            await self.set()
            await asyncio.sleep(TICK_S)


async def test_the_clock_is_stepped_by_an_hour_both_ways(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        admission.service.bootstrap, "Ledger", partial(Ledger, script=scripts.load("test"))
    )
    clock = Clock(redis_url)

    redis = RedisSettings(url=redis_url)

    @asynccontextmanager
    async def start(platform: ServedPortal) -> AsyncIterator[list[str]]:
        async with clock.running(), serve_polling(redis)(platform) as urls:
            yield urls

    async with run_load(start) as load:
        for step_us in (HOUR_US, -HOUR_US, -HOUR_US, HOUR_US):
            clock.offset_us += step_us
            await clock.set()
            await load.wait_for_grant()
            await asyncio.sleep(1.0)
        await load.finish("clock of the Redis host stepped by an hour, forth and back", "Processes")
