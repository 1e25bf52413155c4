"""The client's transport, connected to a server whose answers a test lists."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from admission.client.transport import Transport

Answers = list[tuple[int, str, dict[str, str]]]
FINE = (200, '{"now": 1}', {})
LATER = (503, '{"detail": "the store", "retry_after_ms": 1}', {})


@asynccontextmanager
async def connected(
    answers: Answers, **options: Any
) -> AsyncIterator[tuple[Transport, list[web.Request]]]:
    """A transport to a server with these answers in turn, then the last one for ever."""
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        status, text, headers = answers[min(len(asked), len(answers)) - 1]
        return web.Response(status=status, text=text, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        known = {"token": "", "tls": None, "stopwatch": time.monotonic, "connections_max": 4}
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with Transport(url, **known | options) as transport:
            yield transport, asked
    finally:
        await runner.cleanup()
