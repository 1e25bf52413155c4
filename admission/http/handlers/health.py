"""Whether the service lives and can decide, its metrics, and what it says of itself."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

from admission.errors import Forbidden, Unavailable
from admission.http.context import APP_CONTEXT, CALLER
from admission.http.responses import json_response
from admission.telemetry.metrics import CONTENT_TYPE


async def alive(request: web.Request) -> web.Response:
    """`GET /healthz`."""
    return json_response({"status": "alive"})


async def ready(request: web.Request) -> web.Response:
    """`GET /readyz`."""
    if request.app[APP_CONTEXT].is_stopping:
        raise Unavailable("Shutting down.")
    await request.app[APP_CONTEXT].decider.check_ready()
    return json_response({"status": "ready"})


async def metrics(request: web.Request) -> web.Response:
    """`GET /metrics`. Counters cannot be cut to a caller's zones: whoever is limited gets none."""
    if CALLER in request and request[CALLER].zones is not None:
        raise Forbidden("Metrics are of all zones; these credentials are of some.")
    text = request.app[APP_CONTEXT].telemetry.scrape(await _statuses(request))
    return web.Response(body=text, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})


async def _statuses(request: web.Request) -> dict[str, Mapping[str, Any] | None]:
    decider = request.app[APP_CONTEXT].decider
    names = decider.list_zones()
    reads = (decider.zone(name).get_status() for name in names)
    found = await asyncio.gather(*reads, return_exceptions=True)
    # Without the store the counters are still worth having.
    return {
        zone: None if isinstance(one, BaseException) else one
        for zone, one in zip(names, found, strict=True)
    }


async def openapi(request: web.Request) -> web.Response:
    """`GET /openapi.json`."""
    return web.Response(
        body=request.app[APP_CONTEXT].description.json,
        headers={hdrs.CONTENT_TYPE: "application/json"},
    )


async def docs(request: web.Request) -> web.Response:
    """`GET /docs`: the description as one page, complete in itself."""
    return web.Response(
        text=request.app[APP_CONTEXT].description.html,
        content_type="text/html",
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )
