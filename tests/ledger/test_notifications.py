"""The bell: what is heard, what is lost, and who is told of that."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import redis
import redis.asyncio

from admission.config.settings import RedisSettings
from admission.ledger.notifications import NOTIFICATIONS_LOST, TEXT_BYTES_MAX, NotificationListener
from admission.ledger.store.connection import open_connection
from tests.support.redis_server import RedisServer


@pytest.fixture
async def rings(own_redis: RedisServer) -> AsyncIterator[asyncio.Queue[str]]:
    """What a bell on `own_redis` rang."""
    connection = await open_connection(RedisSettings(url=own_redis.url, key_prefix="t"))
    bell, heard = NotificationListener(connection.client, "t"), asyncio.Queue[str]()
    bell.listen(_deaf)
    bell.listen(heard.put_nowait)
    await bell.start()
    async with asyncio.timeout(5.0):
        await bell.subscribed()
    yield heard
    await bell.stop()
    await bell.stop()
    await connection.close()


def _deaf(_: str) -> None:
    raise ValueError("a listener's own fault")


def ring(server: RedisServer, *texts: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        for text in texts:
            assert client.publish("t:bell", text) == 1


async def heard_next(rings: asyncio.Queue[str]) -> str:
    async with asyncio.timeout(5.0):
        return await rings.get()


async def test_listeners_hear_the_text_of_every_ring(
    own_redis: RedisServer, rings: asyncio.Queue[str]
) -> None:
    ring(own_redis, "poll East", "x" * (TEXT_BYTES_MAX + 1), "wake West")
    assert await heard_next(rings) == "poll East"
    assert await heard_next(rings) == "wake West"  # and not the one that was too long


async def test_after_a_restart_the_bell_tells_what_may_be_lost_and_rings_on(
    own_redis: RedisServer, rings: asyncio.Queue[str]
) -> None:
    own_redis.kill()
    own_redis.start()
    assert await heard_next(rings) == NOTIFICATIONS_LOST
    ring(own_redis, "poll East")
    assert await heard_next(rings) == "poll East"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bells that probe after a moment of silence, and give up after another."""
    monkeypatch.setattr("admission.ledger.notifications.IDLE_S", 0.001)
    monkeypatch.setattr("admission.ledger.notifications.REPLY_S", 0.2)


@pytest.mark.usefixtures("impatient")
async def test_a_silent_connection_is_probed_and_kept(
    own_redis: RedisServer, rings: asyncio.Queue[str]
) -> None:
    async with redis.asyncio.Redis.from_url(own_redis.url) as client, asyncio.timeout(5.0):
        probes = 0
        while probes < 3:
            stats = await client.info("commandstats")
            probes = stats.get("cmdstat_ping", {"calls": 0})["calls"]
    ring(own_redis, "poll East")
    assert await heard_next(rings) == "poll East"  # and not NOTIFICATIONS_LOST


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_hangs_is_replaced(
    own_redis: RedisServer, rings: asyncio.Queue[str], caplog: pytest.LogCaptureFixture
) -> None:
    os.kill(own_redis.pid, signal.SIGSTOP)
    async with asyncio.timeout(5.0):
        while "silent" not in caplog.text:  # noqa: ASYNC110  a log sets no event
            await asyncio.sleep(0)
    os.kill(own_redis.pid, signal.SIGCONT)
    assert await heard_next(rings) == NOTIFICATIONS_LOST


async def test_a_listener_that_left_hears_nothing(redis_url: str) -> None:
    connection = await open_connection(RedisSettings(url=redis_url))
    bell, heard = NotificationListener(connection.client, "adm"), list[str]()
    leave = bell.listen(heard.append)
    leave()
    leave()
    stayed = asyncio.Queue[str]()
    bell.listen(stayed.put_nowait)
    await bell.start()
    async with asyncio.timeout(5.0):
        await bell.subscribed()
        await connection.client.publish("adm:bell", "poll East")
        await stayed.get()
    assert heard == []
    await bell.stop()
    await connection.close()


async def test_it_can_be_stopped_while_it_connects(redis_url: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        for turns in range(30):  # each stops it at another point
            bell = NotificationListener(client, "adm")
            await bell.start()
            for _ in range(turns):
                await asyncio.sleep(0)
            async with asyncio.timeout(20):
                await bell.stop()
