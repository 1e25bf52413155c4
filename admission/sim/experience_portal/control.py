"""The simulator's own JSON interface: true state, faults, other calls, and sessions.

    GET  /sim/truth                               true state, without lag and faults
    GET, PUT, DELETE /sim/faults                  injected faults: `Faults`
    GET  /sim/zones                               use of ports, by MPP
    PUT  /sim/zones/{zone}/foreign/{name}         another rate, e.g. inbound: `StreamChange`
    POST /sim/zones/{zone}/wave                   foreign calls, all at once: `Wave`
    PUT  /sim/zones/{zone}/mpps/{mpp}             fail or restore it: `MppChange`
    /sim/sessions, /sim/events                    see sim/control.py

It requires no credentials.
"""

from dataclasses import replace
from typing import Annotated

from aiohttp import web
from pydantic import Field

from admission.domain import StrictModel
from admission.domain.types import Milliseconds
from admission.sim.control import SessionControl, read_body, run_or_refuse
from admission.sim.experience_portal.faults import Fault, Faults
from admission.sim.experience_portal.live import RealTimePortal
from admission.sim.faults import ActiveFaults
from admission.sim.sessions import SessionLog
from admission.sim.values import Delay


class StreamChange(StrictModel):
    """New parameters of a stream of foreign calls; absent ones keep their values."""

    rate_per_s: Annotated[float, Field(ge=0, le=1000, strict=False)] | None = None
    hold_ms_mean: Annotated[int, Field(ge=1, le=3_600_000)] | None = None
    wave_period_ms: Milliseconds | None = None
    wave_depth: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None


class Wave(StrictModel):
    """Foreign calls that begin at once, and their duration."""

    calls: Annotated[int, Field(ge=1, le=10_000)]
    hold_ms: Annotated[int, Field(ge=1, le=3_600_000)]


class MppChange(StrictModel):
    """False: the MPP fails with its calls. True: it is restored."""

    running: bool


class PortalControl:
    """The handlers.

    Args:
        live, log, faults: the state that they show and change.
    """

    def __init__(self, live: RealTimePortal, log: SessionLog, faults: ActiveFaults[Fault]) -> None:
        self._live = live
        self._sessions = SessionControl(log, self._hang_up)
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """The routes at the top of this file."""
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
            *self._sessions.routes(),
        ]

    async def _truth(self, _request: web.Request) -> web.Response:
        return web.json_response(self._live.act(lambda portal: portal.truth_json()))

    async def _zones(self, _request: web.Request) -> web.Response:
        return web.json_response(self._live.act(lambda portal: portal.truth_json()["zones"]))

    async def _show_faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"faults": self._faults.list_active()})

    async def _set_faults(self, request: web.Request) -> web.Response:
        self._faults.replace((await read_body(request, Faults)).faults)
        return await self._show_faults(request)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._faults.replace([])
        return await self._show_faults(request)

    async def _set_foreign(self, request: web.Request) -> web.Response:
        change = (await read_body(request, StreamChange)).model_dump(exclude_none=True)
        zone, name = request.match_info["zone"], request.match_info["name"]
        if mean_ms := change.pop("hold_ms_mean", None):
            change["hold"] = Delay(low_ms=0, high_ms=10 * mean_ms, mean_ms=mean_ms)
        use = run_or_refuse(lambda: self._live.act(lambda portal: portal.foreign(zone, name)))
        run_or_refuse(lambda: self._live.act(lambda p: p.set_foreign(zone, replace(use, **change))))
        return web.json_response({"zone": zone, "name": name})

    async def _wave(self, request: web.Request) -> web.Response:
        wave, zone = await read_body(request, Wave), request.match_info["zone"]
        hold = Delay(low_ms=wave.hold_ms, high_ms=wave.hold_ms)
        taken = run_or_refuse(
            lambda: self._live.act(lambda p: p.occupy(zone, wave.calls, hold=hold))
        )
        return web.json_response({"zone": zone, "ports_taken": taken})

    async def _set_mpp(self, request: web.Request) -> web.Response:
        running = (await read_body(request, MppChange)).running
        zone, mpp = request.match_info["zone"], request.match_info["mpp"]
        if running:
            run_or_refuse(lambda: self._live.act(lambda portal: portal.restore_mpp(zone, mpp)))
            return web.json_response({"zone": zone, "mpp": mpp, "running": True})
        ended = run_or_refuse(lambda: self._live.act(lambda portal: portal.fail_mpp(zone, mpp)))
        return web.json_response({"zone": zone, "mpp": mpp, "running": False, "calls_died": ended})

    def _hang_up(self, session: str) -> bool:
        return self._live.act(lambda portal: portal.hang_up(session))
