"""A demo dialer's way to the platform: launches over SOAP, and one feed of what became of them."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from admission.domain.outcomes import Outcome
from admission.errors import SourceError
from admission.sim.experience_portal.config import ReturnCodes
from admission.sim.experience_portal.values import SIP
from admission.sim.values import Progress
from admission.sources.experience_portal.soap import SoapFault, Value
from admission.sources.experience_portal.soap_client import SoapClient

CONNECT_TIMEOUT_S: Final = 30
# A LaunchVXML blocks while it rings: longer than that, and shorter than for ever.
LAUNCH_TIMEOUT_MS: Final = 1000 * CONNECT_TIMEOUT_S + 5_000
FEED_WAIT_MS: Final = 10_000
FEED_TIMEOUT: Final = aiohttp.ClientTimeout(total=FEED_WAIT_MS / 1000 + 5)
FEED_PAUSE_S: Final = 0.2  # before asking again a feed that failed
# Sessions whose news nobody has asked for yet: those that still ring inside a LaunchVXML, and those
# whose dialer crashed, which nobody will ever ask for.
UNCLAIMED_MAX: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNews:
    """One step of a call. `outcome`: of an ended one; `mpp`: where its port is, if it has one."""

    step: Progress
    outcome: Outcome | None
    mpp: str | None


class LaunchFailed(Exception):
    """There is no session; `outcome` is what the dialer knows about why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.value)
        self.outcome = outcome


def application_of(zone: str) -> str:
    """The application that all demo calls of a zone run, so that the truth can be told by zone."""
    return f"outcall-{zone}"


class Launcher:
    """Launches through the Application Interface.

    Args:
        soap: with a connection for each call that may be in progress at once.
        codes: the fault numbers of the platform.
    """

    def __init__(self, soap: SoapClient, codes: ReturnCodes) -> None:
        self._soap = soap
        self._outcomes = {
            str(codes.no_resource): Outcome.NO_RESOURCE,
            str(codes.not_connected): Outcome.NO_ANSWER,
            str(codes.page_failed): Outcome.FAILED,
        }

    async def vxml(self, *, zone: str, campaign: str, channel: str, number: str) -> str:
        """Launch and wait until it is connected. Returns: the session. Errors: LaunchFailed."""
        more = {"connectTimeoutSecs": CONNECT_TIMEOUT_S}
        return await self._launch("LaunchVXML", zone, campaign, channel, number, more)

    async def ccxml(self, *, zone: str, campaign: str, channel: str, number: str) -> str:
        """Launch a page that answers before it has a port. Otherwise as `vxml`."""
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
        # Without the hint a call takes an H.323 port first: it might be another dialer's.
        hint = ";suggest_sip=true" if channel == SIP else ""
        fields: dict[str, Value] = {
            "toURI": f"tel:{number}",
            "applicationName": f"{zone}:{application_of(zone)}",
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
    """Reads the platform's events once for everybody and deals them out by session.

    Args:
        http: to read with.
        url: the base URL of the simulated platform.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url + "/sim/events"
        self._since = 0
        self._followed: dict[str, asyncio.Queue[CallNews]] = {}
        self._unclaimed: OrderedDict[str, list[CallNews]] = OrderedDict()

    async def read(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self._read_page()
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(FEED_PAUSE_S)

    @contextmanager
    def follow(self, session: str) -> Iterator[asyncio.Queue[CallNews]]:
        """All news of a session, those from before this call too."""
        news: asyncio.Queue[CallNews] = asyncio.Queue()  # a call has three steps
        for one in self._unclaimed.pop(session, ()):
            news.put_nowait(one)
        self._followed[session] = news
        try:
            yield news
        finally:
            del self._followed[session]

    async def _read_page(self) -> None:
        wanted = {"since": self._since, "wait_ms": FEED_WAIT_MS}
        async with self._http.get(self._url, params=wanted, timeout=FEED_TIMEOUT) as answer:
            answer.raise_for_status()
            page = await answer.json()
        self._since = page["since"]
        for event in page["events"]:
            self._deal(event["session"], _news(event))

    def _deal(self, session: str, news: CallNews) -> None:
        if session in self._followed:
            self._followed[session].put_nowait(news)
            return
        self._unclaimed.setdefault(session, []).append(news)
        if len(self._unclaimed) > UNCLAIMED_MAX:
            self._unclaimed.popitem(last=False)


def _news(event: dict[str, Any]) -> CallNews:
    said = event["outcome"]
    return CallNews(
        step=Progress(event["state"]),
        outcome=None if said is None else Outcome(said),
        mpp=event["mpp"],
    )
