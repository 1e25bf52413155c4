"""The connection to Redis: frozen, silent, slow, with lost replies, cut at every byte."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from admission.config.settings import RedisSettings
from admission.ledger.ledger import Ledger
from admission.ledger.store.connection import open_connection
from tests.faults.load import run_load, serve_polling
from tests.faults.table import record
from tests.support.proxy import Direction, FaultyProxy
from tests.support.redis_server import RedisServer
from tests.support.typed_ledger import ask, get_in_use, make_policy, wait_for_recovery

pytestmark = pytest.mark.faults
FAULT_S = 3.0
REPLIES_LOST = 40


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def link(redis: RedisServer) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy(redis.socket, redis.folder / "link") as found:
        yield found


async def test_redis_is_stopped(redis: RedisServer) -> None:
    async with run_load(serve_polling(RedisSettings(url=redis.url))) as load:
        redis.freeze()
        await asyncio.sleep(FAULT_S)
        assert load.statistics.statuses[503]
        redis.thaw()
        await load.wait_for_grant()
        assert not load.statistics.given_up
        await load.finish(f"Redis stopped (SIGSTOP) for {FAULT_S:.0f} s")


async def test_the_connection_is_silent(link: FaultyProxy) -> None:
    async with run_load(serve_polling(RedisSettings(url=link.url))) as load:
        link.silent = True
        await asyncio.sleep(FAULT_S)
        assert load.statistics.statuses[503]
        link.silent = False
        await load.wait_for_grant()
        assert not load.statistics.given_up
        await load.finish(f"line to Redis silent for {FAULT_S:.0f} s")


@pytest.mark.parametrize("delay_ms", [50, 350, 800])
async def test_redis_is_slow(link: FaultyProxy, delay_ms: int) -> None:
    async with run_load(serve_polling(RedisSettings(url=link.url))) as load:
        link.delay_s = delay_ms / 1000
        await asyncio.sleep(FAULT_S)
        link.delay_s = 0.0
        await load.wait_for_grant()
        assert not load.statistics.given_up
        await load.finish(f"line to Redis {delay_ms} ms slower each way for {FAULT_S:.0f} s")


async def test_replies_are_lost_after_the_script_ran(redis: RedisServer) -> None:
    async with (
        FaultyProxy(redis.socket, redis.folder / "cut", lose_after=b"EVAL") as proxy,
        run_load(serve_polling(RedisSettings(url=proxy.url))) as load,
        asyncio.timeout(60),
    ):
        while proxy.lost < REPLIES_LOST:
            proxy.lose_replies(load.random.choice((1, 1, 2, 3)))
            await asyncio.sleep(load.random.uniform(0.02, 0.1))
        proxy.lose_replies(0)
        await load.wait_for_grant()
        await load.finish(f"replies lost after the script ran, {REPLIES_LOST} times")


@pytest.mark.parametrize("way", ["request", "reply"])
async def test_the_connection_is_reset_at_each_byte(link: FaultyProxy, way: Direction) -> None:
    """One admission for each byte: it counts once, wherever the connection is cut."""
    connection = await open_connection(RedisSettings(url=link.url))
    ledger = Ledger(connection)
    await ledger.store_policy("East", make_policy(retention_ms=0), "file")
    await wait_for_recovery(ledger)
    length = await _measure_length(ledger, link, way)
    grants = 0
    for n in range(length + 1):
        link.cut_after(way, n)
        grants += await _admit_and_end(ledger, 1000 + n)
        assert link.was_cut
    left = sum((await get_in_use(ledger)).values())
    row = f"connection to Redis reset at each byte of a {way}"
    record(row, sent=length + 1, answered=length + 1, grants=grants, leaked=left)
    assert (grants, left) == (length + 1, 0)
    await ledger.close()
    await connection.close()


async def _measure_length(ledger: Ledger, link: FaultyProxy, way: Direction) -> int:
    """Return the bytes of one admission in this direction."""
    before = link.passed[way]
    answer = await ledger.admit("East", ask(999, pools=["trunk:a"]))
    length = link.passed[way] - before
    await _end(ledger, answer)
    return length


async def _admit_and_end(ledger: Ledger, n: int) -> int:
    answer = await ledger.admit("East", ask(n, pools=["trunk:a"]))
    pools = await get_in_use(ledger)
    assert pools == {"campaign:collections": 1, "channel:sip": 1, "trunk:a": 1}
    await _end(ledger, answer)
    return int(answer["granted"])


async def _end(ledger: Ledger, answer: Any) -> None:
    end = {"op": "end", "id": answer["reservations"][0]["id"], "outcome": "completed"}
    await ledger.report("East", end)
