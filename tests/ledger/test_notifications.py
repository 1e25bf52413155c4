"""Notifications: what a listener receives, and how it learns that some were lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import redis
import redis.asyncio

from admission.config.settings import RedisSettings
from admission.ledger.keys import notification_channel
from admission.ledger.notifications import NOTIFICATIONS_LOST, TEXT_BYTES_MAX, NotificationListener
from admission.ledger.store.connection import open_connection
from tests.support.redis_server import PATIENT, RedisServer


@pytest.fixture
async def notifications(own_redis: RedisServer) -> AsyncIterator[asyncio.Queue[str]]:
    """The texts that a listener on `own_redis` receives."""
    connection = await open_connection(RedisSettings(url=own_redis.url, key_prefix="t"))
    listener, received = NotificationListener(connection.client, "t"), asyncio.Queue[str]()
    listener.listen(fail)
    listener.listen(received.put_nowait)
    await listener.start()
    async with asyncio.timeout(5.0):
        await listener.subscribed()
    yield received
    await listener.stop()
    await listener.stop()
    await connection.close()


def fail(_: str) -> None:
    raise ValueError("a fault of the callback")


def publish(server: RedisServer, *texts: str) -> None:
    with redis.Redis.from_url(server.url, **PATIENT) as client:
        for text in texts:
            assert client.publish(notification_channel("t"), text) == 1


async def next_text(notifications: asyncio.Queue[str]) -> str:
    async with asyncio.timeout(5.0):
        return await notifications.get()


async def test_listeners_receive_the_text_of_every_notification(
    own_redis: RedisServer, notifications: asyncio.Queue[str]
) -> None:
    publish(own_redis, "poll East", "x" * (TEXT_BYTES_MAX + 1), "wake West")
    assert await next_text(notifications) == "poll East"
    assert await next_text(notifications) == "wake West"  # and not the one that was too long


async def test_after_a_restart_a_listener_learns_of_the_loss_and_receives_again(
    own_redis: RedisServer, notifications: asyncio.Queue[str]
) -> None:
    own_redis.kill()
    own_redis.start()
    assert await next_text(notifications) == NOTIFICATIONS_LOST
    publish(own_redis, "poll East")
    assert await next_text(notifications) == "poll East"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listeners that probe after a moment of silence, and reconnect after another."""
    monkeypatch.setattr("admission.ledger.notifications.IDLE_S", 0.001)
    monkeypatch.setattr("admission.ledger.notifications.REPLY_S", 0.2)


@pytest.mark.usefixtures("impatient")
async def test_a_silent_connection_is_probed_and_kept(
    own_redis: RedisServer, notifications: asyncio.Queue[str]
) -> None:
    async with redis.asyncio.Redis.from_url(own_redis.url) as client, asyncio.timeout(5.0):
        probes = 0
        while probes < 3:
            stats = await client.info("commandstats")
            probes = stats.get("cmdstat_ping", {"calls": 0})["calls"]
    publish(own_redis, "poll East")
    assert await next_text(notifications) == "poll East"  # and not NOTIFICATIONS_LOST


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_hangs_is_replaced(
    own_redis: RedisServer, notifications: asyncio.Queue[str], caplog: pytest.LogCaptureFixture
) -> None:
    os.kill(own_redis.pid, signal.SIGSTOP)
    async with asyncio.timeout(5.0):
        while "silent" not in caplog.text:  # noqa: ASYNC110  a log sets no event
            await asyncio.sleep(0)
    os.kill(own_redis.pid, signal.SIGCONT)
    assert await next_text(notifications) == NOTIFICATIONS_LOST


async def test_a_removed_callback_receives_nothing(redis_url: str) -> None:
    connection = await open_connection(RedisSettings(url=redis_url))
    listener, received = NotificationListener(connection.client, "adm"), list[str]()
    leave = listener.listen(received.append)
    leave()
    leave()
    stayed = asyncio.Queue[str]()
    listener.listen(stayed.put_nowait)
    await listener.start()
    async with asyncio.timeout(5.0):
        await listener.subscribed()
        await connection.client.publish(notification_channel("adm"), "poll East")
        await stayed.get()
    assert received == []
    await listener.stop()
    await connection.close()


async def test_a_listener_can_be_stopped_while_it_connects(redis_url: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_url, **PATIENT) as client:
        for turns in range(30):  # each stops it at another point
            listener = NotificationListener(client, "adm")
            await listener.start()
            for _ in range(turns):
                await asyncio.sleep(0)
            async with asyncio.timeout(20):
                await listener.stop()
