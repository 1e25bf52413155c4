"""Launches on Experience Portal what was granted, and reports what becomes known of it.

The platform's own words decide what is reported. A launch is sent once and never again: sent twice
it is two calls. Source: the platform page of Experience Portal; what it leaves open is an argument.
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
    launch_fields,
    timeout_s_of,
)
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.domain.outcomes import Outcome
from admission.errors import AdmissionError, SourceError
from admission.sources.experience_portal.soap import SoapFault, Value
from admission.sources.experience_portal.soap_client import SoapClient
from admission.sources.transport import RequestNotDelivered

LAUNCHES_MAX: Final = 500
# So much longer than the platform we wait for its answer: giving up leaves the outcome unknown.
MARGIN_S: Final = 10
_SESSION: Final = "sessionID_returned"


class LaunchFailed(AdmissionError):
    """There is no call, or nobody knows. The grant has been reported as ended already.

    Args:
        outcome: as it was reported.
        return_code: of the platform's fault; empty: there was none.
    """

    title = "Launch failed"

    def __init__(self, outcome: Outcome, detail: str, return_code: str = "") -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.return_code = return_code


class PortalLauncher:
    """Launches calls through the Application Interface web service.

    Use it as `async with PortalLauncher(url, username=..., password=...) as portal:`.

    Args:
        url: such as `https://epm.example.com/axis2/services/VPAppIntfService`.
        zones: our zone -> the platform's ZoneId. A zone that is not named is the platform's
            default one, whose applications are launched by their name alone.
        outcomes: returnCode of a fault -> what it means. The numbers are not public; a fault
            that is not named here is `failed`.
        sip_hint: where `suggest_sip=true` goes when a `tel:` call was granted a SIP port. That
            it exists is documented, where it stands is not: assumed to be a parameter.
        launches_max: at the same time; more wait for their turn, inside their time-out.
        settings: further ones of the `[sources.X]` table: username, password, flavor, ca_file ...

    Raises:
        ValueError, ConfigError: these settings cannot be used.
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
        """LaunchVXML: returns when the call is connected, so it blocks while it rings.

        Args:
            grant: what allows it.
            to: `tel:`, `sip:` or `sips:` URI; a SIP one needs a grant for the channel `sip`.
            application: its name, without the zone.

        Returns: the session id.

        Raises:
            LaunchFailed: reported already. After a time-out its outcome is `unknown`: the call may
                still come, and its port stays reserved until the platform's counts show the truth.
            ValueError: the grant does not allow this; it was given back.
        """
        session = await self._launch("LaunchVXML", grant, to, application, options)
        grant.launched(port_taken=True, session_id=session)
        return _handed_over(grant, session, options)

    async def launch_ccxml(
        self, grant: Grant, to: str, application: str, **options: Unpack[LaunchOptions]
    ) -> str:
        """LaunchCCXML: returns when its page says so, which may be before any port is taken.

        Args: as of `launch_vxml`; `to` is a hint for the page, and may be empty.

        Returns, raises: as `launch_vxml`.
        """
        session = await self._launch("LaunchCCXML", grant, to, application, options)
        grant.launched(session_id=session)
        return _handed_over(grant, session, options)

    async def _launch(
        self, operation: Operation, grant: Grant, to: str, application: str, options: LaunchOptions
    ) -> str:
        try:
            fields = launch_fields(operation, self._place(grant), to, application, options)
        except ValueError:
            grant.ended(Outcome.NOT_LAUNCHED)
            raise
        if grant.late:
            raise _failed(grant, Outcome.NOT_LAUNCHED, "it is too late to launch this grant")
        wait_s = timeout_s_of(operation, options) + MARGIN_S
        return await self._call(operation, grant, fields, wait_s)

    async def _call(
        self, operation: Operation, grant: Grant, fields: Mapping[str, Value], wait_s: int
    ) -> str:
        try:
            answer = await self._soap.call(operation, fields, timeout_ms=1000 * wait_s)
        except RequestNotDelivered as fault:
            raise _failed(grant, Outcome.NOT_LAUNCHED, fault.detail) from None
        except SoapFault as fault:
            outcome = self._outcomes.get(fault.return_code, Outcome.FAILED)
            raise _failed(grant, outcome, fault.detail, fault.return_code) from None
        except SourceError as fault:
            raise _failed(grant, Outcome.UNKNOWN, fault.detail) from None
        return answer.get(_SESSION, "")

    def _place(self, grant: Grant) -> Place:
        return Place(
            channel=grant.channel,
            zone_id=self._zones.get(grant.zone, ""),
            report_url=grant.report_url,
            sip_hint=self._sip_hint,
        )


def _failed(grant: Grant, outcome: Outcome, detail: str, code: str = "") -> LaunchFailed:
    # The code is not reported: the service would read it as a SIP status or a Huawei code.
    grant.ended(outcome)
    return LaunchFailed(outcome, detail, code)


def _handed_over(grant: Grant, session: str, options: LaunchOptions) -> str:
    if options.get("page_reports"):
        grant.handed_over()
    return session
