"""`redis+cluster://`: each zone on its node, slots that move, nodes that are gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from redis.exceptions import AskError

from admission.config.settings import RedisSettings
from admission.errors import ConfigError, Unavailable
from admission.ledger.keys import notification_channel, zone_keys
from admission.ledger.ledger import Ledger
from admission.ledger.notifications import NotificationListener
from admission.ledger.store.cluster import ClusterClient
from admission.ledger.store.connection import RedisConnection, connect, open_connection
from tests.support.redis_clusters import Cluster, Move, cluster, keys_in, slot_of
from tests.support.redis_sets import PortServer, started
from tests.support.typed_ledger import ask, make_policy, retry


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Cluster]:
    """Three primaries; making them takes two seconds."""
    async with cluster() as found:
        yield found


@pytest.fixture
async def three(shared: Cluster) -> Cluster:
    for node in shared.primaries:
        node.call("FLUSHALL")
        node.call("SCRIPT", "FLUSH")
    return shared


@pytest.fixture
async def connection(three: Cluster) -> AsyncIterator[RedisConnection]:
    opened = await connect(RedisSettings(url=three.url))
    yield opened
    await opened.close()
    await opened.close()


@pytest.fixture
async def ledger(connection: RedisConnection) -> AsyncIterator[Ledger]:
    one = Ledger(connection)
    yield one
    await one.close()


@pytest.fixture
async def hurried(three: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ledger]:
    """Gives up after a second and a half: for calls that wait in vain."""
    monkeypatch.setattr("admission.ledger.store.connection.DEADLINE_PART", 3.0)
    opened = await connect(RedisSettings(url=three.url))
    one = Ledger(opened)
    yield one
    await one.close()
    await opened.close()


async def opened(ledger: Ledger, zone: str) -> None:
    """A zone that can grant."""
    await ledger.store_policy(zone, make_policy(launch_within_ms=100), "file")
    async with asyncio.timeout(20):
        while (await ledger.get_status(zone))["recovering"]:
            pass


def keys_of(node: PortServer, zone: str) -> list[bytes]:
    return keys_in(node, slot_of(zone))


def refused(node: PortServer) -> int:
    """How often this node has said, since this was last asked, that a slot moves.

    6.2 says ASK where newer ones say TRYAGAIN: some of the keys are here.
    """
    with node.client() as client:
        errors = client.info("errorstats")
        client.config_resetstat()
    moving = [errors.get(f"errorstat_{code}", {"count": 0}) for code in ("ASK", "TRYAGAIN")]
    return sum(int(one["count"]) for one in moving)


def contents(node: PortServer) -> dict[bytes, bytes]:
    with node.client() as client:
        return {key: client.dump(key) for key in client.keys("*")}


async def test_zones_live_on_the_nodes_of_their_slots(three: Cluster, ledger: Ledger) -> None:
    zones = [three.zone_of(n) for n in range(3)]
    for zone in zones:
        await opened(ledger, zone)
        answer = await ledger.admit(zone, ask(1, pools=["trunk:a"]))
        assert answer["decision"] == "grant"
    for zone, node in zip(zones, three.primaries, strict=True):
        own = set(node.client().keys("*"))
        assert own == set(keys_of(node, zone))
        assert own


async def test_a_stale_slot_map_is_corrected(three: Cluster, ledger: Ledger) -> None:
    zone = three.zone_of(0)
    await opened(ledger, zone)
    move = Move(three, zone)
    move.begin()
    move.carry(keys_of(move.source, zone))
    move.end()

    answer = await retry(lambda: ledger.admit(zone, ask(1)))

    assert answer["reason"] == "recovering"  # another server: what it knows may be old
    move.back()


@pytest.mark.parametrize("moved", ["nothing", "some", "all"])
async def test_a_zone_whose_slot_moves_is_unavailable_and_not_decided_on_half_its_keys(
    three: Cluster, ledger: Ledger, hurried: Ledger, moved: str
) -> None:
    zone = three.zone_of(1, f"moving-{moved}")
    await opened(ledger, zone)
    move = Move(three, zone)
    keys = keys_of(move.source, zone)
    move.begin()
    move.carry({"nothing": [], "some": keys[::2], "all": keys}[moved])
    before = contents(move.source), keys_of(move.target, zone)
    refused(move.source)

    with pytest.raises(Unavailable):
        await hurried.admit(zone, ask(1))

    assert refused(move.source) > 1  # asked again and again
    assert (contents(move.source), keys_of(move.target, zone)) == before
    move.carry(keys_of(move.source, zone))
    move.end()
    assert (await retry(lambda: ledger.admit(zone, ask(1))))["reason"] == "recovering"
    move.back()


async def test_a_cancellation_that_the_client_swallows_ends_the_call_all_the_same(
    connection: RedisConnection,
) -> None:
    """As redis-py does now and then: the loop around its commands must not go on then."""
    met = asyncio.Event()

    async def swallows(node: Any) -> Any:
        met.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise AskError("1 127.0.0.1:1")

    assert isinstance(connection.client, ClusterClient)
    call = asyncio.create_task(connection.client._run("{East}", swallows))
    await met.wait()
    call.cancel()
    ended, _ = await asyncio.wait({call}, timeout=20)
    assert ended
    assert call.cancelled()


async def test_the_prefixes_are_declared_and_no_key_has_their_name(
    three: Cluster, ledger: Ledger
) -> None:
    """Which is why Redis refuses a script on a slot that moves; see cluster.py."""
    zone = three.zone_of(2)
    await opened(ledger, zone)
    await ledger.store_policy(zone, make_policy(source="push"), "apply")
    await ledger.admit(zone, ask(1))
    declared = {key.encode() for key in zone_keys("adm", zone)}
    prefixes = {key.encode() for key in zone_keys("adm", zone) if key.endswith(":")}
    # Nothing was set aside, and no recount is under way.
    unused = {zone_keys("adm", zone)[place].encode() for place in (14, 16)}
    assert declared - set(keys_of(three.owner(zone), zone)) == prefixes | unused


async def test_notifications_of_every_node_are_received(
    three: Cluster, connection: RedisConnection
) -> None:
    listener, received = NotificationListener(connection.client, "adm"), asyncio.Queue[str]()
    listener.listen(received.put_nowait)
    await listener.start()
    async with asyncio.timeout(10):
        await listener.subscribed()
        for node in three.primaries:
            node.call("PUBLISH", notification_channel("adm"), f"poll {node.port}")
            assert await received.get() == f"poll {node.port}"
    await listener.stop()


async def test_a_frozen_node_makes_its_own_zones_unavailable_and_no_others(
    three: Cluster, ledger: Ledger
) -> None:
    away, here = three.zone_of(0), three.zone_of(1)
    await opened(ledger, away)
    await opened(ledger, here)
    three.primaries[0].freeze()
    try:
        with pytest.raises(Unavailable):
            await ledger.admit(away, ask(1))
        assert (await ledger.admit(here, ask(2)))["decision"] == "grant"
    finally:
        three.primaries[0].thaw()
    assert (await retry(lambda: ledger.admit(away, ask(3))))["decision"] == "grant"


async def test_nodes_that_do_not_answer_are_skipped(three: Cluster) -> None:
    hosts = three.url.removeprefix("redis+cluster://").split(",")
    connection = await connect(RedisSettings(url=f"redis+cluster://127.0.0.1:9,{hosts[1]}"))
    await connection.ping()
    await connection.close()


async def test_a_cluster_without_a_reachable_node_is_unavailable() -> None:
    connection = await open_connection(RedisSettings(url="redis+cluster://127.0.0.1:9"))
    with pytest.raises(Unavailable, match="out of reach"):
        await connection.ping()
    await connection.close()


async def test_a_primary_that_evicts_is_refused(three: Cluster) -> None:
    three.primaries[2].call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigError, match="allkeys-lru"):
            await connect(RedisSettings(url=three.url))
    finally:
        three.primaries[2].call("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_a_server_that_is_no_node_is_refused() -> None:
    alone = started(PortServer)
    try:
        with pytest.raises(ConfigError, match="cluster support disabled"):
            await connect(RedisSettings(url=f"redis+cluster://127.0.0.1:{alone.port}"))
    finally:
        alone.stop()
