"""A failover and back: the same process is another server, for it lost what it wrote last."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from admission.config.settings import RedisSettings
from admission.ledger.ledger import Ledger
from admission.ledger.store.connection import open_connection
from tests.support.redis_sets import PortServer, started, until
from tests.support.typed_ledger import ask, get_in_use, make_policy, wait_for_recovery


@pytest.fixture
def servers() -> Iterator[tuple[PortServer, PortServer]]:
    with ExitStack() as stack:
        one, two = started(PortServer), started(PortServer)
        stack.callback(one.stop)
        stack.callback(two.stop)
        yield one, two


async def follow(replica: PortServer, primary: PortServer) -> None:
    """Make one the replica of the other, and wait until it has all of its data."""
    replica.call("REPLICAOF", "127.0.0.1", primary.port)

    def has_all() -> bool:
        master, mine = primary.call("INFO", "replication"), replica.call("INFO", "replication")
        offsets = master["master_repl_offset"], mine.get("slave_repl_offset")
        return mine.get("master_link_status") == "up" and offsets[0] == offsets[1]

    await until(has_all, "the replica has all data")


def promote(replica: PortServer) -> None:
    replica.call("REPLICAOF", "NO", "ONE")


async def recoveries(ledger: Ledger) -> int:
    await ledger.get_time("East")  # what a call counts is master by the next one
    return int((await ledger.get_status("East"))["stats"].get("recovery", 0))


@pytest.fixture
async def ledger(servers: tuple[PortServer, PortServer]) -> AsyncIterator[Ledger]:
    """Of a zone on the first server, which the second one follows."""
    connection = await open_connection(RedisSettings(url=servers[0].url))
    ledger = Ledger(connection)
    await ledger.store_policy("East", make_policy(), "file")
    await wait_for_recovery(ledger)
    await follow(servers[1], servers[0])
    yield ledger
    await ledger.close()
    await connection.close()


async def test_a_primary_that_failed_over_and_back_recovers(ledger, servers) -> None:
    one, two = servers
    promote(two)
    await ledger.admit("East", ask(1))  # the last that the old primary wrote
    before = await recoveries(ledger)
    await follow(one, two)
    promote(one)

    assert await get_in_use(ledger) == {}  # it was lost
    assert await recoveries(ledger) == before + 1


async def test_a_replica_that_comes_or_goes_is_no_loss(ledger, servers) -> None:
    one, two = servers
    promote(two)
    await follow(two, one)

    assert await recoveries(ledger) == 1  # at its birth, before the first replica came
