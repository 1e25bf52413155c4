"""Who tells a demo dialer whether it may launch: the controller, or its own look at the platform.

Both are asked in the same way by the same dialers; that is the whole difference between
`admission demo` and `admission demo --unguarded`.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import aiohttp

from admission.domain.outcomes import Outcome
from admission.errors import SourceError
from admission.sim.experience_portal.values import H323, SIP
from admission.sources.experience_portal.soap import Value, read_integer
from admission.sources.experience_portal.soap_client import SoapClient

log = logging.getLogger(__name__)

ASK_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
REPORT_TRIES: Final = 3
REPORT_PAUSE_S: Final = 0.2
RETRY_MS: Final = 500  # where nobody says when to ask again
LOOK_AGAIN_MS: Final = 250

Stopwatch: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """One call may be launched.

    Args:
        channel: the one it is for.
        asked_at: of the dialer's stopwatch, in seconds, when the request was sent.
        launch_within_ms: counted from then.
        id: of the reservation; empty where there is none.
        renew_within_ms: report by then; 0: no need to.
    """

    zone: str
    campaign: str
    channel: str
    asked_at: float
    launch_within_ms: int
    id: str = ""
    renew_within_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """It may not."""

    reason: str
    retry_after_ms: int


class LaunchPolicy(Protocol):
    """Asked before each launch, told what became of it."""

    async def ask(self, zone: str, campaign: str, owner: str) -> Permit | Denial:
        """May I launch?"""

    async def launched(self, permit: Permit, session: str, mpp: str | None) -> None:
        """It rings: its port is taken."""

    async def renew(self, permit: Permit) -> None:
        """It is still up."""

    async def end(self, permit: Permit, outcome: Outcome) -> None:
        """It is over, now."""


class DecisionCounts:
    """What the dialers were told: (zone, campaign) -> grants, and with the reason -> denies."""

    def __init__(self) -> None:
        self.grants: Counter[tuple[str, str]] = Counter()
        self.denies: Counter[tuple[str, str, str]] = Counter()

    def count(self, zone: str, campaign: str, told: Permit | Denial) -> Permit | Denial:
        """Count it and hand it on."""
        if isinstance(told, Permit):
            self.grants[zone, campaign] += 1
        else:
            self.denies[zone, campaign, told.reason] += 1
        return told


class ControllerLaunchPolicy:
    """Asks the service over HTTP.

    Args:
        http: to ask with.
        url: the base URL of the service.
        decisions: counts.
        stopwatch: seconds since whenever.
    """

    def __init__(
        self, http: aiohttp.ClientSession, url: str, decisions: DecisionCounts, stopwatch: Stopwatch
    ) -> None:
        self._http = http
        self._url = url
        self._decisions = decisions
        self._stopwatch = stopwatch
        # zone -> its time in ms in the newest answer, and when that arrived
        self._heard: dict[str, tuple[int, float]] = {}

    async def ask(self, zone: str, campaign: str, owner: str) -> Permit | Denial:
        """May I launch, on whatever channel?"""
        body = {"zone": zone, "campaign": campaign, "channel": "any", "owner": owner}
        asked_at = self._stopwatch()
        try:
            told = await self._post("/v1/admissions", zone, body)
        except (aiohttp.ClientError, TimeoutError):
            denial = Denial(reason="unreachable", retry_after_ms=RETRY_MS)
            return self._decisions.count(zone, campaign, denial)
        return self._decisions.count(zone, campaign, _verdict(zone, campaign, asked_at, told))

    async def launched(self, permit: Permit, session: str, mpp: str | None) -> None:
        """Report that it rings."""
        where = {} if mpp is None else {"mpp": mpp}
        body = {"port_taken": True, "session_id": session, **where}
        await self._report(permit, "launched", body)

    async def renew(self, permit: Permit) -> None:
        """Report that it is still up."""
        await self._report(permit, "renew", {})

    async def end(self, permit: Permit, outcome: Outcome) -> None:
        """Report that it is over now, whenever that report arrives."""
        now = self._now(permit.zone)
        when = {} if now is None else {"ended_at": now}
        await self._report(permit, "end", {"outcome": outcome.value, **when})

    def _now(self, zone: str) -> int | None:
        """The zone's time by our stopwatch: late by as long as its newest answer travelled."""
        if zone not in self._heard:
            return None
        now, heard_at = self._heard[zone]
        return now + int((self._stopwatch() - heard_at) * 1000)

    async def _report(self, permit: Permit, verb: str, body: dict[str, Any]) -> None:
        """Send it, a few times if it must be; after that the ledger has to heal by itself."""
        for _ in range(REPORT_TRIES):
            try:
                await self._post(f"/v1/reservations/{permit.id}/{verb}", permit.zone, body)
                return
            except aiohttp.ClientResponseError as error:
                if error.status < 500:
                    _complain(verb, error)
                    return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(REPORT_PAUSE_S)

    async def _post(self, path: str, zone: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._http.post(self._url + path, json=body, timeout=ASK_TIMEOUT) as answer:
            answer.raise_for_status()
            told: dict[str, Any] = await answer.json()
        self._heard[zone] = (told["now"], self._stopwatch())
        return told


def _complain(verb: str, error: aiohttp.ClientResponseError) -> None:
    if error.status != 404:  # a 404 means: done, forget it
        log.warning("a report (%s) was refused: %s", verb, error.status)


def _verdict(zone: str, campaign: str, asked_at: float, told: dict[str, Any]) -> Permit | Denial:
    if told["decision"] != "grant":
        retry_ms = told["retry_after_ms"]
        return Denial(
            reason=told["reason"], retry_after_ms=RETRY_MS if retry_ms is None else retry_ms
        )
    one = told["reservations"][0]
    return Permit(
        zone=zone,
        campaign=campaign,
        channel=one["channel"],
        asked_at=asked_at,
        launch_within_ms=told["launch_within_ms"],
        id=one["id"],
        renew_within_ms=one["renew_within_ms"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What QueryResources answered, and when, by the stopwatch."""

    unused: dict[str, int]
    at: float


class PollingLaunchPolicy:
    """No controller: look at QueryResources before each launch, and launch if a port is unused.

    Args:
        soap: to look with.
        launch_within_ms: as the policy of the other launch_policy.
        decisions: counts.
        stopwatch: seconds since whenever.

    Attributes:
        looks: zone -> the newest.
    """

    def __init__(
        self,
        soap: SoapClient,
        launch_within_ms: int,
        decisions: DecisionCounts,
        stopwatch: Stopwatch,
    ) -> None:
        self._soap = soap
        self._launch_within_ms = launch_within_ms
        self._decisions = decisions
        self._stopwatch = stopwatch
        self.looks: dict[str, Look] = {}

    async def ask(self, zone: str, campaign: str, owner: str) -> Permit | Denial:
        """Is a port unused? H.323 first, in the platform's own order."""
        asked_at = self._stopwatch()
        try:
            unused = await self._unused(zone)
        except SourceError:
            denial = Denial(reason="unreachable", retry_after_ms=RETRY_MS)
            return self._decisions.count(zone, campaign, denial)
        self.looks[zone] = Look(unused=unused, at=self._stopwatch())
        channel = next((one for one, ports in unused.items() if ports > 0), None)
        told: Permit | Denial = Denial(reason="none_unused", retry_after_ms=LOOK_AGAIN_MS)
        if channel is not None:
            told = Permit(
                zone=zone,
                campaign=campaign,
                channel=channel,
                asked_at=asked_at,
                launch_within_ms=self._launch_within_ms,
            )
        return self._decisions.count(zone, campaign, told)

    async def launched(self, permit: Permit, session: str, mpp: str | None) -> None:
        """Nobody wants to know."""

    async def renew(self, permit: Permit) -> None:
        """Nobody wants to know."""

    async def end(self, permit: Permit, outcome: Outcome) -> None:
        """Nobody wants to know."""

    async def _unused(self, zone: str) -> dict[str, int]:
        fields: dict[str, Value] = {"queryResourcesRequestUnused": 0, "zone": zone}
        answer = await self._soap.call("QueryResources", fields)
        return {
            H323: read_integer(answer, "unusedH323_returned"),
            SIP: read_integer(answer, "unusedSIP_returned"),
        }
