"""Connections to the ledger's Redis: from settings to a bounded, checked connection.

Every wait is bounded: single.py bounds one command, this module a whole request. A request is
answered within DEADLINE_PART x `timeout_ms` (0.9 s by default) whatever Redis does. Its time in the
queue of group_commit.py counts: at most `queue_wait_s_max`, so that the script call always has
`timeout_ms` and a time-out of the queue is never mistaken for a time-out of Redis.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from admission.config import RedisSettings
from admission.domain.types import StoreMemory
from admission.errors import AdmissionError, ConfigError, Unavailable
from admission.ledger.keys import notification_channel
from admission.ledger.store.cluster import ClusterClient
from admission.ledger.store.embedded.server import EmbeddedRedis
from admission.ledger.store.errors import is_deposed, translate
from admission.ledger.store.sentinel import client_of_sentinels
from admission.ledger.store.server_checks import check_channel, check_server, is_refusal
from admission.ledger.store.single import Login, client_of_socket, client_of_url

__all__ = ["Client", "RedisConnection", "connect", "open_connection", "translate"]

log = logging.getLogger(__name__)

DEADLINE_PART: Final = 1.8  # of timeout_ms: a late reply and most of a second attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script and the SHA1 by which Redis knows it."""

    source: str
    sha: str


class Client(Protocol):
    """The commands that the ledger needs: of `redis.asyncio.Redis`, or of `ClusterClient`."""

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Awaitable[Any]:
        """Run a script that the server has cached."""

    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Awaitable[Any]:
        """Run a script."""

    def ping(self) -> Awaitable[Any]:
        """Ask for a sign of life."""

    def pubsub(self) -> PubSub:
        """A client for subscriptions."""

    async def aclose(self) -> None:
        """Close all connections."""


class RedisConnection:
    """Connections to the ledger's Redis, and the embedded server if there is one.

    Args:
        settings: as configured.
        client: decodes no responses.
        server: the embedded server that `close` ends.

    Example:
        connection = await connect(RedisSettings(url="redis://localhost"))
        reply = await connection.evaluate(script, keys, "argument")
    """

    def __init__(
        self, settings: RedisSettings, client: Client, server: EmbeddedRedis | None = None
    ) -> None:
        self.settings = settings
        self.client = client
        self.server = server
        self._timeout_s = settings.timeout_ms / 1000
        self._deadline_s = DEADLINE_PART * self._timeout_s

    @property
    def is_spread(self) -> bool:
        """Whether zones may be on different servers, so that one server may fail alone."""
        return isinstance(self.client, ClusterClient)

    @property
    def queue_wait_s_max(self) -> float:
        """How long an operation may wait before its script call is sent, seconds."""
        return self._deadline_s - self._timeout_s

    async def ping(self) -> None:
        """Ask for a sign of life. Raises: Unavailable: none in time."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await self.client.ping()
        except Exception as exc:
            raise translate(exc) from exc

    async def evaluate(
        self, script: Script, keys: Sequence[str], *arguments: str | bytes, waited_s: float = 0.0
    ) -> Any:
        """Run a script; EVAL sends the source to a server that has not cached it.

        Args:
            waited_s: time since the first operation of the call arrived; it shortens the call, but
                never below `timeout_ms`.

        Raises:
            Unavailable: no answer in time, or an error that passes or that an operator repairs.
            AdmissionError: an error inside the script.
        """
        left_s = max(self._deadline_s - waited_s, self._timeout_s)
        try:
            async with asyncio.timeout(left_s):
                try:
                    return await self.client.evalsha(script.sha, len(keys), *keys, *arguments)
                except exceptions.NoScriptError:  # a restarted or failed-over server
                    return await self.client.eval(script.source, len(keys), *keys, *arguments)
        except Exception as exc:
            if is_deposed(exc):
                await self._drop_idle()
            raise translate(exc) from exc

    def renew_password(self, settings: RedisSettings) -> None:
        """Use the password of these settings for new connections; open ones stay as they are."""
        login = None
        if isinstance(self.client, ClusterClient):
            login = self.client.login
        elif isinstance(self.client, Redis):
            login = self.client.connection_pool.connection_kwargs.get("credential_provider")
        if isinstance(login, Login) and settings.password:
            login.renew(settings)

    async def check(self) -> None:
        """Refuse a server that the ledger cannot rely on.

        Raises: ConfigError: it must not be used. Unavailable: it did not answer.
        """
        channel = notification_channel(self.settings.key_prefix)
        try:
            if isinstance(self.client, ClusterClient):
                for primary in await self.client.primaries():
                    await check_server(primary, in_cluster=True)
                    await check_channel(primary, channel)
            elif isinstance(self.client, Redis):
                await check_server(self.client)
                await check_channel(self.client, channel)
        except AdmissionError:
            raise
        except Exception as exc:
            if is_refusal(exc):
                raise ConfigError(f"redis: the server refuses redis.username: {exc}") from exc
            fault = translate(exc)
            reason = f"{fault.detail}: {self.settings.place}: {exc}"
            raise (Unavailable if isinstance(fault, Unavailable) else ConfigError)(reason) from exc

    async def read_memory(self) -> list[StoreMemory]:
        """The memory of each primary. Raises: Unavailable: one does not answer in time."""
        client = self.client
        try:
            async with asyncio.timeout(self._deadline_s):
                nodes = await client.primaries() if isinstance(client, ClusterClient) else [client]
                return [await _read_memory(one) for one in nodes if isinstance(one, Redis)]
        except Exception as exc:
            raise translate(exc) from exc

    async def close(self) -> None:
        """Close all connections and end the embedded server. Safe to call twice."""
        try:
            await self.client.aclose()
            if isinstance(self.client, Redis):
                await self.client.connection_pool.disconnect()
        finally:
            if self.server:
                await self.server.stop()

    async def _drop_idle(self) -> None:
        """After a failover: new connections find the present primary."""
        if isinstance(self.client, ClusterClient):
            await self.client.drop_idle()
        elif isinstance(self.client, Redis):
            await self.client.connection_pool.disconnect(inuse_connections=False)


async def connect(settings: RedisSettings) -> RedisConnection:
    """Open a connection and check the server behind it.

    Raises: ConfigError: wrong settings or server. Unavailable: the server does not answer. A caller
        that would rather wait for it calls `open_connection` now and `check` later.
    """
    connection = await open_connection(settings)
    try:
        await connection.check()
    except BaseException:
        await connection.close()
        raise
    return connection


async def open_connection(settings: RedisSettings) -> RedisConnection:
    """Make the client without a request to the server; an empty url starts the embedded server.

    Raises: ConfigError: the settings do not work, or the embedded server does not start.
    """
    if not settings.url:
        return await _open_embedded(settings)
    return RedisConnection(settings, _CLIENTS[settings.scheme](settings))


async def _open_embedded(settings: RedisSettings) -> RedisConnection:
    server = EmbeddedRedis(settings.data_dir, settings.durability)
    return RedisConnection(settings, client_of_socket(settings, await server.start()), server)


_CLIENTS: dict[str, Callable[[RedisSettings], Client]] = {
    "redis": client_of_url,
    "unix": client_of_url,
    "rediss": client_of_url,
    "redis+sentinel": client_of_sentinels,
    "redis+cluster": ClusterClient,
}


async def _read_memory(client: Redis) -> StoreMemory:
    info = await client.info("memory")
    known = client.connection_pool.connection_kwargs
    # Sentinel's pool knows no address: its primary moves.
    place = f"{known['host']}:{known.get('port', 6379)}" if "host" in known else "primary"
    return StoreMemory(
        server=str(known.get("path") or place),
        used_bytes=int(info["used_memory"]),
        limit_bytes=int(info.get("maxmemory") or info.get("total_system_memory") or 0),
    )
