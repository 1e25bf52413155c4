"""The simulator's own JSON interface: true state, faults, calls, licences and agents' sessions.

    GET  /sim/truth                        true state, and the number of requests
    GET, PUT, DELETE /sim/faults           injected faults: `HuaweiFaults`
    POST /sim/calls                        launch a call: `Launch` -> its session
    PUT  /sim/others/{name}                a stream of foreign calls: `OthersChange`
    POST /sim/occupy                       foreign calls, all at once: `Wave`
    PUT  /sim/licences/{channel}           the licence allows another number: `LicenceChange`
    POST /sim/agents/{agent}/rotate        its Guid changes now
    POST /sim/agents/{agent}/retire        only its newest Guid is valid
    POST /sim/agents/{agent}/expire        none of its Guids is valid any more
    POST /sim/agents/{agent}/sign-out      it is signed out
    POST /sim/switch-over                  another gateway issues the next Guids
    /sim/sessions, /sim/events             see sim/control.py

Huawei's two documents do not define how a dialer launches; here it posts a call. The interface
requires no credentials.
"""

from collections.abc import Callable
from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from admission.domain import Name, StrictModel
from admission.sim.control import SessionControl, make_error, read_body, run_or_refuse
from admission.sim.faults import ActiveFaults
from admission.sim.huawei.agent_sessions import AgentSessions
from admission.sim.huawei.call_center import CallCenter
from admission.sim.huawei.faults import HuaweiFault, HuaweiFaults
from admission.sim.huawei.values import VOICE, ForeignStream
from admission.sim.live import RealTimeDriver
from admission.sim.sessions import SessionLog
from admission.sim.values import Delay

AGENT_ID_MAX: Final = 999_999


class Launch(StrictModel):
    """An outbound call; `agent`: to whom it is bound."""

    channel: Name = VOICE
    agent: Annotated[int, Field(ge=0, le=AGENT_ID_MAX)] | None = None
    campaign: Name = "none"


class OthersChange(StrictModel):
    """New parameters of a stream of foreign calls."""

    rate_per_s: Annotated[float, Field(ge=0, le=1000, strict=False)]
    hold_ms_mean: Annotated[int, Field(ge=1, le=3_600_000)] = 60_000
    channel: Name = VOICE
    agents: bool = False


class Wave(StrictModel):
    """Foreign calls that begin at once, and their duration; `agent`: bound to that agent."""

    calls: Annotated[int, Field(ge=1, le=10_000)]
    hold_ms: Annotated[int, Field(ge=1, le=3_600_000)]
    channel: Name = VOICE
    agent: Annotated[int, Field(ge=0, le=AGENT_ID_MAX)] | None = None


class LicenceChange(StrictModel):
    """The number of calls that the licence allows."""

    calls: Annotated[int, Field(ge=0, le=1_000_000)]


class HuaweiControl:
    """The handlers.

    Args:
        live, agent_sessions, log, faults: the state that they show and change.
        request_counts: returns the number of requests, for the truth.
    """

    def __init__(
        self,
        live: RealTimeDriver[CallCenter],
        agent_sessions: AgentSessions,
        log: SessionLog,
        faults: ActiveFaults[HuaweiFault],
        request_counts: Callable[[], dict[str, object]],
    ) -> None:
        self._live = live
        self._agent_sessions = agent_sessions
        self._log = log
        self._faults = faults
        self._request_counts = request_counts
        self._sessions = SessionControl(log, self._hang_up)

    def routes(self) -> list[web.RouteDef]:
        """The routes at the top of this file."""
        return [
            web.get("/sim/truth", self._truth),
            web.get("/sim/faults", self._show_faults),
            web.put("/sim/faults", self._set_faults),
            web.delete("/sim/faults", self._clear_faults),
            web.post("/sim/calls", self._launch),
            web.put("/sim/others/{name}", self._set_others),
            web.post("/sim/occupy", self._occupy),
            web.put("/sim/licences/{channel}", self._set_licence),
            web.post("/sim/agents/{agent}/{action}", self._agent),
            web.post("/sim/switch-over", self._switch_over),
            *self._sessions.routes(),
        ]

    async def _truth(self, _request: web.Request) -> web.Response:
        truth = self._live.act(CallCenter.truth)
        signed_in = {
            "signed_in": self._agent_sessions.signed_in(),
            "sign_ins": self._agent_sessions.sign_ins,
        }
        return web.json_response(truth | signed_in | self._request_counts())

    async def _show_faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"faults": self._faults.list_active()})

    async def _set_faults(self, request: web.Request) -> web.Response:
        self._faults.replace((await read_body(request, HuaweiFaults)).faults)
        return await self._show_faults(request)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._faults.replace([])
        return await self._show_faults(request)

    async def _launch(self, request: web.Request) -> web.Response:
        body = await read_body(request, Launch)

        def launch(center: CallCenter) -> str:
            session = center.launch(body.channel, agent=body.agent, campaign=body.campaign)
            self._log.record_launch(session, body.model_dump())
            return session

        return web.json_response({"session": run_or_refuse(lambda: self._live.act(launch))})

    async def _set_others(self, request: web.Request) -> web.Response:
        change, name = await read_body(request, OthersChange), request.match_info["name"][:64]
        mean_ms = change.hold_ms_mean
        others = ForeignStream(
            name=name,
            rate_per_s=change.rate_per_s,
            hold=Delay(low_ms=0, high_ms=10 * mean_ms, mean_ms=mean_ms),
            channel=change.channel,
            agents=change.agents,
        )
        run_or_refuse(lambda: self._live.act(lambda center: center.others.set(others)))
        return web.json_response({"name": name})

    async def _occupy(self, request: web.Request) -> web.Response:
        wave = await read_body(request, Wave)

        def occupy(center: CallCenter) -> int:
            units = center.settings.units(wave.channel, wave.agent)
            return sum(center.others.occupy(units, wave.hold_ms) for _ in range(wave.calls))

        return web.json_response({"taken": run_or_refuse(lambda: self._live.act(occupy))})

    async def _set_licence(self, request: web.Request) -> web.Response:
        calls, channel = (
            (await read_body(request, LicenceChange)).calls,
            request.match_info["channel"],
        )
        run_or_refuse(lambda: self._live.act(lambda center: center.set_licences(channel, calls)))
        return web.json_response({"channel": channel, "calls": calls})

    async def _agent(self, request: web.Request) -> web.Response:
        actions = {
            "rotate": self._agent_sessions.rotate,
            "retire": self._agent_sessions.retire,
            "expire": self._agent_sessions.expire,
            "sign-out": self._agent_sessions.forget,
        }
        agent, action = request.match_info["agent"], request.match_info["action"]
        if action not in actions or not agent.isdecimal() or len(agent) > 6:
            raise make_error(web.HTTPNotFound, "no such action")
        run_or_refuse(lambda: actions[action](int(agent)))
        return web.json_response({"agent": int(agent), "done": action})

    async def _switch_over(self, _request: web.Request) -> web.Response:
        self._agent_sessions.switch_over()
        return web.json_response({"gateway": self._agent_sessions.gateway})

    def _hang_up(self, session: str) -> bool:
        return self._live.act(lambda center: center.hang_up(session))
