"""Every error that Redis gives instead of a result, caused on a real server.

It is a clean 503 that changes nothing, or a retry that the caller never sees; and once the cause is
gone the same request is granted.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import redis

from admission.config.settings import RedisSettings
from admission.errors import Unavailable
from admission.ledger.ledger import Ledger
from admission.ledger.store.connection import RedisConnection, open_connection
from tests.support.redis_server import RedisServer
from tests.support.redis_sets import PortServer, started
from tests.support.typed_ledger import ask, get_in_use, make_policy, retry, wait_for_recovery

Fault = Callable[[RedisServer], Iterator[None]]


def replica(server: RedisServer) -> Iterator[None]:
    with server.client() as admin:
        admin.execute_command("REPLICAOF", "127.0.0.1", "9")
        yield
        admin.execute_command("REPLICAOF", "NO", "ONE")


def cut_off_replica(server: RedisServer) -> Iterator[None]:
    with server.client() as admin:
        admin.config_set("replica-serve-stale-data", "no")
        yield from replica(server)


def full_memory(server: RedisServer) -> Iterator[None]:
    with server.client() as admin:
        admin.config_set("maxmemory", "1")
        yield
        admin.config_set("maxmemory", "0")


def too_few_replicas(server: RedisServer) -> Iterator[None]:
    with server.client() as admin:
        admin.config_set("min-replicas-to-write", "1")
        yield
        admin.config_set("min-replicas-to-write", "0")


def broken_disk(server: RedisServer) -> Iterator[None]:
    """A folder stands where the snapshot file is to be, so that saving fails."""
    (server.folder / "dump.rdb").mkdir()
    (server.folder / "dump.rdb" / "occupied").touch()
    with server.client() as admin:
        admin.config_set("save", "900 1")
        with suppress(redis.ResponseError):
            admin.save()
        admin.bgsave()
        while admin.info("persistence")["rdb_last_bgsave_status"] != "err":
            pass
        yield
        admin.config_set("stop-writes-on-bgsave-error", "no")
        admin.config_set("save", "")  # which it would insist on at SHUTDOWN


def busy_script(server: RedisServer) -> Iterator[None]:
    with server.client() as admin:
        admin.config_set("lua-time-limit", "1")

        def spin() -> None:
            with suppress(redis.RedisError), server.client() as client:
                client.eval("while true do end", 0)

        thread = threading.Thread(target=spin)
        thread.start()
        while not _is_busy(admin):
            pass
        yield
        admin.script_kill()
        thread.join()


def _is_busy(admin: redis.Redis) -> bool:
    try:
        admin.ping()
    except redis.ResponseError:
        return True
    return False


def no_permission(server: RedisServer) -> Iterator[None]:
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "default", "-evalsha")
        yield
        admin.execute_command("ACL", "SETUSER", "default", "+@all")


def frozen(server: RedisServer) -> Iterator[None]:
    server.freeze()
    yield
    server.thaw()


def gone(server: RedisServer) -> Iterator[None]:
    hidden = server.socket.with_suffix(".away")
    os.rename(server.socket, hidden)
    with server.client() as late:
        del late
    with redis.Redis(unix_socket_path=str(hidden)) as admin:
        admin.execute_command("CLIENT", "KILL", "TYPE", "normal")
    yield
    os.rename(hidden, server.socket)


@pytest.fixture
async def connection(own_redis: RedisServer) -> AsyncIterator[RedisConnection]:
    opened = await open_connection(RedisSettings(url=own_redis.url, timeout_ms=300))
    yield opened
    await opened.close()


@pytest.fixture
async def ledger(connection: RedisConnection) -> AsyncIterator[Ledger]:
    one = Ledger(connection)
    await one.store_policy("East", make_policy(), "file")
    await wait_for_recovery(one)
    yield one
    await one.close()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (replica, "replica"),
        (cut_off_replica, "lost its primary|is a replica"),
        (full_memory, "maxmemory"),
        (too_few_replicas, "too few replicas"),
        (broken_disk, "disk"),
        (busy_script, "busy"),
        (no_permission, "permission"),
        (frozen, "in time"),
        (gone, "out of reach"),
    ],
)
async def test_a_fault_of_the_server_is_a_503_that_ends_with_its_cause(
    own_redis: RedisServer, ledger: Ledger, fault: Fault, says: str
) -> None:
    await ledger.admit("East", ask(1))
    with contextmanager(fault)(own_redis), pytest.raises(Unavailable, match=says) as caught:
        await ledger.admit("East", ask(2))
    assert caught.value.retry_after_s > 0
    await retry(lambda: wait_for_recovery(ledger))  # who was a replica may have lost something
    assert (await retry(lambda: ledger.admit("East", ask(2))))["granted"] == 1
    assert (await get_in_use(ledger))["channel:sip"] == 2


async def test_a_server_that_still_loads_is_waited_for(own_redis: RedisServer) -> None:
    """NOSCRIPT and LOADING after a restart: the first is never seen, the second is a 503."""
    connection = await open_connection(RedisSettings(url=own_redis.url))
    ledger = Ledger(connection)
    await ledger.store_policy("East", make_policy(), "file")
    await wait_for_recovery(ledger)
    with own_redis.client() as admin:
        # A loading server serves events every 2 MB: here after each key, on any machine.
        admin.config_set("rdbcompression", "no")
        text = f"string.rep('x', {2**21})"
        admin.eval(f"for n = 1, 40 do redis.call('SET', 'k' .. n, {text}) end", 0)
        admin.save()
    own_redis.kill()
    config = own_redis.folder / "redis.conf"
    config.write_text(config.read_text() + "key-load-delay 30000\n")  # us
    starting = asyncio.create_task(asyncio.to_thread(own_redis.start))
    faults = set()
    async with asyncio.timeout(60):
        while True:
            try:
                await connection.ping()
                break
            except Unavailable as fault:
                faults.add(fault.detail)
                await asyncio.sleep(0.005)
    await starting
    assert (await retry(lambda: ledger.admit("East", ask(1))))["decision"] in ("grant", "deny")
    assert any("loading" in detail for detail in faults), faults
    await ledger.close()
    await connection.close()


@pytest.mark.parametrize(
    ("slots", "says"), [([], "down"), ([0], "down|another Redis node|out of reach")]
)
async def test_a_cluster_that_does_not_serve_the_slot_is_a_503(slots: list[int], says: str) -> None:
    node = started(lambda port: PortServer(port, cluster_enabled="yes"), bus=True)
    try:
        for slot in slots:
            node.call("CLUSTER", "ADDSLOTS", slot)
        connection = await open_connection(
            RedisSettings(url=f"redis+cluster://127.0.0.1:{node.port}")
        )
        ledger = Ledger(connection)
        with pytest.raises(Unavailable, match=says):
            await ledger.store_policy("East", make_policy(), "file")
        await ledger.close()
        await connection.close()
    finally:
        node.stop()
