"""Shared parts of the simulators' control interfaces: bodies, parameters, sessions, events.

GET, DELETE /sim/sessions/{session}           its state; hang up. GET: `?since=&wait_ms=`
GET  /sim/events                              the event feed: `?since=&wait_ms=&limit=`
"""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import ValidationError

from admission.domain import StrictModel
from admission.sim.sessions import FEED, SessionLog, TooManyWaiters

# Shorter than the idle time-outs of usual proxies (60 s).
WAIT_MS_MAX: Final = 30_000
EVENTS_PAGE_MAX: Final = 1_000
Body = TypeVar("Body", bound=StrictModel)


class SessionControl:
    """The handlers for sessions and events.

    Args:
        log: the sessions and their events.
        hang_up: ends a call; returns False if it has ended already.
    """

    def __init__(self, log: SessionLog, hang_up: Callable[[str], bool]) -> None:
        self._log = log
        self._hang_up = hang_up

    def routes(self) -> list[web.RouteDef]:
        """The routes at the top of this file."""
        return [
            web.get("/sim/sessions/{session}", self._get_session),
            web.delete("/sim/sessions/{session}", self._end_session),
            web.get("/sim/events", self._get_events),
        ]

    async def _get_session(self, request: web.Request) -> web.Response:
        session, since = request.match_info["session"], read_number(request, "since", -1)
        state = self._log.state(session)
        if state is not None and state["seq"] <= since:
            await self._wait(request, session)
            state = self._log.state(session)
        if state is None:
            raise make_error(web.HTTPNotFound, "no such session")
        return web.json_response(state)

    async def _end_session(self, request: web.Request) -> web.Response:
        session = request.match_info["session"]
        return web.json_response({"session": session, "hung_up": self._hang_up(session)})

    async def _get_events(self, request: web.Request) -> web.Response:
        since = read_number(request, "since", 0)
        limit = min(read_number(request, "limit", EVENTS_PAGE_MAX), EVENTS_PAGE_MAX)
        if not self._log.since(since, 1):
            await self._wait(request, FEED)
        events = self._log.since(since, limit)
        next_since = events[-1]["seq"] if events else since
        return web.json_response({"events": events, "since": next_since})

    async def _wait(self, request: web.Request, key: str) -> None:
        wait_ms = min(read_number(request, "wait_ms", 0), WAIT_MS_MAX)
        if wait_ms > 0:
            try:
                await self._log.wait(key, wait_ms / 1000)
            except TooManyWaiters as error:
                raise make_error(web.HTTPServiceUnavailable, "too many wait") from error


def make_error(kind: type[web.HTTPError], message: str) -> web.HTTPError:
    """Make an error response with a JSON body."""
    return kind(text=json.dumps({"error": message}), content_type="application/json")


async def read_body(request: web.Request, body: type[Body]) -> Body:
    """Read and validate the body.

    Raises:
        web.HTTPUnprocessableEntity: the body does not fit the model.
    """
    try:
        return body.model_validate_json(await request.read())
    except ValidationError as error:
        message = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise make_error(web.HTTPUnprocessableEntity, message) from error


def run_or_refuse(action: Callable[[], Any]) -> Any:
    """Perform an action and return its result.

    Raises:
        web.HTTPNotFound: the action raised KeyError.
        web.HTTPUnprocessableEntity: the action raised ValueError.
    """
    try:
        return action()
    except KeyError as error:
        raise make_error(web.HTTPNotFound, f"unknown: {error.args[0]}") from error
    except ValueError as error:
        raise make_error(web.HTTPUnprocessableEntity, str(error)) from error


def read_number(request: web.Request, name: str, default: int) -> int:
    """Read an integer from the query string.

    Raises:
        web.HTTPUnprocessableEntity: the parameter is no integer.
    """
    text = request.query.get(name, str(default))
    if not text.removeprefix("-").isdecimal() or len(text) > 15:
        raise make_error(web.HTTPUnprocessableEntity, f"{name}: not a number")
    return int(text)
