"""Serving, and a graceful shutdown.

stop is set -> not ready (/readyz 503), still serving for delay_ms, so that load balancers notice
            -> no longer listening, idle connections closed
            -> running requests finish; those left after grace_ms are cancelled
            -> resources are released (the application's cleanup_ctx)
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

from aiohttp import web

from admission.config.settings import is_loopback
from admission.errors import ConfigError
from admission.http.context import APP_CONTEXT
from admission.http.server.connection import ServerConnection
from admission.http.server.places import Places
from admission.http.server.timeouts import ConnectionTimeouts, timeouts_enforced
from admission.http.server.tls import Certificates

_BACKLOG: Final = 1024
_KEEPALIVE_S: Final = 75.0  # as nginx's keepalive_timeout
_HANDSHAKE_S: Final = 10.0
_ACCEPT_ITERATIONS: Final = 10


async def serve_app(
    app: web.Application,
    host: str,
    port: int,
    *,
    stop: asyncio.Event,
    grace_ms: int = 5000,
    delay_ms: int = 0,
    reuse_port: bool = False,
    certificates: Certificates | None = None,
    without_credentials: bool = False,
    timeouts: ConnectionTimeouts | None = None,
    connections_max: int = 1 << 20,
    on_listening: Callable[[int], object] | None = None,
) -> None:
    """Serve until `stop` is set, then shut down gracefully.

    Args:
        app: from `create_app`; its resources open before the first request, close after the last.
        port: 0 for any free one, which `on_listening` receives.
        grace_ms: time for running requests to finish.
        delay_ms: time of serving, not ready, before the service stops to listen.
        reuse_port: share the port with other processes (SO_REUSEPORT).
        certificates: for TLS; new connections use a changed certificate.
        timeouts: of slow clients.
        connections_max: connections at a time; which one gives way to more: places.py.
        without_credentials: allow another address than loopback although no token is configured.

    Raises:
        ConfigError: no token is configured and the address is not loopback.
        OSError: the address cannot be bound.
    """
    if not (app[APP_CONTEXT].credentials.configured or without_credentials or is_loopback(host)):
        raise ConfigError(
            f"server.host: {host} needs auth.tokens: without them every client has all rights"
        )
    # The caller handles signals: it sets `stop`.
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=grace_ms / 1000)
    await runner.setup()
    try:
        server = await _listen(
            runner,
            host,
            port,
            reuse_port=reuse_port,
            connections_max=connections_max,
            certificates=certificates,
        )
        manager = runner.server
        assert manager is not None, "the runner is set up"
        try:
            async with timeouts_enforced(_Connections(manager), timeouts or ConnectionTimeouts()):
                if on_listening is not None:
                    on_listening(server.sockets[0].getsockname()[1])
                await stop.wait()
                app[APP_CONTEXT].is_stopping = True
                await asyncio.sleep(delay_ms / 1000)
        finally:
            server.close()
            # Connections accepted just before take some iterations of the loop to appear here.
            for _ in range(_ACCEPT_ITERATIONS):
                await asyncio.sleep(0)
    finally:
        await runner.cleanup()


async def _listen(
    runner: web.AppRunner,
    host: str,
    port: int,
    *,
    reuse_port: bool,
    connections_max: int,
    certificates: Certificates | None,
) -> asyncio.Server:
    loop, options = asyncio.get_running_loop(), dict[str, Any](backlog=_BACKLOG)
    if reuse_port:
        options["reuse_port"] = True
    if certificates is not None:
        options |= {"ssl": certificates.context, "ssl_handshake_timeout": _HANDSHAKE_S}
    return await loop.create_server(
        _protocol_factory(runner, connections_max), host, port, **options
    )


class _Connections:
    """The open connections, as an iterable that reads their current set each time."""

    def __init__(self, manager: web.Server) -> None:
        self._manager = manager

    def __iter__(self) -> Iterator[ServerConnection]:
        for one in self._manager.connections:
            if isinstance(one, ServerConnection):
                yield one


def _protocol_factory(
    runner: web.AppRunner, connections_max: int
) -> Callable[[], ServerConnection]:
    loop, manager, places = asyncio.get_running_loop(), runner.server, Places(connections_max)
    assert manager is not None, "the runner is set up"

    def create_protocol() -> ServerConnection:
        return ServerConnection(
            manager,
            loop=loop,
            places=places,
            keepalive_timeout=_KEEPALIVE_S,
            # A compressed body is refused (parsing.py); a few bytes of it would otherwise be
            # inflated to gigabytes before any check, for a client without credentials too.
            auto_decompress=False,
            access_log=None,  # no access log: metrics count the responses
        )

    return create_protocol
