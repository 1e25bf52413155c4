"""A server that answers as each test says, over real loopback connections, and who asks it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.domain.snapshots import Snapshot
from admission.errors import SourceError
from admission.sources.experience_portal.source import ExperiencePortalSource
from tests.support.polling import make_policy

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
BOTH = ("sip", "h323")


@asynccontextmanager
async def platform(answer: Answer) -> AsyncIterator[str]:
    """A server with one address. Handlers end when their client goes."""
    app = web.Application(client_max_size=64 * 1024)
    app.router.add_post("/ep", answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/ep"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_platform(reply: bytes) -> AsyncIterator[str]:
    """A server that reads something, sends these bytes and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(reply)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ep"


def fixed(body: bytes = b"", **said: Any) -> Answer:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, **said)

    return answer


def settings(url: str, **said: Any) -> ExperiencePortalSettings:
    usual = {"url": url, "username": "outcall", "password": "s3cret", "timeout_ms": 20_000}
    return ExperiencePortalSettings.model_validate(usual | said)


@asynccontextmanager
async def connected(url: str, **said: Any) -> AsyncIterator[ExperiencePortalSource]:
    source = ExperiencePortalSource("epm", settings(url, **said))
    try:
        yield source
    finally:
        await source.close()


async def asked(url: str, channels: tuple[str, ...] = BOTH, **said: Any) -> Snapshot:
    async with connected(url, **said) as source:
        return await source.query("East", make_policy(channels, source_zone="East"))


async def refused(url: str, **said: Any) -> SourceError:
    """The error of a query that must fail, in the form that the operator reads."""
    with pytest.raises(SourceError) as caught:
        await asked(url, **said)
    detail = caught.value.detail
    assert detail.isprintable()
    assert detail.startswith(f"QueryResources at {url.split('/')[2]}: ")
    assert "s3cret" not in detail
    return caught.value
