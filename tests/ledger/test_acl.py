"""deploy/acl/users.acl: enough for everything that the service does, and for nothing else."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from admission.config.settings import RedisSettings
from admission.domain.snapshots import Snapshot, SnapshotGroup
from admission.domain.types import TemporaryLimit
from admission.errors import ConfigError
from admission.ledger.ledger import Ledger
from admission.ledger.notifications import NotificationListener
from admission.ledger.scripts import COMMON, MODULES, read_module
from admission.ledger.store.connection import RedisConnection, connect
from tests.support.paths import ROOT
from tests.support.redis_server import RedisServer
from tests.support.typed_ledger import ask, get_in_use, make_policy, wait_for_recovery

FILE = ROOT / "deploy" / "acl" / "users.acl"
DISABLED = "0" * 64
PASSWORD = "correct horse"
# Words of the script's commands that are no commands; a command of the test clock.
ARGUMENTS = {"COUNT", "LIMIT", "MAXLEN", "WITHSCORES", "WRONGTYPE"}
TESTS_ONLY = {"GET"}
# What the service sends besides the script's own commands.
SERVICE = {"eval", "evalsha", "ping", "subscribe", "unsubscribe", "config|get"}
SERVICE |= {"cluster|info", "cluster|slots"}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """A server with the shipped users, and a password for ours."""
    users = tmp_path / "users.acl"
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    users.write_text(FILE.read_text().replace(DISABLED, digest))
    with RedisServer(aclfile=str(users)) as server:
        yield server


@pytest.fixture
async def connection(guarded: RedisServer) -> AsyncIterator[RedisConnection]:
    settings = RedisSettings(url=guarded.url, username="admission", password=PASSWORD)
    opened = await connect(settings)
    yield opened
    await opened.close()


def test_the_shipped_file_has_no_known_password() -> None:
    assert f"#{DISABLED}" in FILE.read_text()


def test_the_file_allows_the_commands_of_script_and_service_and_no_others() -> None:
    sources = [read_module(name) for name in (*MODULES, *COMMON, "main")]
    words = set(re.findall(r"'([A-Z]{3,})'", "\n".join(sources)))
    used = {name.lower() for name in words - ARGUMENTS - TESTS_ONLY}
    assert set(re.findall(r"\+(\S+)", FILE.read_text())) == used | SERVICE


async def test_the_service_can_do_all_of_its_work(connection: RedisConnection) -> None:
    ledger, listener = Ledger(connection), NotificationListener(connection.client, "adm")
    received: asyncio.Queue[str] = asyncio.Queue()
    listener.listen(received.put_nowait)
    await listener.start()
    async with asyncio.timeout(10):
        await listener.subscribed()
    await ledger.store_policy("East", make_policy(source="push"), "file")
    t0 = await ledger.get_time("East")
    group = SnapshotGroup(total=10, unused={"channel:sip": 4})
    await ledger.ingest("East", t0, Snapshot(groups=(group,)))
    await ledger.store_policy("East", make_policy(), "apply")
    async with asyncio.timeout(10):
        assert await received.get() == "poll East"
    await wait_for_recovery(ledger)
    granted = await ledger.admit("East", ask(1, pools=["trunk:a"]))
    waits = {"replica": "r", "waits": 1000}
    assert "waiting" in await ledger.admit("East", ask(2, count=9, min_count=8) | waits)
    await ledger.send_heartbeat("East", "r")
    public = granted["reservations"][0]["id"]
    fields = {"id": public, "port_taken": True}
    assert (await ledger.report("East", {"op": "launched", **fields}))["state"] == "live"
    await ledger.acquire_lease("East", "r", 1000)
    await ledger.set_paused("East", "trunk:a", True)
    await ledger.set_limit("East", TemporaryLimit(pool="trunk:a", limit=3, ttl_ms=1000))
    assert (await ledger.list_reservations("East"))["reservations"]
    assert await get_in_use(ledger)
    assert (await ledger.get_policy("East")).version >= 3
    end = {"op": "end", "id": public, "outcome": "completed"}
    assert (await ledger.report("East", end))["state"] == "ended"
    await listener.stop()
    await ledger.close()


@pytest.mark.parametrize(
    "command",
    [
        *("FLUSHALL", "KEYS *", "GET other", "SET adm:x 1", "HGET other x", "PUBLISH other x"),
        *("CONFIG SET maxmemory 1", "ACL LIST", "SHUTDOWN NOSAVE", "CLIENT LIST"),
    ],
)
def test_a_client_with_the_password_can_run_no_other_command(
    guarded: RedisServer, command: str
) -> None:
    with guarded.client(username="admission", password=PASSWORD) as client:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command.split())
        with pytest.raises(redis.exceptions.RedisError):
            client.eval("return redis.call('GET', KEYS[1])", 1, "other")


async def test_a_client_without_a_user_name_is_refused(guarded: RedisServer) -> None:
    with pytest.raises(ConfigError, match=r"redis\.username"):
        await connect(RedisSettings(url=guarded.url))
