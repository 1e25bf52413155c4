"""`redis+sentinel://`: the primary is found, followed through failovers, and lost state noticed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from admission.config.settings import RedisSettings
from admission.errors import ConfigError, Unavailable
from admission.ledger.ledger import Ledger
from admission.ledger.notifications import NOTIFICATIONS_LOST, NotificationListener
from admission.ledger.store.connection import connect, open_connection
from tests.ledger.test_ledger import ask, in_use, insist, recovered, stored
from tests.support.redis_sets import Watched, watched


@pytest.fixture
async def three() -> AsyncIterator[Watched]:
    """A primary, its replica, and one sentinel."""
    async with watched() as found:
        yield found


def settings(url: str, **more: Any) -> RedisSettings:
    return RedisSettings(url=url, **more)


async def test_the_primary_is_found_past_a_sentinel_that_is_gone(three: Watched) -> None:
    url = three.url.replace("redis+sentinel://", "redis+sentinel://127.0.0.1:9,")
    connection = await connect(settings(url))
    await connection.ping()
    await connection.close()
    await connection.close()


async def test_a_name_that_nobody_watches_is_unavailable(three: Watched) -> None:
    with pytest.raises(Unavailable, match="out of reach"):
        await connect(settings(three.url.replace("/main", "/other")))


async def test_no_sentinel_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="out of reach"):
        await connect(settings("redis+sentinel://127.0.0.1:9,127.0.0.1:10/main"))


@pytest.mark.parametrize("how", ["killed", "frozen", "demoted"])
async def test_a_failover_is_followed_and_the_zone_recovers(three: Watched, how: str) -> None:
    connection = await connect(settings(three.url))
    ledger = Ledger(connection)
    await ledger.store_policy("East", stored(launch_within_ms=500), "file")
    await recovered(ledger)
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

    answer = await insist(lambda: ledger.admit("East", ask(2)))

    assert answer["reason"] == "recovering"
    await recovered(ledger)
    assert (await ledger.admit("East", ask(2)))["decision"] == "grant"
    assert (await in_use(ledger))["channel:sip"] == 2
    await ledger.close()
    await connection.close()


async def test_the_bell_is_heard_again_after_a_failover(three: Watched) -> None:
    connection = await open_connection(settings(three.url))
    bell, heard = NotificationListener(connection.client, "adm"), asyncio.Queue[str]()
    bell.listen(heard.put_nowait)
    await bell.start()
    async with asyncio.timeout(10):
        await bell.subscribed()
    three.primary.kill()
    await three.elected(three.replica)
    async with asyncio.timeout(10):
        assert await heard.get() == NOTIFICATIONS_LOST
        three.replica.call("PUBLISH", "adm:bell", "poll East")
        assert await heard.get() == "poll East"
    await bell.stop()
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
