"""Half load and churn, for long: nothing grows. `make soak` takes a quarter of an hour.

ADMISSION_SOAK_S is how long it takes, in seconds; without, a minute.
"""

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import pytest
import redis.asyncio

from admission.config.settings import RedisSettings
from tests.faults.load import Load, run_load, serve_polling
from tests.support.redis_server import PATIENT

pytestmark = pytest.mark.faults
SOAK_S = float(os.environ.get("ADMISSION_SOAK_S", "60"))
SAMPLES = 40
# What one moment may differ from another: requests under way, and what the allocator keeps.
SLACK = {"memory_mb": 12.0, "files": 40.0, "tasks": 60.0, "redis_members": 400.0, "redis_kb": 800.0}
GROWTH_MAX = 1.05  # from the second quarter to the last


@dataclass
class Sample:
    """One look at everything that could grow."""

    memory_mb: float
    files: float
    tasks: float
    redis_members: float
    redis_kb: float


async def look(client: redis.asyncio.Redis) -> Sample:
    gc.collect()
    return Sample(
        memory_mb=memory_mb(),
        files=len(os.listdir("/proc/self/fd")),
        tasks=len(asyncio.all_tasks()),
        redis_members=await members(client),
        redis_kb=(await client.info("memory"))["used_memory_dataset"] / 1000,
    )


def memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def members(client: redis.asyncio.Redis) -> int:
    """Of all keys together: fields, scores, entries."""
    sizes: dict[bytes, Callable[[Any], Awaitable[int]]] = {
        b"hash": client.hlen,
        b"zset": client.zcard,
        b"stream": client.xlen,
    }
    total = 0
    async for key in client.scan_iter():
        size = sizes.get(await client.type(key))
        total += await size(key) if size else 1
    return total


class Churn:
    """Clients of all kinds that come and go, most of them badly."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = count()
        self.done = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        kinds = (self._new_campaigns, self._gives_up, self._follows, self._repeats, self._guesses)
        tasks = [asyncio.create_task(self._forever(kind)) for kind in kinds]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _forever(self, kind: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
        while True:
            async with aiohttp.ClientSession(self._url) as http:  # a new connection each time
                with suppress(aiohttp.ClientError, TimeoutError):
                    await kind(http)
            self.done += 1
            await asyncio.sleep(0.05)

    def _ask(self, **more: Any) -> dict[str, Any]:
        return {"campaign": f"churn-{next(self._numbers)}", "pools": ["trunk:a"]} | more

    async def _new_campaigns(self, http: aiohttp.ClientSession) -> None:
        """Never seen before, never seen again; reported by its link, as a form."""
        async with http.post("/v1/admissions", json=self._ask()) as answer:
            granted = await answer.json()
        for one in granted["reservations"]:
            async with http.post(one["report_url"] + "/end", data={"outcome": "not_launched"}):
                pass

    async def _gives_up(self, http: aiohttp.ClientSession) -> None:
        """Waits for what there never is, and hangs up."""
        ask = self._ask(count=100, min_count=100, wait_ms=30_000)
        async with http.post("/v1/admissions", json=ask, timeout=aiohttp.ClientTimeout(0.2)):
            pass

    async def _follows(self, http: aiohttp.ClientSession) -> None:
        """Opens the dashboard's stream, and closes it after its first words."""
        async with http.get("/v1/events", timeout=aiohttp.ClientTimeout(5)) as answer:
            await answer.content.readany()

    async def _repeats(self, http: aiohttp.ClientSession) -> None:
        """Asks twice and never reports: its reservation expires."""
        ask = self._ask(campaign="forgets", request_id=f"r-{next(self._numbers)}")
        for _ in range(2):
            async with http.post("/v1/admissions", json=ask):
                pass
        await asyncio.sleep(2.0)

    async def _guesses(self, http: aiohttp.ClientSession) -> None:
        """Ends what never was; wrong input of every kind."""
        unknown = f"East~{next(self._numbers):011d}"
        async with http.post(f"/v1/reservations/{unknown}/end"):
            pass
        async with http.post(f"/r/{'x' * 22}.{unknown}~c/end"):
            pass
        async with http.post("/v1/admissions", data=b"{", headers={"Content-Type": "text/x"}):
            pass


async def samples(load: Load, client: redis.asyncio.Redis) -> list[Sample]:
    found = []
    for _ in range(SAMPLES):
        await asyncio.sleep(SOAK_S / SAMPLES)
        found.append(await look(client))
    assert await load.get_status() is not None
    return found


@pytest.fixture
def few_logs() -> Iterator[None]:
    """pytest keeps every record until the test is over: that alone would grow without end."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


async def test_nothing_grows(redis_url: str, few_logs: None) -> None:
    async with AsyncExitStack() as stack:
        client = redis.asyncio.Redis.from_url(redis_url, **PATIENT)
        stack.push_async_callback(client.aclose)
        start = serve_polling(RedisSettings(url=redis_url))
        load = await stack.enter_async_context(run_load(start, dialers=2))
        churn = Churn(load.urls[0])
        async with churn.running():
            found = await samples(load, client)
        assert churn.done > 100
        assert grown(found) == {}
        await load.finish(f"half load and churn for {SOAK_S:.0f} s: nothing grows", "Processes")


def grown(found: list[Sample]) -> dict[str, tuple[float, float]]:
    """What is larger in the last quarter than in the second one, by more than its slack."""
    quarter = len(found) // 4
    before, after = found[quarter : 2 * quarter], found[-quarter:]
    result = {}
    for name, slack in SLACK.items():
        old = median(getattr(one, name) for one in before)
        new = median(getattr(one, name) for one in after)
        if new > old * GROWTH_MAX + slack:
            result[name] = (old, new)
    return result
