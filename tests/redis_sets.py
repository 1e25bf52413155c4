"""Several real Redis servers that belong together: replicas with sentinels, and clusters.

All on TCP ports of 127.0.0.1 below the range that the kernel gives to clients.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import redis
import trustme
from redis.crc import key_slot

from admission.ledger.keys import zone_keys
from tests.redis_server import RedisServer

PORTS = range(12_000, 22_000)
BUS = 10_000  # a cluster node also listens at its port plus this
SLOTS = 16_384
TRIES = 20
PATIENCE_S = 30.0
POLL_S = 0.02


class PortServer(RedisServer):
    """A server on a TCP port too.

    Args:
        password: of everybody who comes.
        tls: the port speaks TLS, with these certificates.
    """

    def __init__(
        self, port: int, *, password: str = "", tls: "Certificates | None" = None, **options: Any
    ) -> None:
        # A replica is served at once, and not 5 s later together with others.
        usual = {"repl_diskless_sync_delay": "0", "bind": "127.0.0.1"}
        if password:
            usual |= {"requirepass": password, "masterauth": password}
        usual |= tls.options(port) if tls else {"port": str(port)}
        super().__init__(**(usual | options))
        self.password = password
        self.port = port

    def client(self, **options: Any) -> redis.Redis:
        password = self.password or None
        return redis.Redis(unix_socket_path=str(self.socket), password=password, **options)

    def call(self, *command: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*command)


@dataclass(frozen=True)
class Certificates:
    """Of servers and clients alike, signed by one authority."""

    cert: Path
    key: Path
    authority: Path

    @staticmethod
    def made_in(folder: Path) -> "Certificates":
        authority = trustme.CA()
        mine = authority.issue_cert("127.0.0.1")
        made = Certificates(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
        mine.cert_chain_pems[0].write_to_path(made.cert)
        mine.private_key_pem.write_to_path(made.key)
        authority.cert_pem.write_to_path(made.authority)
        return made

    @property
    def url_options(self) -> str:
        return f"ssl_certfile={self.cert}&ssl_keyfile={self.key}"

    def options(self, port: int) -> dict[str, str]:
        return {
            "port": "0",
            "tls_port": str(port),
            "tls_cert_file": str(self.cert),
            "tls_key_file": str(self.key),
            "tls_ca_cert_file": str(self.authority),
            "tls_replication": "yes",
            "tls_cluster": "yes",
        }


class SentinelServer(PortServer):
    """A sentinel that watches one primary under the name `main`."""

    arguments = ("--sentinel",)

    def __init__(self, port: int, primary: PortServer, quorum: int, **options: Any) -> None:
        super().__init__(port, **options)
        self._watched = (
            f"sentinel monitor main 127.0.0.1 {primary.port} {quorum}\n"
            "sentinel down-after-milliseconds main 400\n"
            "sentinel failover-timeout main 3000\n"
        )
        if primary.password:
            self._watched += f"sentinel auth-pass main {primary.password}\n"

    def _config(self) -> str:
        kept = ("port", "bind", "unixsocket", "dir", "requirepass")
        lines = super()._config().splitlines(keepends=True)
        return "".join(line for line in lines if line.startswith((*kept, "tls"))) + self._watched


Server = TypeVar("Server", bound=PortServer)


def started(make: Callable[[int], Server], *, bus: bool = False) -> Server:
    """A server on a free port; another port if somebody else was quicker."""
    for _ in range(TRIES):
        port = random.choice(PORTS)
        if _is_free(port) and (not bus or _is_free(port + BUS)):
            try:
                return make(port).start()
            except RuntimeError:
                continue
    raise RuntimeError("no free port was found")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait for something that no event tells."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while loop.time() < deadline:
        try:
            if true():
                return
        except redis.RedisError:
            pass
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"not within {PATIENCE_S:.0f} s: {what}")


@dataclass
class Watched:
    """A primary, its replica, and the sentinels that watch them."""

    primary: PortServer
    replica: PortServer
    sentinels: list[PortServer]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{hosts}/main"

    def keep(self) -> None:
        """Wait until the replica has all that was written so far."""
        with self.primary.client() as client:
            client.set("kept", 1)
            assert client.wait(1, 10_000) == 1

    async def elected(self, server: PortServer) -> None:
        """Until the sentinels send everybody to that server, and it takes writes."""
        await until(
            lambda: (
                all(
                    int(one.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1]) == server.port
                    for one in self.sentinels
                )
                and server.call("ROLE")[0] == b"master"
            ),
            f"the sentinels elect {server.port}",
        )


@asynccontextmanager
async def watched(
    sentinels: int = 1, sentinel_password: str = "", **options: Any
) -> AsyncIterator[Watched]:
    """A primary and a replica in step, watched by so many sentinels."""
    with ExitStack() as stack:

        def start(make: Callable[[int], PortServer]) -> PortServer:
            server = started(make)
            stack.callback(server.stop)
            return server

        primary = start(lambda port: PortServer(port, **options))
        replica = start(
            lambda port: PortServer(port, replicaof=f"127.0.0.1 {primary.port}", **options)
        )
        await until(lambda: is_followed(primary), "the replica is in step")
        quorum = sentinels // 2 + 1
        shared = {name: options[name] for name in ("tls", "binary") if name in options}
        for_sentinels = {"password": sentinel_password, **shared}
        watchers = [
            start(lambda port: SentinelServer(port, primary, quorum, **for_sentinels))
            for _ in range(sentinels)
        ]
        await until(
            lambda: all(_sees_all(one, sentinels) for one in watchers),
            "the sentinels know the replica and each other",
        )
        yield Watched(primary, replica, watchers)


def _sees_all(sentinel: PortServer, sentinels: int) -> bool:
    with sentinel.client() as client:
        state = client.sentinel_master("main")
    return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == sentinels - 1)


def slot_of(zone: str) -> int:
    """Where the zone's keys are."""
    return int(key_slot(zone_keys("adm", zone)[0].encode()))


def keys_in(node: PortServer, slot: int) -> list[bytes]:
    """The keys of a slot that this node has."""
    return list(node.call("CLUSTER", "GETKEYSINSLOT", slot, 1000))


@dataclass
class Cluster:
    """Primaries with a third of the slots each, and their replicas, if any."""

    primaries: list[PortServer]
    replicas: list[PortServer]

    @property
    def nodes(self) -> list[PortServer]:
        return self.primaries + self.replicas

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.nodes)
        return f"redis+cluster://{hosts}"

    def owner(self, zone: str) -> PortServer:
        """The primary of a zone, as the slots were dealt."""
        return self.primaries[slot_of(zone) * 3 // SLOTS]

    def zone_of(self, primary: int, prefix: str = "zone") -> str:
        """The name of a zone that lives on that primary."""
        names = (f"{prefix}{n}" for n in range(1000))
        return next(one for one in names if self.owner(one) is self.primaries[primary])


class Move:
    """A slot on its way from one node to another, in the steps of an operator's tool."""

    def __init__(self, cluster: Cluster, zone: str) -> None:
        self.slot = slot_of(zone)
        self.source = cluster.owner(zone)
        self.target = next(one for one in cluster.primaries if one is not self.source)
        self.nodes = cluster.primaries

    def begin(self) -> None:
        ids = {one: one.call("CLUSTER", "MYID").decode() for one in (self.source, self.target)}
        self.target.call("CLUSTER", "SETSLOT", self.slot, "IMPORTING", ids[self.source])
        self.source.call("CLUSTER", "SETSLOT", self.slot, "MIGRATING", ids[self.target])

    def carry(self, keys: list[bytes]) -> None:
        for key in keys:
            self.source.call("MIGRATE", "127.0.0.1", self.target.port, key, 0, 5000)

    def end(self) -> None:
        self._give(self.target)

    def back(self) -> None:
        """Undo it."""
        self.source, self.target = self.target, self.source
        self.begin()
        self.carry(keys_in(self.source, self.slot))
        self._give(self.target)

    def _give(self, owner: PortServer) -> None:
        owned = owner.call("CLUSTER", "MYID").decode()
        for node in (self.target, self.source, *self.nodes):
            node.call("CLUSTER", "SETSLOT", self.slot, "NODE", owned)


@asynccontextmanager
async def cluster(replicas: bool = False, **options: Any) -> AsyncIterator[Cluster]:
    """Three primaries, each with a replica or none, that agree that all is well."""
    options = {"cluster_enabled": "yes", "cluster_node_timeout": "1000", **options}
    options["cluster_replica_validity_factor"] = "0"  # a replica of any age may be promoted
    with _nodes(6 if replicas else 3, options) as nodes:
        for n, node in enumerate(nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for n, node in enumerate(nodes):
            for other in nodes[n + 1 :]:
                node.call("CLUSTER", "MEET", "127.0.0.1", other.port)
        primaries, seconds = nodes[:3], nodes[3:]
        for n, node in enumerate(primaries):
            slots = range(-(-SLOTS * n // 3), -(-SLOTS * (n + 1) // 3))
            node.call("CLUSTER", "ADDSLOTS", *slots)
        await until(lambda: all(_knows(one, len(nodes)) for one in nodes), "all nodes have met")
        for primary, second in zip(primaries, seconds, strict=False):
            second.call("CLUSTER", "REPLICATE", primary.call("CLUSTER", "MYID").decode())
        if seconds:
            await until(lambda: all(map(is_followed, primaries)), "the replicas are in step")
        await until(lambda: all(is_well(one) for one in nodes), "the cluster is well")
        yield Cluster(primaries, seconds)


def is_followed(primary: PortServer) -> bool:
    """Whether its replica has a write that was made now: a new one thinks so a second early."""
    with primary.client() as client:
        client.flushall()
        return bool(client.wait(1, 1000) == 1)


def is_well(node: PortServer) -> bool:
    """Whether this node sees a whole cluster."""
    return b"cluster_state:ok" in node.call("CLUSTER", "INFO")


def _knows(node: PortServer, nodes: int) -> bool:
    lines = node.call("CLUSTER", "NODES").splitlines()
    return len(lines) == nodes and all(b"handshake" not in line for line in lines)


@contextmanager
def _nodes(n: int, options: dict[str, Any]) -> Iterator[list[PortServer]]:
    with ExitStack() as stack:
        found = []
        for _ in range(n):
            server = started(lambda port: PortServer(port, **options), bus=True)
            stack.callback(server.stop)
            found.append(server)
        yield found
