"""A simulated Experience Portal on loopback that knows the truth, and the load on it.

The platform runs in real time in this process, so that it cannot fall behind: each look at it
advances it to the present first. Calls are short, so that a zone recovers, fills up and empties
within seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

from aiohttp import web

from admission.sim.experience_portal.config import PortalSettings
from admission.sim.experience_portal.contract import CURRENT_PATH
from admission.sim.experience_portal.endpoint import Endpoint
from admission.sim.experience_portal.faults import Fault, FaultKind
from admission.sim.experience_portal.live import RealTimePortal
from admission.sim.experience_portal.operations import Operations
from admission.sim.experience_portal.values import SystemSettings, build_even_zone
from admission.sim.faults import ActiveFaults
from admission.sim.serving import serve_app
from admission.sim.sessions import SessionLog
from admission.sim.values import CallEvent, CallTiming, Delay, Progress
from tests.support.load_dialer import Step

PORTS: Final = 12
FOREIGN_PORTS: Final = 3  # foreign calls hold them throughout
LAUNCH_MS, CLAIM_MS, LAG_MS = 500, 500, 100
FOR_EVER: Final = Delay(low_ms=10**9, high_ms=10**9)
TIMING: Final = CallTiming(
    prepare=Delay(low_ms=20, high_ms=200),
    answer_after=Delay(low_ms=50, high_ms=200),
    busy_after=Delay(low_ms=20, high_ms=100),
    talk=Delay(low_ms=100, high_ms=600),
    answered=0.8,
    ring_at_most_ms=500,
)
# The policy of its zone East.
ZONE: Final[dict[str, Any]] = {
    "source": "epm",
    "source_zone": "East",
    "channels": ["sip"],
    "launch_within_ms": LAUNCH_MS,
    "claim_within_ms": CLAIM_MS,
    "visibility_lag_ms": LAG_MS,
    "poll_interval_ms": 250,
    "max_age_ms": 2000,
    "answer_within_ms": 4000,
    "max_call_ms": 5000,
    "retention_ms": 5000,
    "campaigns": {"*": {}},
    "pools": {"trunk:a": {"limit": PORTS}},
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ServedPortal:
    """The platform: its endpoint, its faults, and its calls.

    Args:
        mpps: which share its ports evenly.
        seed: of its random numbers.
        system: another one, with a zone East; its foreign calls are its own.

    Attributes:
        live: the platform itself.
        handler: answers the requests instead of the endpoint, unless None.
        url: of the endpoint, once it is served.
    """

    def __init__(self, mpps: int, seed: int, system: SystemSettings | None = None) -> None:
        self._foreign_ports = 0 if system else FOREIGN_PORTS
        if system is None:
            zones = (build_even_zone("East", mpps=mpps, sip=PORTS // mpps),)
            system = SystemSettings(zones=zones, timing=TIMING, lag_ms=LAG_MS)
        settings = PortalSettings(system=system, current_auth="none")
        self.live = RealTimePortal(system, seed=seed, listener=self._receive)
        self.handler: Handler | None = None
        self.url = ""
        self._faults: ActiveFaults[Fault] = ActiveFaults(Random(seed))
        operations = Operations(settings, self.live, SessionLog())
        self._endpoint = Endpoint("axis2", settings, operations, self._faults)
        self._events: dict[str, asyncio.Queue[CallEvent]] = {}

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Serve the endpoint, with the time running and the foreign calls up."""
        app = web.Application()
        app.router.add_post(CURRENT_PATH, self._post)
        self.live.start()
        if self._foreign_ports:
            ports = self._foreign_ports
            self.live.act(lambda portal: portal.occupy("East", ports, hold=FOR_EVER))
        try:
            async with serve_app(app, host="127.0.0.1", port=0) as url:
                self.url = url + CURRENT_PATH
                yield
        finally:
            self.live.stop()

    @property
    def over_launches(self) -> int:
        """Granted calls that found no free port."""
        return self.live.act(lambda portal: portal.truth.over_launches)

    def set_fault(self, kind: FaultKind | None) -> None:
        """Misbehave from now on; None: behave again."""
        self._faults.replace([] if kind is None else [Fault(kind=kind)])

    async def launch(self, request: dict[str, Any], _answer: Any) -> AsyncIterator[Step]:
        """Launch a granted call at once. Returns its steps."""
        session = self.live.act(lambda portal: portal.launch("East", campaign=request["campaign"]))
        events = self._events[session] = asyncio.Queue()
        return self._follow(session, events)

    async def _follow(self, session: str, events: asyncio.Queue[CallEvent]) -> AsyncIterator[Step]:
        try:
            while True:
                event = await events.get()
                yield Step(event.step, event.outcome)
                if event.step is Progress.ENDED:
                    return
        finally:
            del self._events[session]

    def _receive(self, event: CallEvent) -> None:
        if event.session in self._events:
            self._events[event.session].put_nowait(event)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        if self.handler is not None:
            return await self.handler(request)
        return await self._endpoint.post(request)
