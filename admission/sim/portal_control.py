"""The simulator's own JSON interface: the truth, the weather, and what became of sessions.

    GET  /sim/truth                               what really happened, no lag, no lies
    GET, PUT, DELETE /sim/faults                  misbehaviour: `Faults`
    GET  /sim/zones                               who uses what now, by MPP
    PUT  /sim/zones/{zone}/foreign/{name}         another rate, e.g. inbound: `StreamChange`
    POST /sim/zones/{zone}/wave                   calls of others, all at once: `Wave`
    PUT  /sim/zones/{zone}/mpps/{mpp}             lose it or bring it back: `MppChange`
    GET, DELETE /sim/sessions/{session}           its state; hang up. GET: `?since=&wait_ms=`
    GET  /sim/events                              the feed: `?since=&wait_ms=&limit=`

It asks for no credentials: whoever can reach the simulator may play with it.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Final, TypeVar

from aiohttp import web
from pydantic import Field, ValidationError

from admission.model import Milliseconds, Strict
from admission.sim.portal_faults import FaultBox, Faults
from admission.sim.portal_live import LivePortal
from admission.sim.portal_sessions import FEED, Crowded, SessionLog
from admission.sim.portal_values import Delay

WAIT_MS_MAX: Final = 30_000
EVENTS_PAGE_MAX: Final = 1_000
Body = TypeVar("Body", bound=Strict)


class StreamChange(Strict):
    """Other people's calls from now on; what is absent stays as it is."""

    rate_per_s: Annotated[float, Field(ge=0, le=1000, strict=False)] | None = None
    hold_ms_mean: Annotated[int, Field(ge=1, le=3_600_000)] | None = None
    wave_period_ms: Milliseconds | None = None
    wave_depth: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None


class Wave(Strict):
    """So many calls of others at once, each for so long."""

    calls: Annotated[int, Field(ge=1, le=10_000)]
    hold_ms: Annotated[int, Field(ge=1, le=3_600_000)]


class MppChange(Strict):
    """False: the MPP is lost, its calls die. True: it is back."""

    running: bool


class Control:
    """The handlers. Args: live, log, faults: what they show and change."""

    def __init__(self, live: LivePortal, log: SessionLog, faults: FaultBox) -> None:
        self._live = live
        self._log = log
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """The routes of the table above."""
        zone = "/sim/zones/{zone}"
        return [
            web.get("/sim/truth", self._truth),
            web.get("/sim/faults", self._show_faults),
            web.put("/sim/faults", self._set_faults),
            web.delete("/sim/faults", self._clear_faults),
            web.get("/sim/zones", self._zones),
            web.put(zone + "/foreign/{name}", self._set_foreign),
            web.post(zone + "/wave", self._wave),
            web.put(zone + "/mpps/{mpp}", self._set_mpp),
            web.get("/sim/sessions/{session}", self._session),
            web.delete("/sim/sessions/{session}", self._hang_up),
            web.get("/sim/events", self._events),
        ]

    async def _truth(self, _request: web.Request) -> web.Response:
        return web.json_response(self._live.act(lambda portal: portal.truth_json()))

    async def _zones(self, _request: web.Request) -> web.Response:
        return web.json_response(self._live.act(lambda portal: portal.truth_json()["zones"]))

    async def _show_faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"faults": self._faults.told()})

    async def _set_faults(self, request: web.Request) -> web.Response:
        self._faults.replace(await _read(request, Faults))
        return await self._show_faults(request)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._faults.replace(Faults(faults=[]))
        return await self._show_faults(request)

    async def _set_foreign(self, request: web.Request) -> web.Response:
        change = (await _read(request, StreamChange)).model_dump(exclude_none=True)
        zone, name = request.match_info["zone"], request.match_info["name"]
        if mean_ms := change.pop("hold_ms_mean", None):
            change["hold"] = Delay(low_ms=0, high_ms=10 * mean_ms, mean_ms=mean_ms)
        use = _found(lambda: self._live.act(lambda portal: portal.foreign(zone, name)))
        _found(lambda: self._live.act(lambda p: p.set_foreign(zone, replace(use, **change))))
        return web.json_response({"zone": zone, "name": name})

    async def _wave(self, request: web.Request) -> web.Response:
        wave, zone = await _read(request, Wave), request.match_info["zone"]
        hold = Delay(low_ms=wave.hold_ms, high_ms=wave.hold_ms)
        taken = _found(lambda: self._live.act(lambda p: p.occupy(zone, wave.calls, hold=hold)))
        return web.json_response({"zone": zone, "ports_taken": taken})

    async def _set_mpp(self, request: web.Request) -> web.Response:
        running = (await _read(request, MppChange)).running
        zone, mpp = request.match_info["zone"], request.match_info["mpp"]
        if running:
            _found(lambda: self._live.act(lambda portal: portal.return_mpp(zone, mpp)))
            return web.json_response({"zone": zone, "mpp": mpp, "running": True})
        died = _found(lambda: self._live.act(lambda portal: portal.lose_mpp(zone, mpp)))
        return web.json_response({"zone": zone, "mpp": mpp, "running": False, "calls_died": died})

    async def _session(self, request: web.Request) -> web.Response:
        session, since = request.match_info["session"], _number(request, "since", -1)
        state = self._log.state(session)
        if state is not None and state["seq"] <= since:
            await self._wait(request, session)
            state = self._log.state(session)
        if state is None:
            raise _problem(web.HTTPNotFound, "no such session")
        return web.json_response(state)

    async def _hang_up(self, request: web.Request) -> web.Response:
        session = request.match_info["session"]
        done = self._live.act(lambda portal: portal.hang_up(session))
        return web.json_response({"session": session, "hung_up": done})

    async def _events(self, request: web.Request) -> web.Response:
        since = _number(request, "since", 0)
        limit = min(_number(request, "limit", EVENTS_PAGE_MAX), EVENTS_PAGE_MAX)
        if not self._log.since(since, 1):
            await self._wait(request, FEED)
        events = self._log.since(since, limit)
        next_since = events[-1]["seq"] if events else since
        return web.json_response({"events": events, "since": next_since})

    async def _wait(self, request: web.Request, key: str) -> None:
        wait_ms = min(_number(request, "wait_ms", 0), WAIT_MS_MAX)
        if wait_ms > 0:
            try:
                await self._log.wait(key, wait_ms / 1000)
            except Crowded as error:
                raise _problem(web.HTTPServiceUnavailable, "too many wait") from error


def _problem(kind: type[web.HTTPError], what: str) -> web.HTTPError:
    return kind(text=json.dumps({"error": what}), content_type="application/json")


async def _read(request: web.Request, body: type[Body]) -> Body:
    try:
        return body.model_validate_json(await request.read())
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise _problem(web.HTTPUnprocessableEntity, what) from error


def _found(deed: Callable[[], Any]) -> Any:
    try:
        return deed()
    except KeyError as error:
        raise _problem(web.HTTPNotFound, f"unknown: {error.args[0]}") from error
    except ValueError as error:
        raise _problem(web.HTTPUnprocessableEntity, str(error)) from error


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.removeprefix("-").isdecimal() or len(text) > 15:
        raise _problem(web.HTTPUnprocessableEntity, f"{name}: not a number")
    return int(text)
