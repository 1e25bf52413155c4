"""Listening, and leaving without dropping anybody.

stop is set -> not ready (/readyz 503), still serving for delay_ms, so that balancers notice
            -> no longer listening, idle connections closed
            -> requests under way finish; what is left after grace_ms is cancelled
            -> resources are released (the application's cleanup_ctx)
"""

import asyncio
import ipaddress
from collections.abc import Callable, Iterator
from typing import Any, Final

from aiohttp import web

from admission.errors import ConfigError
from admission.http.context import APP_CONTEXT
from admission.http.server.connection import HangupProtocol
from admission.http.server.timeouts import ConnectionTimeouts, watched
from admission.http.server.tls import Certificates

_BACKLOG: Final = 1024
_KEEPALIVE_S: Final = 75.0
_HANDSHAKE_S: Final = 10.0
_LET_IN_TURNS: Final = 10


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
    """Serve until `stop` is set, then leave in order.

    Args:
        app: from `create_app`; its resources open before the first request, close after the last.
        port: 0 for any free one; `on_listening` is told which.
        grace_ms: how long requests under way may take to finish.
        delay_ms: how long to go on serving, not ready, before no longer listening.
        reuse_port: share the port with other processes.
        certificates: for TLS; when they change, who connects from then on sees the new ones.
        timeouts: with slow clients.
        connections_max: more of them are closed at once.
        without_credentials: listen on another address than loopback though no token is configured.

    Raises:
        ConfigError: no token is configured and the address is not loopback.
        OSError: the address cannot be had.
    """
    if not (app[APP_CONTEXT].credentials.configured or without_credentials or is_loopback(host)):
        raise ConfigError(f"server.host: {host} needs auth.tokens: whoever reaches it may all")
    # Signals are for whoever set `stop` up.
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
            async with watched(_Connections(manager), timeouts or ConnectionTimeouts()):
                if on_listening is not None:
                    on_listening(server.sockets[0].getsockname()[1])
                await stop.wait()
                app[APP_CONTEXT].is_stopping = True
                await asyncio.sleep(delay_ms / 1000)
        finally:
            server.close()
            # Whom the system let in just before takes some turns of the loop to appear here.
            for _ in range(_LET_IN_TURNS):
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
    return await loop.create_server(_protocols(runner, connections_max), host, port, **options)


class _Connections:
    """All that are open now, as a thing that can be walked through again and again."""

    def __init__(self, manager: web.Server) -> None:
        self._manager = manager

    def __iter__(self) -> Iterator[HangupProtocol]:
        for one in self._manager.connections:
            if isinstance(one, HangupProtocol):
                yield one


def _protocols(runner: web.AppRunner, connections_max: int) -> Callable[[], HangupProtocol]:
    loop, manager = asyncio.get_running_loop(), runner.server
    assert manager is not None, "the runner is set up"

    def connection() -> HangupProtocol:
        return HangupProtocol(
            manager,
            loop=loop,
            connections_max=connections_max,
            keepalive_timeout=_KEEPALIVE_S,
            access_log=None,  # none at all: metrics count the answers
        )

    return connection


def is_loopback(host: str) -> bool:
    """Can only this machine reach that address?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
