"""Several real Redis servers that belong together: replicas with sentinels.

Clusters: redis_clusters.py.

All on TCP ports of 127.0.0.1 below the range that the kernel gives to clients.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import redis
import trustme

from tests.support.redis_server import RedisServer

PORTS = range(12_000, 22_000)
BUS = 10_000  # a cluster node also listens at its port plus this
TRIES = 20
PATIENCE_S = 30.0
POLL_S = 0.02


class PortServer(RedisServer):
    """A server on a TCP port too.

    Args:
        password: of every client.
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
        return super().client(password=password, **options)

    def call(self, *command: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*command)


@dataclass(frozen=True)
class Certificates:
    """The certificate of servers and clients, signed by one authority."""

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
    """A server on a free port; another port if that is taken meanwhile."""
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


async def until(true: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition that no event reports."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    while loop.time() < deadline:
        try:
            if true():
                return
        except redis.RedisError:
            pass
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"not within {patience_s:.0f} s: {what}")


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
        """Wait until the sentinels name that server, and it takes writes."""
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


def is_followed(primary: PortServer) -> bool:
    """Whether its replica has a write that was made now: a new one thinks so a second early."""
    with primary.client() as client:
        client.flushall()
        return bool(client.wait(1, 1000) == 1)
