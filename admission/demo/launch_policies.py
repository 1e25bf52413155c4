"""The launch policies of demo dialers: ask the controller, or poll the platform.

The same dialers use both in the same way. The launch policy is the only difference between
`admission demo` and `admission demo --unguarded`.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import aiohttp

from admission.domain import Outcome
from admission.errors import SourceError
from admission.sim.experience_portal.values import H323, SIP
from admission.sources.experience_portal import SoapClient, Value, read_integer

log = logging.getLogger(__name__)

ASK_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
REPORT_TRIES: Final = 3
REPORT_PAUSE_S: Final = 0.2
RETRY_MS: Final = 500  # if the answer does not say when to ask again
POLL_AGAIN_MS: Final = 250

Stopwatch: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Permission to launch one call.

    Args:
        channel: on which to launch.
        asked_at: when the request was sent, in seconds of the dialer's stopwatch.
        launch_within_ms: counted from `asked_at`.
        id: of the reservation; empty without a controller.
        renew_within_ms: time until the reservation expires without a report; 0: it does not.

    Example:
        `Permit(zone="East", campaign="sales", channel="sip", asked_at=1.0, launch_within_ms=300)`
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
    """Refusal of a launch.

    Args:
        reason: of the controller, or of the poll.
        retry_after_ms: when to ask again.

    Example:
        `Denial(reason="no_capacity", retry_after_ms=250)`
    """

    reason: str
    retry_after_ms: int


class LaunchPolicy(Protocol):
    """Decides before each launch, and receives the reports of the call."""

    async def ask(self, zone: str, campaign: str, owner: str) -> Permit | Denial:
        """Ask for permission to launch."""

    async def launched(self, permit: Permit, session: str, mpp: str | None) -> None:
        """Report that the call rings, so its port is taken."""

    async def renew(self, permit: Permit) -> None:
        """Report that the call is still up."""

    async def end(self, permit: Permit, outcome: Outcome) -> None:
        """Report that the call has ended now."""


class DecisionCounts:
    """Counts of the answers that the dialers received.

    Attributes:
        grants: (zone, campaign) -> count.
        denies: (zone, campaign, reason) -> count.

    Example:
        `DecisionCounts().count("East", "sales", permit)`
    """

    def __init__(self) -> None:
        self.grants: Counter[tuple[str, str]] = Counter()
        self.denies: Counter[tuple[str, str, str]] = Counter()

    def count(self, zone: str, campaign: str, decision: Permit | Denial) -> Permit | Denial:
        """Count a decision, and return it."""
        if isinstance(decision, Permit):
            self.grants[zone, campaign] += 1
        else:
            self.denies[zone, campaign, decision.reason] += 1
        return decision


class ControllerLaunchPolicy:
    """Asks the service over HTTP.

    Args:
        http: session for all requests.
        url: base URL of the service.
        decisions: receives every decision.
        stopwatch: monotonic seconds.

    Example:
        `await ControllerLaunchPolicy(http, url, counts, time.monotonic).ask("East", "sales", "d1")`
    """

    def __init__(
        self, http: aiohttp.ClientSession, url: str, decisions: DecisionCounts, stopwatch: Stopwatch
    ) -> None:
        self._http = http
        self._url = url
        self._decisions = decisions
        self._stopwatch = stopwatch
        # zone -> the zone time in ms of the newest answer, and when the answer arrived
        self._zone_times: dict[str, tuple[int, float]] = {}

    async def ask(self, zone: str, campaign: str, owner: str) -> Permit | Denial:
        """Ask for a launch on any channel."""
        body = {"zone": zone, "campaign": campaign, "channel": "any", "owner": owner}
        asked_at = self._stopwatch()
        try:
            answer = await self._post("/v1/admissions", zone, body)
        except (aiohttp.ClientError, TimeoutError):
            denial = Denial(reason="unreachable", retry_after_ms=RETRY_MS)
            return self._decisions.count(zone, campaign, denial)
        return self._decisions.count(zone, campaign, _parse(zone, campaign, asked_at, answer))

    async def launched(self, permit: Permit, session: str, mpp: str | None) -> None:
        """Report that the port of the call is taken."""
        where = {} if mpp is None else {"mpp": mpp}
        body = {"port_taken": True, "session_id": session, **where}
        await self._report(permit, "launched", body)

    async def renew(self, permit: Permit) -> None:
        """Report that the call is up."""
        await self._report(permit, "renew", {})

    async def end(self, permit: Permit, outcome: Outcome) -> None:
        """Report that the call has ended now, however late the report arrives."""
        now = self._now(permit.zone)
        when = {} if now is None else {"ended_at": now}
        await self._report(permit, "end", {"outcome": outcome.value, **when})

    def _now(self, zone: str) -> int | None:
        """Return the zone time: late by the network delay of the newest answer."""
        if zone not in self._zone_times:
            return None
        now, arrived_at = self._zone_times[zone]
        return now + int((self._stopwatch() - arrived_at) * 1000)

    async def _report(self, permit: Permit, verb: str, body: dict[str, Any]) -> None:
        """Send a report, in a few attempts; after that the ledger expires the reservation."""
        for _ in range(REPORT_TRIES):
            try:
                await self._post(f"/v1/reservations/{permit.id}/{verb}", permit.zone, body)
                return
            except aiohttp.ClientResponseError as error:
                if error.status < 500:
                    _log_refusal(verb, error)
                    return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(REPORT_PAUSE_S)

    async def _post(self, path: str, zone: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._http.post(self._url + path, json=body, timeout=ASK_TIMEOUT) as answer:
            answer.raise_for_status()
            parsed: dict[str, Any] = await answer.json()
        self._zone_times[zone] = (parsed["now"], self._stopwatch())
        return parsed


def _log_refusal(verb: str, error: aiohttp.ClientResponseError) -> None:
    if error.status != 404:  # the service does not know the reservation any more: nothing to do
        log.warning("a report (%s) was refused: %s", verb, error.status)


def _parse(zone: str, campaign: str, asked_at: float, body: dict[str, Any]) -> Permit | Denial:
    if body["decision"] != "grant":
        retry_ms = body["retry_after_ms"]
        return Denial(
            reason=body["reason"], retry_after_ms=RETRY_MS if retry_ms is None else retry_ms
        )
    one = body["reservations"][0]
    return Permit(
        zone=zone,
        campaign=campaign,
        channel=one["channel"],
        asked_at=asked_at,
        launch_within_ms=body["launch_within_ms"],
        id=one["id"],
        renew_within_ms=one["renew_within_ms"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedPorts:
    """An answer of QueryResources.

    Args:
        unused: channel -> unused ports.
        at: of the stopwatch, in seconds.

    Example:
        `UnusedPorts(unused={"sip": 9}, at=1.0)`
    """

    unused: dict[str, int]
    at: float


class PollingLaunchPolicy:
    """Polls QueryResources before each launch, and permits it if a port is unused.

    Args:
        soap: client of the platform.
        launch_within_ms: as in the policy of the controller.
        decisions: receives every decision.
        stopwatch: monotonic seconds.

    Attributes:
        counts: zone -> the newest answer.

    Example:
        `await PollingLaunchPolicy(soap, 300, counts, time.monotonic).ask("East", "sales", "d1")`
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
        self.counts: dict[str, UnusedPorts] = {}

    async def ask(self, zone: str, campaign: str, owner: str) -> Permit | Denial:
        """Permit a launch on an unused port: H.323 first, as the platform itself prefers."""
        asked_at = self._stopwatch()
        try:
            unused = await self._query_unused(zone)
        except SourceError:
            denial = Denial(reason="unreachable", retry_after_ms=RETRY_MS)
            return self._decisions.count(zone, campaign, denial)
        self.counts[zone] = UnusedPorts(unused=unused, at=self._stopwatch())
        channel = next((one for one, ports in unused.items() if ports > 0), None)
        decision: Permit | Denial = Denial(reason="none_unused", retry_after_ms=POLL_AGAIN_MS)
        if channel is not None:
            decision = Permit(
                zone=zone,
                campaign=campaign,
                channel=channel,
                asked_at=asked_at,
                launch_within_ms=self._launch_within_ms,
            )
        return self._decisions.count(zone, campaign, decision)

    async def launched(self, permit: Permit, session: str, mpp: str | None) -> None:
        """Ignore the report."""

    async def renew(self, permit: Permit) -> None:
        """Ignore the report."""

    async def end(self, permit: Permit, outcome: Outcome) -> None:
        """Ignore the report."""

    async def _query_unused(self, zone: str) -> dict[str, int]:
        fields: dict[str, Value] = {"queryResourcesRequestUnused": 0, "zone": zone}
        answer = await self._soap.call("QueryResources", fields)
        return {
            H323: read_integer(answer, "unusedH323_returned"),
            SIP: read_integer(answer, "unusedSIP_returned"),
        }
