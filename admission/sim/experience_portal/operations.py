"""The SOAP operations of the simulated platform: effect and answer."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from admission.domain import Outcome
from admission.sim.experience_portal.config import PortalSettings
from admission.sim.experience_portal.contract import CONNECT_TIMEOUT_S, parse_parameters
from admission.sim.experience_portal.live import RealTimePortal
from admission.sim.experience_portal.soap import SoapFault, SoapRequest, Values
from admission.sim.experience_portal.values import CHANNELS, H323, SIP
from admission.sim.sessions import SessionLog, TooManyWaiters
from admission.sim.values import CallEvent

NAME_MAX: Final = 128
TEXT_MAX: Final = 1000
# A system has at most 10,000 ports (Avaya's documentation); as many calls may be launching.
LIVE_CALLS_MAX: Final = 20_000


class Operations:
    """The five operations.

    Args:
        settings: of the simulator.
        live: the platform.
        log: of its sessions.
    """

    def __init__(self, settings: PortalSettings, live: RealTimePortal, log: SessionLog) -> None:
        self._settings = settings
        self._live = live
        self._log = log
        self._random = Random(f"{settings.seed} operations")
        self._counts: Counter[str] = Counter()
        self._started_at = self._last_at = datetime.now(UTC)
        self._closing = asyncio.Event()
        self._handlers: Mapping[str, Callable[[SoapRequest], Awaitable[Values]]] = {
            "QueryResources": self._query_resources,
            "LaunchVXML": self._launch_vxml,
            "LaunchCCXML": self._launch_ccxml,
            "SendCCXMLEvent": self._send_ccxml_event,
            "GetStatus": self._get_status,
        }

    async def run(self, request: SoapRequest) -> Values:
        """Perform the operation of a request.

        Raises:
            SoapFault: the operation failed.
        """
        try:
            return await self._handlers[request.operation](request)
        finally:
            self._last_at = datetime.now(UTC)

    def close(self) -> None:
        """End all pauses."""
        self._closing.set()

    async def pause(self, delay_ms: int) -> None:
        """Wait `delay_ms`, or until the simulator closes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_ms / 1000):
                await self._closing.wait()

    async def _query_resources(self, request: SoapRequest) -> Values:
        return self._resources(request, request.text(self._settings.zone_field))

    async def _launch_vxml(self, request: SoapRequest) -> Values:
        session, zone = self._launch(request, request.number("connectTimeoutSecs"))
        try:
            state = await self._log.wait_until_decided(session)
        except TooManyWaiters as error:
            code = self._settings.codes.shutting_down
            raise _make_fault(request, code, "too many launches wait for an answer") from error
        self._raise_unless_connected(request, state)
        return {"sessionID_returned": session, **self._resources(request, zone)}

    async def _launch_ccxml(self, request: SoapRequest) -> Values:
        """Answer when the page reports its status, possibly before any call: success implies
        little.

        The page decides how long the call rings; launchTimeout applies to the page's answer only.
        """
        session, zone = self._launch(request, CONNECT_TIMEOUT_S)
        await self.pause(self._settings.ccxml_answers.draw(self._random))
        return {"sessionID_returned": session, **self._resources(request, zone)}

    async def _send_ccxml_event(self, request: SoapRequest) -> Values:
        session, name = request.text("sessionID"), request.text("eventName")
        state = self._log.state(session)
        if state is None or state["outcome"]:
            raise _make_fault(request, self._settings.codes.unknown_session, "no such session")
        self._counts["events"] += 1
        if name == self._settings.hangup_event:
            self._live.act(lambda portal: portal.hang_up(session))
        return {"retCode": 0}

    async def _get_status(self, request: SoapRequest) -> Values:
        calls, tried, most, fewest = self._live.act(lambda portal: portal.hops)
        return {
            "iSIPRequestsProcessed_returned": self._counts["sip"],
            "iTELRequestsProcessed_returned": self._counts["tel"],
            "iVXMLRequestsProcessed_returned": self._counts["LaunchVXML"],
            "iCCXMLRequestsProcessed_returned": self._counts["LaunchCCXML"],
            "iCCXMLEventsSent_returned": self._counts["events"],
            "maxMPPHops_returned": most,
            "minMPPHops_returned": fewest,
            "avgMPPHops_returned": round(tried / max(1, calls)),
            "serviceStartedDateTime_returned": _format_datetime(self._started_at),
            "lastRequestDateTime_returned": _format_datetime(self._last_at),
            "vpmsSoftwareVersion_returned": self._settings.version,
        }

    def _resources(self, request: SoapRequest, zone: str) -> Values:
        try:
            counts = self._live.act(lambda portal: portal.query(zone))
        except KeyError as error:
            raise _make_fault(request, self._settings.codes.unknown_zone, "no such zone") from error
        return {
            "totalRes_returned": counts.total,
            "unusedSIP_returned": counts.unused_sip,
            "unusedH323_returned": counts.unused_h323,
        }

    def _launch(self, request: SoapRequest, timeout_s: int) -> tuple[str, str]:
        """Start the call. Returns its session and its zone."""
        if self._live.act(lambda portal: portal.live_calls) >= LIVE_CALLS_MAX:
            raise _make_fault(request, self._settings.codes.no_resource, "too many calls")
        zone, application = self._read_application(request)
        uri, parameters = request.text("toURI"), parse_parameters(request.text("parameters"))
        campaign = _first_value(parameters, "campaign")[:NAME_MAX]
        session = self._live.act(
            lambda portal: portal.launch(
                zone,
                campaign=campaign,
                application=application,
                channels=self._choose_channels(
                    request, uri, _first_value(parameters, "suggest_sip")
                ),
                connect_timeout_ms=1000 * (timeout_s if timeout_s > 0 else CONNECT_TIMEOUT_S),
            )
        )
        facts = {
            "to_uri": uri[:NAME_MAX],
            "report_url": _first_value(parameters, "report_url")[:TEXT_MAX],
        }
        self._log.record_launch(
            session, {**facts, "application": application, "campaign": campaign}
        )
        self._counts[request.operation] += 1
        self._counts["sip" if uri.startswith(("sip:", "sips:")) else "tel"] += 1
        return session, zone

    def _read_application(self, request: SoapRequest) -> tuple[str, str]:
        """`ZoneId:applicationName`, or the name alone in the default zone. Checks both."""
        before, colon, after = request.text("applicationName").partition(":")
        zone, name = (before, after) if colon else ("", before)
        if not name or len(name) > NAME_MAX:
            raise _make_fault(request, self._settings.codes.bad_request, "no applicationName")
        self._resources(request, zone)
        return zone, name

    def _choose_channels(self, request: SoapRequest, uri: str, suggest_sip: str) -> tuple[str, ...]:
        """H.323 first, then SIP; with the hint `suggest_sip` or a SIP address: SIP."""
        if uri.startswith(("sip:", "sips:")):
            return (SIP,)
        if uri and not uri.startswith("tel:"):
            raise _make_fault(
                request, self._settings.codes.bad_request, "toURI is no tel:, sip: or sips:"
            )
        if not uri and request.operation == "LaunchVXML":
            raise _make_fault(request, self._settings.codes.bad_request, "no toURI")
        if suggest_sip.lower() != "true" and "suggest_sip=true" not in uri:
            return CHANNELS
        return (SIP, H323) if self._settings.suggest_sip_falls_back else (SIP,)

    def _raise_unless_connected(self, request: SoapRequest, state: dict[str, Any] | None) -> None:
        codes = self._settings.codes
        if state is None:
            raise _make_fault(request, codes.shutting_down, "the service is shutting down")
        if state["outcome"] is None or state["outcome"] is Outcome.COMPLETED:
            return
        code = {
            Outcome.NO_RESOURCE: codes.no_resource,
            Outcome.FAILED: codes.page_failed,
        }.get(state["outcome"], codes.not_connected)
        raise _make_fault(request, code, f"the call was not connected: {state['outcome'].value}")


def find_report_url(log: SessionLog, event: CallEvent) -> str:
    """Return the address to which the session's page reports, empty without one."""
    state = log.state(event.session)
    return str(state.get("report_url", "")) if state else ""


def _first_value(parameters: dict[str, list[str]], name: str) -> str:
    return parameters.get(name, [""])[0].strip()


def _make_fault(request: SoapRequest, code: int, description: str) -> SoapFault:
    return SoapFault(description, operation=request.operation, return_code=code)


def _format_datetime(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
