"""A platform on loopback that answers as a test says, and an `http_json` source that asks it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from admission.config.sources.http_json import HttpJsonSettings
from admission.domain.policy.zone import ZonePolicy
from admission.domain.snapshots import Snapshot
from admission.sources.http_json import HttpJsonSource

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
SIP = {"total": "total", "used": "used"}


@dataclass
class Seen:
    """One request that the platform received."""

    method: str
    target: str
    headers: dict[str, str]
    body: str


@dataclass
class Peer:
    """The platform: its answers, and what it received."""

    answer: Answer
    url: str = ""
    seen: list[Seen] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        target = request.raw_path
        self.seen.append(Seen(request.method, target, dict(request.headers), body))
        return await self.answer(request)


def say(body: Any, **options: Any) -> Answer:
    """An answer: text or bytes as they are, anything else as JSON."""
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    content = content.encode() if isinstance(content, str) else content

    async def answer(_request: web.Request) -> web.StreamResponse:
        given = {"content_type": "application/json"} if "headers" not in options else {}
        return web.Response(body=content, **(given | options))

    return answer


@asynccontextmanager
async def serve_peer(answer: Answer) -> AsyncIterator[Peer]:
    peer = Peer(answer)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", peer.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    peer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield peer
    finally:
        await runner.cleanup()


def settings(url: str, **said: Any) -> HttpJsonSettings:
    usual = {"url": url, "channels": {"sip": SIP}, "timeout_ms": 20_000}
    return HttpJsonSettings.model_validate(usual | said)


def zone_policy(**said: Any) -> ZonePolicy:
    usual: dict[str, Any] = {"source": "sbc", "channels": ["sip"], "campaigns": {"*": {}}}
    return ZonePolicy.model_validate(usual | said)


async def ask(url: str, policy: ZonePolicy | None = None, **said: Any) -> Snapshot:
    source = HttpJsonSource("sbc", settings(url, **said))
    try:
        return await source.query("East", policy or zone_policy())
    finally:
        await source.close()
