"""Launches granted calls on Experience Portal, and reports their outcome.

The answers of the platform decide what is reported. A launch is never repeated: the platform would
place two calls. Source: the platform page of Experience Portal; undocumented facts are arguments.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self, Unpack

from admission.client.grant import Grant
from admission.client.portal.launch_fields import (
    LaunchOptions,
    Operation,
    Place,
    SipHint,
    choose_timeout_s,
    launch_fields,
)
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.domain import Outcome
from admission.errors import AdmissionError, SourceError
from admission.sources import RequestNotDelivered
from admission.sources.experience_portal import SoapClient, SoapFault, Value

LAUNCHES_MAX: Final = 500
# Beyond the time-out of the platform: after a time-out of this client the outcome is unknown.
MARGIN_S: Final = 10
_SESSION: Final = "sessionID_returned"


class LaunchFailed(AdmissionError):
    """The launch failed, or its outcome is unknown. The grant was reported as ended.

    Args:
        outcome: as reported.
        return_code: of the fault of the platform; empty: no fault.
    """

    title = "Launch failed"

    def __init__(self, outcome: Outcome, detail: str, return_code: str = "") -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.return_code = return_code


class PortalLauncher:
    """Launches calls through the Application Interface web service.

    Args:
        url: such as `https://epm.example.com/axis2/services/VPAppIntfService`.
        zones: zone -> ZoneId of the platform. Zones without an entry are the default zone of the
            platform, whose applications are launched by their name alone.
        outcomes: returnCode of a fault -> outcome. The codes are not public. A fault without an
            entry may come after the call was placed, so it is `unknown`: the port stays reserved
            until the counts of the platform show it free.
        sip_hint: the field that carries `suggest_sip=true` for a `tel:` call on a SIP port. The
            hint is documented, its place is not: a parameter is assumed.
        launches_max: concurrent launches; further ones wait, within their time-out.
        settings: of the `[sources.X]` table: username, password, flavor, ca_file ...

    Raises:
        ValueError, ConfigError: the settings are invalid.

    Example:
        ```python
        async with PortalLauncher(url, username="dialer", password=secret) as portal:
            await portal.launch_vxml(grant, "tel:+15550100", "collections-ivr")
        ```
    """

    def __init__(
        self,
        url: str,
        *,
        zones: Mapping[str, str] | None = None,
        outcomes: Mapping[str, Outcome] | None = None,
        sip_hint: SipHint = "parameters",
        launches_max: int = LAUNCHES_MAX,
        **settings: Any,
    ) -> None:
        if not settings.get("username"):
            settings.setdefault("auth", "none")
        portal = ExperiencePortalSettings(url=url, **settings)
        self._soap = SoapClient(portal, connections_max=launches_max)
        self._zones = dict(zones or {})
        self._outcomes = dict(outcomes or {})
        self._sip_hint = sip_hint

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._soap.close()

    async def launch_vxml(
        self, grant: Grant, to: str, application: str, **options: Unpack[LaunchOptions]
    ) -> str:
        """Launch by LaunchVXML, which answers when the call is connected.

        Args:
            grant: of the launch.
            to: `tel:`, `sip:` or `sips:` URI; a SIP URI needs a grant for the channel `sip`.
            application: the name without the zone.

        Returns: the session id.

        Raises:
            LaunchFailed: the grant was reported as ended, after a time-out with `unknown`: the call
                may still be connected, and its port stays reserved until the counts of the platform
                show it free.
            ValueError: the grant does not allow this launch; it was given back.
        """
        session = await self._launch("LaunchVXML", grant, to, application, options)
        grant.launched(port_taken=True, session_id=session)
        return _hand_over(grant, session, options)

    async def launch_ccxml(
        self, grant: Grant, to: str, application: str, **options: Unpack[LaunchOptions]
    ) -> str:
        """Launch by LaunchCCXML, which answers when the page does, perhaps before a port is taken.

        Args: as of `launch_vxml`; `to` is passed to the page, and may be empty.

        Returns, raises: as `launch_vxml`.
        """
        session = await self._launch("LaunchCCXML", grant, to, application, options)
        grant.launched(session_id=session)
        return _hand_over(grant, session, options)

    async def _launch(
        self, operation: Operation, grant: Grant, to: str, application: str, options: LaunchOptions
    ) -> str:
        try:
            fields = launch_fields(operation, self._place(grant), to, application, options)
        except ValueError:
            grant.ended(Outcome.NOT_LAUNCHED)
            raise
        if grant.late:
            raise _end_failed(grant, Outcome.NOT_LAUNCHED, "it is too late to launch this grant")
        wait_s = choose_timeout_s(operation, options) + MARGIN_S
        return await self._call(operation, grant, fields, wait_s)

    async def _call(
        self, operation: Operation, grant: Grant, fields: Mapping[str, Value], wait_s: int
    ) -> str:
        try:
            answer = await self._soap.call(operation, fields, timeout_ms=1000 * wait_s)
        except RequestNotDelivered as fault:
            raise _end_failed(grant, Outcome.NOT_LAUNCHED, fault.detail) from None
        except SoapFault as fault:
            outcome = self._outcomes.get(fault.return_code, Outcome.UNKNOWN)
            raise _end_failed(grant, outcome, fault.detail, fault.return_code) from None
        except SourceError as fault:
            raise _end_failed(grant, Outcome.UNKNOWN, fault.detail) from None
        return answer.get(_SESSION, "")

    def _place(self, grant: Grant) -> Place:
        return Place(
            channel=grant.channel,
            zone_id=self._zones.get(grant.zone, ""),
            report_url=grant.report_url,
            sip_hint=self._sip_hint,
        )


def _end_failed(grant: Grant, outcome: Outcome, detail: str, code: str = "") -> LaunchFailed:
    # The code is not reported: the service would take it for a SIP status or a Huawei code.
    grant.ended(outcome)
    return LaunchFailed(outcome, detail, code)


def _hand_over(grant: Grant, session: str, options: LaunchOptions) -> str:
    if options.get("page_reports"):
        grant.handed_over()
    return session
