"""A client of the primary on which the sentinels agree; it follows a failover by itself.

A broken connection asks the sentinels again before it is made again. So does a connection to a
server that is no longer the primary: READONLY or NOREPLICAS drops the idle connections
(connection.py).
"""

from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool

from admission.config import RedisSettings
from admission.config.redis_url import Host, parse_many_hosts
from admission.ledger.store.single import connection_options, credentials, pool_options, tls_options

SENTINEL_PART: Final = 1 / 3  # of timeout_ms that one silent sentinel may take before the next


class _Pool(SentinelConnectionPool, BlockingConnectionPool):
    """Sentinel's pool, which waits for a free connection instead of failing."""


class SentinelClient(Redis):
    """A client of the elected primary, which owns its connections to the sentinels."""

    sentinels: Sentinel

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close everything. Safe to call twice."""
        await super().aclose(close_connection_pool)
        await self.sentinels.aclose()


def client_of_sentinels(settings: RedisSettings) -> SentinelClient:
    """A client for a `redis+sentinel://` URL.

    Raises: ConfigError: a file of its TLS is not there.
    """
    many = parse_many_hosts(settings.url)
    tls = tls_options(settings, many)
    sentinels = Sentinel(())  # type: ignore[no-untyped-call]  # redis-py
    sentinels.sentinels = [_make_sentinel(settings, host, tls) for host in many.hosts]
    options = connection_options(settings) | pool_options(settings) | credentials(settings) | tls
    pool = _Pool(many.primary, sentinels, **options)  # type: ignore[no-untyped-call]  # redis-py
    client = SentinelClient(connection_pool=pool)
    client.sentinels = sentinels
    return client


def _make_sentinel(settings: RedisSettings, host: Host, tls: dict[str, Any]) -> Redis:
    timeout_s = settings.timeout_ms / 1000 * SENTINEL_PART
    options = connection_options(settings, retries=0) | tls
    options |= {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return Redis(
        host=host.name, port=host.port, username=host.username, password=host.password, **options
    )
