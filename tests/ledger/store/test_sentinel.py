"""`redis+sentinel://`: the primary is found, followed through failovers, and lost state noticed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from admission.config.settings import RedisSettings
from admission.errors import ConfigError, Unavailable
from admission.ledger.keys import notification_channel
from admission.ledger.ledger import Ledger
from admission.ledger.notifications import NOTIFICATIONS_LOST, NotificationListener
from admission.ledger.store.connection import connect, open_connection
from tests.support.redis_sets import Watched, watched
from tests.support.typed_ledger import ask, get_in_use, make_policy, retry, wait_for_recovery


@pytest.fixture
async def three() -> AsyncIterator[Watched]:
    """A primary, its replica, and one sentinel."""
    async with watched() as found:
        yield found


def settings(url: str, **more: Any) -> RedisSettings:
    return RedisSettings(url=url, **more)


async def test_the_primary_is_found_although_one_sentinel_is_gone(three: Watched) -> None:
    url = three.url.replace("redis+sentinel://", "redis+sentinel://127.0.0.1:9,")
    connection = await connect(settings(url))
    await connection.ping()
    await connection.close()
    await connection.close()


async def test_a_name_that_no_sentinel_watches_is_unavailable(three: Watched) -> None:
    with pytest.raises(Unavailable, match="out of reach"):
        await connect(settings(three.url.replace("/main", "/other")))


async def test_a_setting_without_a_reachable_sentinel_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="out of reach"):
        await connect(settings("redis+sentinel://127.0.0.1:9,127.0.0.1:10/main"))


@pytest.mark.parametrize("how", ["killed", "frozen", "demoted"])
async def test_a_failover_is_followed_and_the_zone_recovers(three: Watched, how: str) -> None:
    connection = await connect(settings(three.url))
    ledger = Ledger(connection)
    await ledger.store_policy("East", make_policy(launch_within_ms=500), "file")
    await wait_for_recovery(ledger)
    assert (await ledger.admit("East", ask(1)))["decision"] == "grant"
    three.keep()
    if how == "killed":
        three.primary.kill()
    elif how == "frozen":
        three.primary.freeze()
    else:
        three.sentinels[0].call("SENTINEL", "FAILOVER", "main")
    await three.elected(three.replica)
    if how == "demoted":  # it lives on; the sentinels would do this too, some seconds later
        three.primary.call("REPLICAOF", "127.0.0.1", three.replica.port)

    answer = await retry(lambda: ledger.admit("East", ask(2)))

    assert answer["reason"] == "recovering"
    await wait_for_recovery(ledger)
    assert (await ledger.admit("East", ask(2)))["decision"] == "grant"
    assert (await get_in_use(ledger))["channel:sip"] == 2
    await ledger.close()
    await connection.close()


async def test_notifications_are_received_again_after_a_failover(three: Watched) -> None:
    connection = await open_connection(settings(three.url))
    listener, received = NotificationListener(connection.client, "adm"), asyncio.Queue[str]()
    listener.listen(received.put_nowait)
    await listener.start()
    async with asyncio.timeout(10):
        await listener.subscribed()
    three.primary.kill()
    await three.elected(three.replica)
    async with asyncio.timeout(10):
        assert await received.get() == NOTIFICATIONS_LOST
        three.replica.call("PUBLISH", notification_channel("adm"), "poll East")
        assert await received.get() == "poll East"
    await listener.stop()
    await connection.close()


async def test_sentinels_and_servers_may_have_credentials_of_their_own() -> None:
    async with watched(sentinel_password="of-sentinels", password="of-servers") as guarded:
        url = guarded.url.replace("//", "//:of-sentinels@")
        connection = await connect(settings(url, password="of-servers"))
        await connection.ping()
        await connection.close()
        with pytest.raises(ConfigError, match=r"redis\.username"):
            await connect(settings(url, password="wrong"))
        with pytest.raises(Unavailable):
            await connect(settings(guarded.url, password="of-servers"))
