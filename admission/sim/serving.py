"""Serves a simulator's application inside a running event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


def join_host_port(host: str, port: int) -> str:
    """The authority of a URL; an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@asynccontextmanager
async def serve_app(app: web.Application, *, host: str, port: int) -> AsyncIterator[str]:
    """Serve an application.

    Args:
        app: the simulator.
        host: address to listen on.
        port: 0: any free port.

    Yields:
        The base URL.
    """
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0]
        yield f"http://{join_host_port(bound[0], bound[1])}"
    finally:
        await runner.cleanup()
