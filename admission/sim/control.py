"""What the control interfaces of simulated platforms share: bodies, numbers, sessions, the feed.

GET, DELETE /sim/sessions/{session}           its state; hang up. GET: `?since=&wait_ms=`
GET  /sim/events                              the feed: `?since=&wait_ms=&limit=`
"""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import ValidationError

from admission.domain.types import StrictModel
from admission.sim.sessions import FEED, Crowded, SessionLog

WAIT_MS_MAX: Final = 30_000
EVENTS_PAGE_MAX: Final = 1_000
Body = TypeVar("Body", bound=StrictModel)


class SessionControl:
    """What became of sessions.

    Args:
        log: remembers it.
        hang_up: ends a call; False: it is over.
    """

    def __init__(self, log: SessionLog, hang_up: Callable[[str], bool]) -> None:
        self._log = log
        self._hang_up = hang_up

    def routes(self) -> list[web.RouteDef]:
        """The routes of the table above."""
        return [
            web.get("/sim/sessions/{session}", self._session),
            web.delete("/sim/sessions/{session}", self._ended),
            web.get("/sim/events", self._events),
        ]

    async def _session(self, request: web.Request) -> web.Response:
        session, since = request.match_info["session"], number(request, "since", -1)
        state = self._log.state(session)
        if state is not None and state["seq"] <= since:
            await self._wait(request, session)
            state = self._log.state(session)
        if state is None:
            raise problem(web.HTTPNotFound, "no such session")
        return web.json_response(state)

    async def _ended(self, request: web.Request) -> web.Response:
        session = request.match_info["session"]
        return web.json_response({"session": session, "hung_up": self._hang_up(session)})

    async def _events(self, request: web.Request) -> web.Response:
        since = number(request, "since", 0)
        limit = min(number(request, "limit", EVENTS_PAGE_MAX), EVENTS_PAGE_MAX)
        if not self._log.since(since, 1):
            await self._wait(request, FEED)
        events = self._log.since(since, limit)
        next_since = events[-1]["seq"] if events else since
        return web.json_response({"events": events, "since": next_since})

    async def _wait(self, request: web.Request, key: str) -> None:
        wait_ms = min(number(request, "wait_ms", 0), WAIT_MS_MAX)
        if wait_ms > 0:
            try:
                await self._log.wait(key, wait_ms / 1000)
            except Crowded as error:
                raise problem(web.HTTPServiceUnavailable, "too many wait") from error


def problem(kind: type[web.HTTPError], what: str) -> web.HTTPError:
    """A refusal that says why, as JSON."""
    return kind(text=json.dumps({"error": what}), content_type="application/json")


async def read(request: web.Request, body: type[Body]) -> Body:
    """The body. Raises: 422 for any other."""
    try:
        return body.model_validate_json(await request.read())
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise problem(web.HTTPUnprocessableEntity, what) from error


def found(deed: Callable[[], Any]) -> Any:
    """What a deed returns. Raises: 404 for its KeyError, 422 for its ValueError."""
    try:
        return deed()
    except KeyError as error:
        raise problem(web.HTTPNotFound, f"unknown: {error.args[0]}") from error
    except ValueError as error:
        raise problem(web.HTTPUnprocessableEntity, str(error)) from error


def number(request: web.Request, name: str, default: int) -> int:
    """A number of the query. Raises: 422 for anything else."""
    text = request.query.get(name, str(default))
    if not text.removeprefix("-").isdecimal() or len(text) > 15:
        raise problem(web.HTTPUnprocessableEntity, f"{name}: not a number")
    return int(text)
