"""`GET /v1/events`: server-sent events.

event      data
hello      the first event: the caller (`name`, `role`), the `zones` that follow, the `version`
zone       a zone's status as in `GET /v1/zones/{zone}`, when it changed, and `decisions`: grants,
           and denials by reason, of the last `over_ms`
problem    a zone that cannot be read now, and the reason
history    before the first status of a known zone: its ports over the last quarter of an hour

After a few seconds without events a comment is sent. Every five seconds by the clock, whatever is
sent, the credentials are checked again: a token that was revoked, has expired, or has another role
or other zones ends the stream, and the client that connects again has the rights of now.
"""

import asyncio
import logging
from typing import Final

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict

from admission import __version__
from admission.domain import Name
from admission.http.context import APP_CONTEXT, CALLER, REQUEST_ID
from admission.http.events.feed import Stream, format_event
from admission.http.middleware import SERVER_NAME, X_REQUEST_ID
from admission.http.parsing import validate
from admission.http.problems import Unauthorized
from admission.http.scope import find_zone
from admission.http.server.connection import CancelOnDisconnect

log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 5.0
RECHECK_S: Final = 5.0
SLOW_S: Final = 10.0  # a client that reads nothing for so long is disconnected
MEDIA_TYPE: Final = "text/event-stream"
_HEARTBEAT: Final = b": alive\n\n"
_HEADERS: Final = {
    hdrs.CONTENT_TYPE: MEDIA_TYPE,
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",  # otherwise nginx buffers the stream
    hdrs.SERVER: SERVER_NAME,
}


class EventQuery(BaseModel):
    """The query of `GET /v1/events`. `zone` None: all zones that the caller may see."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zone: Name | None = None


async def stream_events(request: web.Request) -> web.StreamResponse:
    """`GET /v1/events`."""
    query = validate(EventQuery, dict(request.query))
    zones = (
        _list_visible_zones(request)
        if query.zone is None
        else [find_zone(request, query.zone).name]
    )
    with request.app[APP_CONTEXT].feed.follow(zones) as stream, CancelOnDisconnect(request):
        response = web.StreamResponse(headers=_HEADERS)
        response.headers[X_REQUEST_ID] = request[REQUEST_ID]
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            await _send_events(request, response, stream, _build_hello(request, zones))
    return response


def _list_visible_zones(request: web.Request) -> list[str]:
    names = request.app[APP_CONTEXT].decider.list_zones()
    return [name for name in names if request[CALLER].may_see_zone(name)]


def _build_hello(request: web.Request, zones: list[str]) -> bytes:
    caller = request[CALLER]
    data = {"name": caller.name, "role": caller.role, "zones": zones, "version": __version__}
    return format_event("hello", data)


async def _send_events(
    request: web.Request, response: web.StreamResponse, stream: Stream, data: bytes
) -> None:
    now = asyncio.get_running_loop().time
    check_at = now() + RECHECK_S
    try:
        while not stream.closed:
            async with asyncio.timeout(SLOW_S):
                await response.write(data)
            data = await stream.next(min(HEARTBEAT_S, max(0, check_at - now()))) or _HEARTBEAT
            if now() >= check_at:
                _require_same_rights(request)
                check_at = now() + RECHECK_S
    except TimeoutError:
        log.info("events: disconnected %s, which reads too slowly", request[CALLER].name)
        if request.transport is not None:
            request.transport.abort()
    except Unauthorized:
        log.info("events: the rights of %s have ended or changed", request[CALLER].name)
    except ConnectionError:
        pass  # the client disconnected


def _require_same_rights(request: web.Request) -> None:
    """Raise `Unauthorized` if the credentials give other rights than when the stream began."""
    credentials = request.app[APP_CONTEXT].credentials
    caller = credentials.authenticate(request.headers.get(hdrs.AUTHORIZATION))
    if caller != request[CALLER]:
        raise Unauthorized("The rights of this token have changed.")
