"""Redis has no memory left (maxmemory, noeviction) for a while, under load."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from admission.config.settings import RedisSettings
from admission.ledger.keys import zone_keys
from tests.faults.load import Load, run_load, serve_polling
from tests.support.redis_server import RedisServer
from tests.support.zone_state import ZoneState, check_counts

pytestmark = pytest.mark.faults
FULL_S = float(os.environ.get("ADMISSION_FULL_REDIS_S", "5"))
FULL = 1  # byte: less than any server uses


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def test_redis_is_full(redis: RedisServer) -> None:
    async with run_load(serve_polling(RedisSettings(url=redis.url))) as load:
        with redis.client() as client:
            state = ZoneState(client, zone_keys("adm", "East"))
            before = load.statistics.statuses[503]
            client.config_set("maxmemory", FULL)
            await _check_for(load, state, FULL_S)
            assert load.statistics.statuses[503] > before
            client.config_set("maxmemory", 0)
            await load.wait_for_grant()
            await _check_for(load, state, 1.0)
        await load.finish(f"Redis full for {FULL_S:.0f} s, then with memory again")


async def _check_for(load: Load, state: ZoneState, seconds: float) -> None:
    """Compare the counts with the reservations, again and again."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        check_counts(state.read())
        await asyncio.sleep(0.1)
