"""The connection of demo dialers to the platform: launches over SOAP, and a feed of call events."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from admission.domain import Outcome
from admission.errors import SourceError
from admission.sim.experience_portal.config import ReturnCodes
from admission.sim.experience_portal.values import SIP
from admission.sim.values import Progress
from admission.sources.experience_portal import SoapClient, SoapFault, Value

CONNECT_TIMEOUT_S: Final = 30
# LaunchVXML answers when the call is connected: the request takes longer than it rings.
LAUNCH_TIMEOUT_MS: Final = 1000 * CONNECT_TIMEOUT_S + 5_000
FEED_WAIT_MS: Final = 10_000
FEED_TIMEOUT: Final = aiohttp.ClientTimeout(total=FEED_WAIT_MS / 1000 + 5)
FEED_PAUSE_S: Final = 0.2  # after a failed request
# Sessions that no dialer follows: those that still ring inside a LaunchVXML, and those whose dialer
# crashed, which no dialer will ever follow.
UNCLAIMED_MAX: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStep:
    """One step of a call.

    Args:
        progress: of the call.
        outcome: of an ended call.
        mpp: of its port; None: it has no port.

    Example:
        `CallStep(progress=Progress.ENDED, outcome=Outcome.BUSY, mpp=None)`
    """

    progress: Progress
    outcome: Outcome | None
    mpp: str | None


class LaunchFailed(Exception):
    """There is no session. `outcome`: the reason, as far as the dialer knows it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.value)
        self.outcome = outcome


def name_application(zone: str) -> str:
    """Return the application of all demo calls of a zone: the simulator counts by application."""
    return f"outcall-{zone}"


class Launcher:
    """Launches through the Application Interface.

    Args:
        soap: client with a connection for each concurrent launch.
        codes: fault codes of the platform.

    Example:
        `await Launcher(soap, codes).vxml(zone="East", campaign="sales", channel="sip", number="1")`
    """

    def __init__(self, soap: SoapClient, codes: ReturnCodes) -> None:
        self._soap = soap
        self._outcomes = {
            str(codes.no_resource): Outcome.NO_RESOURCE,
            str(codes.not_connected): Outcome.NO_ANSWER,
            str(codes.page_failed): Outcome.FAILED,
        }

    async def vxml(self, *, zone: str, campaign: str, channel: str, number: str) -> str:
        """Launch, and return the session when the call is connected. Raises LaunchFailed."""
        more = {"connectTimeoutSecs": CONNECT_TIMEOUT_S}
        return await self._launch("LaunchVXML", zone, campaign, channel, number, more)

    async def ccxml(self, *, zone: str, campaign: str, channel: str, number: str) -> str:
        """Launch a page that answers before the call has a port. Otherwise as `vxml`."""
        more = {"launchTimeout": CONNECT_TIMEOUT_S}
        return await self._launch("LaunchCCXML", zone, campaign, channel, number, more)

    async def _launch(
        self,
        operation: str,
        zone: str,
        campaign: str,
        channel: str,
        number: str,
        more: Mapping[str, Value],
    ) -> str:
        # Without the hint the call takes an H.323 port first, perhaps the one of another grant.
        hint = ";suggest_sip=true" if channel == SIP else ""
        fields: dict[str, Value] = {
            "toURI": f"tel:{number}",
            "applicationName": f"{zone}:{name_application(zone)}",
            "parameters": f"campaign={campaign}{hint}",
            **more,
        }
        try:
            answer = await self._soap.call(operation, fields, timeout_ms=LAUNCH_TIMEOUT_MS)
        except SoapFault as fault:
            outcome = self._outcomes.get(fault.return_code, Outcome.FAILED)
            raise LaunchFailed(outcome) from None
        except SourceError:
            raise LaunchFailed(Outcome.UNKNOWN) from None
        return answer["sessionID_returned"]


class CallFeed:
    """Reads the events of the platform once for all dialers, and distributes them by session.

    Args:
        http: session for all requests.
        url: base URL of the simulated platform.

    Example:
        `with feed.follow(session) as steps: step = await steps.get()`
    """

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url + "/sim/events"
        self._since = 0
        self._followed: dict[str, asyncio.Queue[CallStep]] = {}
        self._unclaimed: OrderedDict[str, list[CallStep]] = OrderedDict()

    async def read(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self._read_page()
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(FEED_PAUSE_S)

    @contextmanager
    def follow(self, session: str) -> Iterator[asyncio.Queue[CallStep]]:
        """Return a queue of all steps of a session, also of those before this call."""
        steps: asyncio.Queue[CallStep] = asyncio.Queue()  # bounded: a call has three steps
        for one in self._unclaimed.pop(session, ()):
            steps.put_nowait(one)
        self._followed[session] = steps
        try:
            yield steps
        finally:
            del self._followed[session]

    async def _read_page(self) -> None:
        wanted = {"since": self._since, "wait_ms": FEED_WAIT_MS}
        async with self._http.get(self._url, params=wanted, timeout=FEED_TIMEOUT) as answer:
            answer.raise_for_status()
            page = await answer.json()
        self._since = page["since"]
        for event in page["events"]:
            self._distribute(event["session"], _read_step(event))

    def _distribute(self, session: str, step: CallStep) -> None:
        if session in self._followed:
            self._followed[session].put_nowait(step)
            return
        self._unclaimed.setdefault(session, []).append(step)
        if len(self._unclaimed) > UNCLAIMED_MAX:
            self._unclaimed.popitem(last=False)


def _read_step(event: dict[str, Any]) -> CallStep:
    outcome = event["outcome"]
    return CallStep(
        progress=Progress(event["state"]),
        outcome=None if outcome is None else Outcome(outcome),
        mpp=event["mpp"],
    )
