"""A client of a Redis Cluster with the commands that the ledger needs: scripts, by their slot.

One zone is one slot, so a call concerns one node. redis-py's own cluster client is not used:
it sends ASKING on one pooled connection and the command on another, closes the connections of all
nodes when one says CLUSTERDOWN, and fails instead of waiting when its connections are in use. Here
each node has the same bounded client as a single server, and a fault of one node stays there.

    MOVED          another node has the slot: the map is corrected, and the call sent there
    ASK, TRYAGAIN  the slot is moving: tried again until it has moved or the time is up. ASK is
                   never followed: no decision may be made on a zone of which some keys have moved.
                   Two of the declared keys are prefixes that no key has, so Redis answers one of
                   these whichever keys have moved (lua/README.md).
    no answer      the map is fetched again, and the call sent to a new owner if there is one
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.client import PubSub
from redis.crc import key_slot

from admission.config import RedisSettings
from admission.config.redis_url import Host, parse_many_hosts
from admission.ledger.store.single import connection_options, credentials, pool_options, tls_options

log = logging.getLogger(__name__)

REDIRECTS_MAX: Final = 8
MOVING_PAUSE_S: Final = 0.02

Address = tuple[str, int]
Owners = dict[int, Address]  # slot -> its primary
Command = Callable[[Redis], Awaitable[Any]]
_AWAY: Final = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)


class ClusterClient:
    """Runs scripts on the node that owns the slot of their keys.

    Args:
        settings: with a `redis+cluster://` URL.

    Raises: ConfigError: a file of its TLS is not there.
    """

    def __init__(self, settings: RedisSettings) -> None:
        many = parse_many_hosts(settings.url)
        self._seeds = [(host.name, host.port) for host in many.hosts]
        self._logins = {(host.name, host.port): _collect_login(host) for host in many.hosts}
        self._options = connection_options(settings) | pool_options(settings)
        self._default_login = credentials(settings) or _collect_login(many.hosts[0])
        if tls := tls_options(settings, many):
            del tls["ssl"]
            self._options |= tls | {"connection_class": SSLConnection}
        self._nodes: dict[Address, Redis] = {}
        self._owners: Owners = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._pubsubs = 0

    @property
    def login(self) -> Any:
        """What gives a new connection its password, if it can be renewed."""
        return self._default_login.get("credential_provider")

    async def evalsha(self, sha: str, numkeys: int, *arguments: Any) -> Any:
        """EVALSHA on the node of its first key. Raises: redis errors, as of a single server."""
        return await self._run(arguments[0], lambda node: node.evalsha(sha, numkeys, *arguments))

    async def eval(self, script: str, numkeys: int, *arguments: Any) -> Any:
        """EVAL on the node of its first key."""
        return await self._run(arguments[0], lambda node: node.eval(script, numkeys, *arguments))

    async def ping(self) -> None:
        """Ask the nodes for the map of slots. Raises: redis ConnectionError: none answers."""
        await self._refresh()

    async def primaries(self) -> list[Redis]:
        """A client of each primary that owns slots, by the newest map."""
        await self._refresh()
        return [self._get_node(address) for address in sorted(set(self._owners.values()))]

    def pubsub(self) -> PubSub:
        """A subscription at some node: a PUBLISH anywhere reaches all of them.

        Another node every time, so that trying again gets past one that is down.
        """
        addresses = sorted(set(self._owners.values())) or self._seeds
        self._pubsubs += 1
        return self._get_node(addresses[self._pubsubs % len(addresses)]).pubsub()

    async def drop_idle(self) -> None:
        """Make all connections anew before their next use."""
        for node in self._nodes.values():
            await node.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice."""
        if self._refreshing:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        nodes, self._nodes = self._nodes, {}
        for node in nodes.values():
            await node.aclose()
            await node.connection_pool.disconnect()

    async def _run(self, key: str, command: Command) -> Any:
        slot = key_slot(key.encode())
        redirects = 0
        while True:
            _raise_if_cancelled()
            address = await self._find_owner(slot)
            try:
                return await command(self._get_node(address))
            except exceptions.MovedError as moved:
                redirects += 1
                if redirects > REDIRECTS_MAX:
                    raise
                self._owners[slot] = (moved.host or address[0], moved.port)
                self._refresh_soon()
            except (exceptions.AskError, exceptions.TryAgainError):
                await asyncio.sleep(MOVING_PAUSE_S)  # the caller's time-out ends this
            except (exceptions.ClusterDownError, *_AWAY):
                await self._refresh()
                if self._owners.get(slot) == address:
                    raise

    async def _find_owner(self, slot: int) -> Address:
        if slot not in self._owners:
            await self._refresh()
        if slot not in self._owners:
            raise exceptions.ClusterDownError("Hash slot not served")
        return self._owners[slot]

    def _get_node(self, address: Address) -> Redis:
        node = self._nodes.get(address)
        if node is None:
            login = self._logins.get(address) or self._default_login
            host, port = address
            pool = BlockingConnectionPool(host=host, port=port, **self._options, **login)
            node = self._nodes[address] = Redis(connection_pool=pool)
        return node

    def _refresh_soon(self) -> asyncio.Task[None]:
        """The one refresh that is under way, begun now if there is none."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._fetch_map(), name="map of the cluster")
            self._refreshing.add_done_callback(_log_failed_refresh)
        return self._refreshing

    async def _refresh(self) -> None:
        """Wait for a new map. Raises: redis ConnectionError: no node answered."""
        await asyncio.shield(self._refresh_soon())

    async def _fetch_map(self) -> None:
        """Ask every node at once, so that an unreachable one causes no delay."""
        known = dict.fromkeys([*self._owners.values(), *self._nodes, *self._seeds])
        asked = [asyncio.create_task(_read_map(self._get_node(one), one)) for one in known]
        try:
            self._owners = await _choose_map(asked)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        await self._forget({*self._owners.values(), *self._seeds})

    async def _forget(self, but: set[Address]) -> None:
        """Close the clients of nodes that own no slot any more."""
        for address in set(self._nodes) - but:
            await self._nodes.pop(address).connection_pool.disconnect(inuse_connections=False)


async def _choose_map(asked: Iterable[asyncio.Task[tuple[bool, Owners]]]) -> Owners:
    """The first map of a node that sees a whole cluster, else any: it may be cut off itself.

    Raises: redis ConnectionError: no node answered.
    """
    found: Owners | None = None
    fault: Exception | None = None
    for answer in asyncio.as_completed(asked):
        try:
            is_whole, owners = await answer
        except (exceptions.RedisError, OSError) as exc:
            fault = exc
            continue
        if is_whole:
            return owners
        found = owners if found is None else found
    if found is None:
        raise exceptions.ConnectionError(f"no node of the cluster answered: {fault}") from fault
    return found


async def _read_map(node: Redis, address: Address) -> tuple[bool, Owners]:
    """Whether this node says that the cluster is whole, and who owns which slot."""
    info = await _execute(node, "CLUSTER INFO")
    ranges = await _execute(node, "CLUSTER SLOTS")
    return info.get("cluster_state") == "ok", dict(_parse_owners(ranges, address))


async def _execute(node: Redis, command: str) -> Any:
    return await node.execute_command(command)  # type: ignore[no-untyped-call]  # redis-py


def _parse_owners(ranges: list[list[Any]], asked: Address) -> Iterator[tuple[int, Address]]:
    for first, last, (host, port, *_), *_ in ranges:
        # A node that does not know its own name yet leaves it out: it is the node that answered.
        owner = (host.decode() if host else asked[0], int(port))
        for slot in range(int(first), int(last) + 1):
            yield slot, owner


def _collect_login(host: Host) -> dict[str, str]:
    login = {"username": host.username, "password": host.password}
    return {name: value for name, value in login.items() if value}


def _raise_if_cancelled() -> None:
    """Raise a cancellation that redis-py swallowed just as a reply came.

    Seen with redis-py 8.1 on CPython 3.11 in 14 of 400 time-outs of a zone whose slot moves: the
    loop around the commands never ended.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _log_failed_refresh(task: asyncio.Task[None]) -> None:
    """Log a failed refresh that no task awaits: the next call refreshes again."""
    if not task.cancelled() and (fault := task.exception()):
        log.info("the map of the cluster was not fetched: %s", fault)
