"""Liveness, readiness, metrics and the API description."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from admission.errors import AdmissionError, Forbidden, Unavailable
from admission.http.context import APP_CONTEXT, CALLER
from admission.http.responses import json_response
from admission.telemetry import CONTENT_TYPE, ReplicaFacts

# Prometheus states the time that its scrape may take in this header
# (prometheus/prometheus, scrape/scrape.go).
_SCRAPE_TIMEOUT: Final = "X-Prometheus-Scrape-Timeout-Seconds"
_SCRAPE_S: Final = 10.0  # its default
_SCRAPE_PART: Final = 0.8  # the rest is for the answer


async def get_liveness(request: web.Request) -> web.Response:
    """`GET /healthz`."""
    return json_response({"status": "alive"})


async def get_readiness(request: web.Request) -> web.Response:
    """`GET /readyz`."""
    if request.app[APP_CONTEXT].is_stopping:
        raise Unavailable("Shutting down.")
    await request.app[APP_CONTEXT].decider.check_ready()
    return json_response({"status": "ready"})


async def get_metrics(request: web.Request) -> web.Response:
    """`GET /metrics`; refused to callers with limited zones, as counters cover all zones."""
    if CALLER in request and request[CALLER].zones is not None:
        raise Forbidden("Metrics cover all zones; these credentials are limited to some.")
    statuses, facts = await asyncio.gather(_read_statuses(request), _read_facts(request))
    text = request.app[APP_CONTEXT].telemetry.scrape(statuses, facts)
    return web.Response(body=text, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})


async def _read_statuses(request: web.Request) -> dict[str, Mapping[str, Any] | None]:
    decider = request.app[APP_CONTEXT].decider
    names, limit_s = decider.list_zones(), _find_time_limit(request)
    # A status that is late must not take the metrics of the others with it.
    reads = (asyncio.wait_for(decider.zone(name).get_status(), limit_s) for name in names)
    found = await asyncio.gather(*reads, return_exceptions=True)
    # The counters of the process are exported even while the store is unreachable.
    return {
        zone: None if isinstance(one, BaseException) else one
        for zone, one in zip(names, found, strict=True)
    }


def _find_time_limit(request: web.Request) -> float:
    """Seconds that the statuses may take in all."""
    try:
        stated_s = float(request.headers.get(_SCRAPE_TIMEOUT, _SCRAPE_S))
    except ValueError:
        stated_s = _SCRAPE_S
    return _SCRAPE_PART * (stated_s if 0 < stated_s <= 60 else _SCRAPE_S)


async def _read_facts(request: web.Request) -> ReplicaFacts:
    context = request.app[APP_CONTEXT]
    try:
        stores = await context.decider.read_store_memory()
    except AdmissionError:
        stores = []  # the other metrics come all the same
    return ReplicaFacts(
        certificate_expires_at_s=context.telemetry.read_certificate_expiry(),
        token_expiries=context.credentials.list_expiries(),
        stores=stores,
    )


async def get_openapi(request: web.Request) -> web.Response:
    """`GET /openapi.json`."""
    # In a thread: the first request builds it, which would hold the loop for some 50 ms.
    description = request.app[APP_CONTEXT].description
    return web.Response(
        body=await asyncio.to_thread(description.get_json),
        headers={hdrs.CONTENT_TYPE: "application/json"},
    )


async def get_docs(request: web.Request) -> web.Response:
    """`GET /docs`: the description as one self-contained page."""
    description = request.app[APP_CONTEXT].description
    return web.Response(
        text=await asyncio.to_thread(description.get_html),
        content_type="text/html",
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )
