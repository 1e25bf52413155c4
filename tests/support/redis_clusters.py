"""Real Redis Clusters for tests, and slots that move through them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from redis.crc import key_slot

from admission.ledger.keys import zone_keys
from tests.support.redis_sets import PortServer, is_followed, started, until

SLOTS = 16_384
MEETINGS = 10


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
    # Without replicas no node is to fail over, and a loaded machine must not look like a dead node.
    patience_ms = "1000" if replicas else "15000"
    options = {"cluster_enabled": "yes", "cluster_node_timeout": patience_ms, **options}
    options["cluster_replica_validity_factor"] = "0"  # a replica of any age may be promoted
    with _nodes(6 if replicas else 3, options) as nodes:
        for n, node in enumerate(nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        await _meet(nodes)
        primaries, seconds = nodes[:3], nodes[3:]
        for n, node in enumerate(primaries):
            slots = range(-(-SLOTS * n // 3), -(-SLOTS * (n + 1) // 3))
            node.call("CLUSTER", "ADDSLOTS", *slots)
        for primary, second in zip(primaries, seconds, strict=False):
            second.call("CLUSTER", "REPLICATE", primary.call("CLUSTER", "MYID").decode())
        if seconds:
            await until(lambda: all(map(is_followed, primaries)), "the replicas are in step")
        await until(lambda: all(is_well(one) for one in nodes), "the cluster is well")
        yield Cluster(primaries, seconds)


def is_well(node: PortServer) -> bool:
    """Whether this node sees a whole cluster."""
    return b"cluster_state:ok" in node.call("CLUSTER", "INFO")


async def _meet(nodes: list[PortServer]) -> None:
    """Introduce them to each other, again where a slow handshake was given up (after 1 s)."""
    for _ in range(MEETINGS):
        for n, node in enumerate(nodes):
            for other in nodes[n + 1 :]:
                node.call("CLUSTER", "MEET", "127.0.0.1", other.port)
        with suppress(AssertionError):
            await until(lambda: all(_knows(one, len(nodes)) for one in nodes), "met", 3.0)
            return
    raise AssertionError("the nodes of the cluster did not meet")


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
