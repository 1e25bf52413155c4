"""The interface of the simulated CC-Gateway: sign-ins, event polls, counts of calls.

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
        settings: details of its answers.
        live: the call centre, with each agent's calls.
        agent_sessions: the agents' sessions.
        faults: the active faults.
        stop: set when the simulator ends.

    Attributes:
        requests: operation -> number of requests.
        most_at_once: the most requests under way at the same time, without event polls.
        left_talking: agents who were signed out during a call.
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
        self._injector = FaultInjector(faults, _refuse, stop)
        self.requests: dict[str, int] = {}
        self.most_at_once = self._at_once = 0
        self.left_talking: list[int] = []

    def routes(self) -> list[web.RouteDef]:
        """The routes of the four interfaces; the sign-in has two."""
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
        async def respond() -> web.Response:
            body = await _read_json(request)
            password, phone = str(body.get("password", "")), body.get("phonenum")
            if not phone:
                raise Refusal(BAD_CREDENTIALS)
            session = self._agent_sessions.sign_in(_agent(request), password, force=force)
            return _signed_in(session)

        return await self._answer(request, "sign_in", respond)

    async def _sign_out(self, request: web.Request) -> web.Response:
        async def respond() -> web.Response:
            agent = _agent(request)
            self._session(request)
            if self._count_calls(agent):
                self.left_talking.append(agent)
            self._agent_sessions.forget(agent)
            return _accept()

        return await self._answer(request, "sign_out", respond)

    async def _event(self, request: web.Request) -> web.Response:
        async def respond() -> web.Response:
            guid = await self._agent_sessions.event(_agent(request), self._session(request))
            answer = _accept(event=None)
            if guid:
                answer.headers["Set-GUID"] = f"JSESSIONID={guid}"
            return answer

        return await self._answer(request, "event", respond)

    async def _callnums(self, request: web.Request) -> web.Response:
        async def respond() -> web.Response:
            self._session(request)
            calls = self._count_calls(_agent(request))
            return _accept(result=str(calls) if self._settings.text_counts else calls)

        return await self._answer(request, "callnums", respond)

    async def _answer(
        self, request: web.Request, operation: str, respond: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        async def respond_or_refuse() -> web.Response:
            try:
                return await respond()
            except Refusal as refusal:
                return _refuse(refusal.retcode, "refused")

        def corrupt(kind: str) -> web.Response:
            return _accept(**corrupt_counts(kind, {"result": 0}, ("result",)))

        self.requests[operation] = self.requests.get(operation, 0) + 1
        counts = operation != "event"
        self._at_once += counts
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._injector.answer(request, operation, respond_or_refuse, corrupt)
        finally:
            self._at_once -= counts

    def _session(self, request: web.Request) -> Session:
        guid = request.headers.get("Guid", "")
        return self._agent_sessions.check(_agent(request), guid, request.cookies.get(COOKIE, ""))

    def _count_calls(self, agent: int) -> int:
        unit = f"{AGENT}{agent}"

        def calls(center: CallCenter) -> int:
            return center.counters.capacity.get(unit, 0) - center.counters.free.get(unit, 0)

        return self._live.act(calls)


def _signed_in(session: Session) -> web.Response:
    answer = _accept(result={})
    answer.headers["Set-GUID"] = f"JSESSIONID={session.guids[-1][0]}"
    answer.set_cookie(COOKIE, session.cookie)
    return answer


def _agent(request: web.Request) -> int:
    text = request.match_info["agent"]
    return int(text) if text.isdecimal() and len(text) <= 6 else 0


async def _read_json(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _accept(**more: Any) -> web.Response:
    return web.json_response({"message": "", "retcode": GOOD, **more})


def _refuse(retcode: str, message: str) -> web.Response:
    return web.json_response({"message": message, "retcode": retcode})
