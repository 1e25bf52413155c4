"""The simulated CC-Gateway on the wire: agents sign in, are told new Guids, and are counted.

Errors come with status 200 and a `retcode`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from admission.sim.faults import ActiveFaults
from admission.sim.huawei.agent_sessions import (
    BAD_CREDENTIALS,
    GOOD,
    AgentSessions,
    Refusal,
    Session,
)
from admission.sim.huawei.call_center import CallCenter
from admission.sim.huawei.config import HuaweiSettings
from admission.sim.huawei.counters import AGENT
from admission.sim.huawei.faults import FaultInjector, HuaweiFault, corrupt_counts
from admission.sim.live import RealTimeDriver

ROOT: Final = "/agentgateway/resource"
COOKIE: Final = "route"


class GatewayEndpoint:
    """The handlers.

    Args:
        settings: how it answers.
        live: the call centre, which knows each agent's calls.
        agent_sessions: the agents' sessions.
        faults: what is switched on.
        stop: set when the simulator ends.

    Attributes:
        requests: operation -> how often it was asked for.
        most_at_once: the most requests that were under way at a time, without event polls.
        left_talking: agents who were signed out while they had a call.
    """

    def __init__(
        self,
        settings: HuaweiSettings,
        live: RealTimeDriver[CallCenter],
        agent_sessions: AgentSessions,
        faults: ActiveFaults[HuaweiFault],
        stop: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._live = live
        self._agent_sessions = agent_sessions
        self._floor = FaultInjector(faults, _refused, stop)
        self.requests: dict[str, int] = {}
        self.most_at_once = self._at_once = 0
        self.left_talking: list[int] = []

    def routes(self) -> list[web.RouteDef]:
        """The four interfaces; signing in comes in two."""
        agent = ROOT + "/onlineagent/{agent}"
        return [
            web.put(agent, self._sign_in),
            web.put(agent + "/forcelogin", self._force),
            web.delete(agent + "/logout", self._sign_out),
            web.get(ROOT + "/agentevent/{agent}", self._event),
            web.get(ROOT + "/calldata/{agent}/callnums", self._callnums),
        ]

    async def _sign_in(self, request: web.Request) -> web.Response:
        return await self._admit(request, force=False)

    async def _force(self, request: web.Request) -> web.Response:
        return await self._admit(request, force=True)

    async def _admit(self, request: web.Request, *, force: bool) -> web.Response:
        async def good() -> web.Response:
            said = await _json(request)
            password, phone = str(said.get("password", "")), said.get("phonenum")
            if not phone:
                raise Refusal(BAD_CREDENTIALS)
            session = self._agent_sessions.sign_in(_agent(request), password, force=force)
            return _signed_in(session)

        return await self._answer(request, "sign_in", good)

    async def _sign_out(self, request: web.Request) -> web.Response:
        async def good() -> web.Response:
            agent = _agent(request)
            self._session(request)
            if self._calls(agent):
                self.left_talking.append(agent)
            self._agent_sessions.forget(agent)
            return _good()

        return await self._answer(request, "sign_out", good)

    async def _event(self, request: web.Request) -> web.Response:
        async def good() -> web.Response:
            guid = await self._agent_sessions.event(_agent(request), self._session(request))
            answer = _good(event=None)
            if guid:
                answer.headers["Set-GUID"] = f"JSESSIONID={guid}"
            return answer

        return await self._answer(request, "event", good)

    async def _callnums(self, request: web.Request) -> web.Response:
        async def good() -> web.Response:
            self._session(request)
            calls = self._calls(_agent(request))
            return _good(result=str(calls) if self._settings.text_counts else calls)

        return await self._answer(request, "callnums", good)

    async def _answer(
        self, request: web.Request, operation: str, good: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        async def careful() -> web.Response:
            try:
                return await good()
            except Refusal as refusal:
                return _refused(refusal.retcode, "refused")

        def spoil(kind: str) -> web.Response:
            return _good(**corrupt_counts(kind, {"result": 0}, ("result",)))

        self.requests[operation] = self.requests.get(operation, 0) + 1
        counts = operation != "event"
        self._at_once += counts
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._floor.answer(request, operation, careful, spoil)
        finally:
            self._at_once -= counts

    def _session(self, request: web.Request) -> Session:
        guid = request.headers.get("Guid", "")
        return self._agent_sessions.check(_agent(request), guid, request.cookies.get(COOKIE, ""))

    def _calls(self, agent: int) -> int:
        unit = f"{AGENT}{agent}"

        def calls(center: CallCenter) -> int:
            return center.counters.capacity.get(unit, 0) - center.counters.free.get(unit, 0)

        return self._live.act(calls)


def _signed_in(session: Session) -> web.Response:
    answer = _good(result={})
    answer.headers["Set-GUID"] = f"JSESSIONID={session.guids[-1][0]}"
    answer.set_cookie(COOKIE, session.cookie)
    return answer


def _agent(request: web.Request) -> int:
    text = request.match_info["agent"]
    return int(text) if text.isdecimal() and len(text) <= 6 else 0


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        said = json.loads(await request.read())
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _good(**more: Any) -> web.Response:
    return web.json_response({"message": "", "retcode": GOOD, **more})


def _refused(retcode: str, message: str) -> web.Response:
    return web.json_response({"message": message, "retcode": retcode})
