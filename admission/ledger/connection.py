"""The one way to Redis: from settings to a bounded, checked client.

Every wait is bounded: `timeout_ms` for a connection, for a reply and for a free connection. A
command whose connection broke or whose reply is late is sent once more at once. That is safe
because every operation is idempotent, and it hides a restarted server or a dropped idle connection.
Against a server that accepts and never answers a command takes at most three timeouts.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from admission.errors import AdmissionError, ConfigError, Unavailable
from admission.ledger.checks import check_server
from admission.ledger.embedded import EmbeddedRedis
from admission.ledger.faults import translate
from admission.settings import RedisSettings

__all__ = ["RedisConnection", "connect", "open_connection", "translate"]

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 64  # one script call per zone at a time, and one for the bell
RETRIES = 1
HEALTH_CHECK_S = 30  # a connection idle for longer is probed before it is used


class RedisConnection:
    """A pool of connections to the ledger's Redis, and the embedded server if there is one.

    Args:
        settings: as configured.
        client: answers bytes.
        server: the embedded server that lives and dies with this connection.
    """

    def __init__(
        self, settings: RedisSettings, client: Redis, server: EmbeddedRedis | None = None
    ) -> None:
        self.settings = settings
        self.client = client
        self.server = server

    async def ping(self) -> None:
        """Ask for a sign of life. Raises: Unavailable: none within the timeouts."""
        try:
            await self.client.ping()
        except Exception as exc:
            raise translate(exc) from exc

    async def check(self) -> None:
        """Refuse a server that the ledger cannot rely on.

        Raises: ConfigError: it must not be used. Unavailable: it did not answer.
        """
        try:
            await check_server(self.client)
        except AdmissionError:
            raise
        except Exception as exc:
            fault = translate(exc)
            reason = f"{fault.detail}: {self.settings.place}: {exc}"
            raise (Unavailable if isinstance(fault, Unavailable) else ConfigError)(reason) from exc

    async def close(self) -> None:
        """Close all connections and end the embedded server. Safe to call twice."""
        try:
            await self.client.aclose()
            await self.client.connection_pool.disconnect()
        finally:
            if self.server:
                await self.server.stop()


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
    return await _OPENERS[settings.scheme](settings)


async def _open_embedded(settings: RedisSettings) -> RedisConnection:
    server = EmbeddedRedis(settings.data_dir, settings.durability)
    return RedisConnection(settings, _client(settings, await server.start()), server)


async def _open_single(settings: RedisSettings) -> RedisConnection:
    return RedisConnection(settings, _client(settings, settings.url))


async def _open_tls(settings: RedisSettings) -> RedisConnection:
    if settings.ca_file and not settings.ca_file.is_file():
        raise ConfigError(f"redis.ca_file: there is no file {settings.ca_file}")
    tls = {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": str(settings.ca_file) if settings.ca_file else None,
    }
    return RedisConnection(settings, _client(settings, settings.url, **tls))


async def _open_later(settings: RedisSettings) -> RedisConnection:
    raise ConfigError(f"redis.url: {settings.scheme}:// comes in a later version")


_OPENERS: dict[str, Callable[[RedisSettings], Awaitable[RedisConnection]]] = {
    "": _open_embedded,
    "redis": _open_single,
    "unix": _open_single,
    "rediss": _open_tls,
    "redis+sentinel": _open_later,
    "redis+cluster": _open_later,
}


def _client(settings: RedisSettings, url: str, **more: Any) -> Redis:
    timeout_s = settings.timeout_ms / 1000
    password = settings.password.get_secret_value() if settings.password else None
    credentials = {"username": settings.username, "password": password}
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS_MAX,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            health_check_interval=HEALTH_CHECK_S,
            retry=Retry(
                NoBackoff(), RETRIES, (exceptions.ConnectionError, exceptions.TimeoutError)
            ),
            decode_responses=False,
            protocol=2,  # the answers of scripts are the same on every version, and no HELLO
            **{name: value for name, value in (credentials | more).items() if value is not None},
        )
    except ValueError as exc:
        raise ConfigError(f"redis.url: {exc}") from exc
    return Redis(connection_pool=pool)
