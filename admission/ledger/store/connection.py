"""The one way to Redis: from settings to a bounded, checked connection.

Every wait is bounded: in single.py for one command, here for a whole request: it is answered within
DEADLINE_PART x `timeout_ms` (0.9 s by default) whatever Redis does. What it waited for the call
before its own counts too.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from admission.config.settings import RedisSettings
from admission.errors import AdmissionError, ConfigError, Unavailable
from admission.ledger.store.cluster import ClusterClient
from admission.ledger.store.embedded.server import EmbeddedRedis
from admission.ledger.store.errors import is_deposed, translate
from admission.ledger.store.sentinel import client_of_sentinels
from admission.ledger.store.server_checks import check_server, is_refusal
from admission.ledger.store.single import client_of_socket, client_of_url

__all__ = ["Client", "RedisConnection", "connect", "open_connection", "translate"]

log = logging.getLogger(__name__)

DEADLINE_PART = 1.8  # of timeout_ms: a reply that is late and most of a second try

LEFT_PART: Final = 0.1  # of timeout_ms that a call has at least, however long was waited for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script and the SHA1 by which Redis knows it."""

    source: str
    sha: str


class Client(Protocol):
    """What the ledger needs of Redis: `redis.asyncio.Redis` is one, `ClusterClient` another."""

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Awaitable[Any]:
        """Run a script that the server knows."""

    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Awaitable[Any]:
        """Run a script."""

    def ping(self) -> Awaitable[Any]:
        """Give a sign of life."""

    def pubsub(self) -> PubSub:
        """A subscription."""

    async def aclose(self) -> None:
        """Close all connections."""


class RedisConnection:
    """Connections to the ledger's Redis, and the embedded server if there is one.

    Args:
        settings: as configured.
        client: answers bytes.
        server: the embedded server that lives and dies with this connection.
    """

    def __init__(
        self, settings: RedisSettings, client: Client, server: EmbeddedRedis | None = None
    ) -> None:
        self.settings = settings
        self.client = client
        self.server = server
        self._deadline_s = DEADLINE_PART * settings.timeout_ms / 1000

    @property
    def is_spread(self) -> bool:
        """Whether zones may live on different servers, so that one may be away alone."""
        return isinstance(self.client, ClusterClient)

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
        """Run a script; EVAL brings it along to a server that does not know it.

        Args:
            waited_s: what of the time that it may take is gone already.

        Raises:
            Unavailable: no answer in time, or one that passes or an operator mends.
            AdmissionError: an error inside the script.
        """
        left_s = max(self._deadline_s - waited_s, LEFT_PART * self.settings.timeout_ms / 1000)
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

    async def check(self) -> None:
        """Refuse a server that the ledger cannot rely on.

        Raises: ConfigError: it must not be used. Unavailable: it did not answer.
        """
        try:
            if isinstance(self.client, ClusterClient):
                for primary in await self.client.primaries():
                    await check_server(primary, in_cluster=True)
            elif isinstance(self.client, Redis):
                await check_server(self.client)
        except AdmissionError:
            raise
        except Exception as exc:
            if is_refusal(exc):
                raise ConfigError(f"redis: the server refuses redis.username: {exc}") from exc
            fault = translate(exc)
            reason = f"{fault.detail}: {self.settings.place}: {exc}"
            raise (Unavailable if isinstance(fault, Unavailable) else ConfigError)(reason) from exc

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
        """The server was deposed: whoever is the primary now is found by connecting anew."""
        if isinstance(self.client, ClusterClient):
            await self.client.drop_idle()
        elif isinstance(self.client, Redis):
            await self.client.connection_pool.disconnect(inuse_connections=False)


async def connect(settings: RedisSettings) -> RedisConnection:
    """Open a connection and check the server behind it.

    Raises: ConfigError: wrong settings or server. Unavailable: the server does not answer;
        who would rather wait for it takes `open_connection` and calls `check` later.
    """
    connection = await open_connection(settings)
    try:
        await connection.check()
    except BaseException:
        await connection.close()
        raise
    return connection


async def open_connection(settings: RedisSettings) -> RedisConnection:
    """Make the client without asking the server anything; an empty url starts the embedded one.

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
