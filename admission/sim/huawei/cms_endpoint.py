"""The interface of the simulated CC-CMS: licence usage, for correctly signed requests."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from admission.config.sources.huawei import LICENCE_PATH
from admission.sim.faults import UNSIGNED_WRAP, ActiveFaults
from admission.sim.huawei.agent_sessions import AgentSessions
from admission.sim.huawei.call_center import CallCenter
from admission.sim.huawei.config import HuaweiSettings
from admission.sim.huawei.faults import FaultInjector, HuaweiFault, corrupt_counts
from admission.sim.huawei.values import IVR, VOICE, WEB
from admission.sim.live import RealTimeDriver
from admission.sources.huawei.signature import VERSION, build_authorization, build_canonical_request

GOOD: Final = "0100000"
BAD_PARAMETER: Final = "0100002"
NAMES: Final = {VOICE: "Voice", IVR: "Ivr", WEB: "Web"}
CURRENT: Final = ("voiceCallNum", "ivrCallNum", "webCallNum")


class CmsEndpoint:
    """The handler.

    Args:
        settings: the system user and the call centre.
        live: the call centre.
        agent_sessions: it counts the agents who are signed in.
        faults: the active faults.
        stop: set when the simulator ends.
        now: returns the time, for signatures.
    """

    def __init__(
        self,
        settings: HuaweiSettings,
        live: RealTimeDriver[CallCenter],
        agent_sessions: AgentSessions,
        faults: ActiveFaults[HuaweiFault],
        stop: asyncio.Event,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._live = live
        self._agent_sessions = agent_sessions
        self._now = now
        self._injector = FaultInjector(faults, _build_refusal, stop)
        self.queries = 0

    def routes(self) -> list[web.RouteDef]:
        """The only route."""
        return [web.post(LICENCE_PATH, self._licence)]

    async def _licence(self, request: web.Request) -> web.Response:
        self.queries += 1
        body = await request.read()

        async def respond() -> web.Response:
            if not self._is_signed(request, body):
                return web.Response(status=401)
            if _cc_id(body) != self._settings.cc_id:
                return _build_refusal(BAD_PARAMETER, "The parameter ccId is invalid.")
            return _answer(self._counts())

        def corrupt(kind: str) -> web.Response:
            return _answer(corrupt_counts(kind, self._counts(), CURRENT))

        return await self._injector.answer(request, "licence", respond, corrupt)

    def _is_signed(self, request: web.Request, body: bytes) -> bool:
        parts = request.headers.get("Authorization", "").split("/")
        if len(parts) != 5 or parts[:2] != [VERSION, self._settings.access_key]:
            return False
        at, names = parts[2], tuple(parts[3].split(";"))
        headers = {name.lower(): value for name, value in request.headers.items()}
        if not self._is_timely(at) or any(name not in headers for name in names):
            return False
        canonical = build_canonical_request(
            request.method,
            request.raw_path.partition("?")[0],
            query=list(request.query.items()),
            headers=headers,
            signed=names,
            body=body,
        )
        secret = self._settings.secret_key
        expected = build_authorization(self._settings.access_key, secret, at, names, canonical)
        return expected == "/".join(parts)

    def _is_timely(self, at: str) -> bool:
        try:
            moment = datetime.fromisoformat(at)
            return abs((self._now() - moment).total_seconds()) <= self._settings.skew_s
        except (ValueError, TypeError):
            return False

    def _counts(self) -> dict[str, Any]:
        used = self._live.act(CallCenter.used)
        capacity = self._live.act(lambda center: center.counters.capacity)
        counts: dict[str, Any] = {
            "licenseMaxAgentNum": len(self._settings.center.agents),
            "licenseMaxVideoAgentNum": UNSIGNED_WRAP,
            "licenseMaxVdnNum": 10,
            "loginAgentNum": len(self._agent_sessions.signed_in()),
            "loginVideoAgentNum": UNSIGNED_WRAP,
            "vdnNum": 1,
            "licenseStartDate": 0,
            "licenseEndDate": self._settings.license_end,
        }
        for channel, name in NAMES.items():
            counts[f"licenseMax{name}CallNum"] = capacity.get(channel, UNSIGNED_WRAP)
            counts[f"{name.lower()}CallNum"] = used.get(channel, UNSIGNED_WRAP)
        for name in ("Agent", "VideoAgent", "IvrCall", "VoiceCall", "WebCall"):
            counts[f"historyMax{name}Num"] = UNSIGNED_WRAP
        return counts


def _cc_id(body: bytes) -> int | None:
    """The number of the call centre. `true` is none, though Python's True equals 1."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    cc_id = found.get("ccId") if isinstance(found, dict) else None
    return cc_id if type(cc_id) is int else None


def _answer(counts: dict[str, Any]) -> web.Response:
    both = {"resultDatas": counts, "resultDesc": counts}
    return web.json_response({"result": "0", "resultCode": GOOD, **both})


def _build_refusal(code: str, words: str) -> web.Response:
    """An error; its `resultDesc` is a string."""
    return web.json_response({"result": "-1", "resultCode": code, "resultDesc": words})
