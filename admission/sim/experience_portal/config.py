"""Settings of the simulated Experience Portal's interfaces; undocumented details are settings."""

from dataclasses import dataclass, field
from typing import Final

from admission.sim.experience_portal.auth import AuthMode, DigestAlgorithm
from admission.sim.experience_portal.contract import Dialect
from admission.sim.experience_portal.soap import SoapVersion
from admission.sim.experience_portal.values import ForeignUse, SystemSettings, build_even_zone
from admission.sim.values import Delay

SOON: Final = Delay(low_ms=20, high_ms=100)
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnCodes:
    """The `returnCode` of each fault. Assumed: the platform's numbers are not public."""

    no_resource: int = 1
    not_connected: int = 2
    page_failed: int = 3
    unknown_zone: int = 4
    unknown_session: int = 5
    bad_request: int = 6
    shutting_down: int = 7


def build_two_zones() -> SystemSettings:
    """Build the default system: East and West, each with four MPPs and waves of inbound calls."""
    inbound = ForeignUse(rate_per_s=0.5, wave_period_ms=600_000, wave_depth=0.8)
    zones = (
        build_even_zone("East", mpps=4, sip=50, h323=10, foreign=(inbound,)),
        build_even_zone("West", mpps=4, sip=50, h323=10, foreign=(inbound,)),
    )
    return SystemSettings(zones=zones, default_zone="East")


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalSettings:
    """All settings of a simulated Experience Portal.

    Args:
        system: zones, ports and calls.
        seed: of all random numbers.
        user, password: of the only user with the Web Services role.
        legacy_auth, current_auth: authentication of each path. Digest was observed, Basic is
        documented. digest_algorithm: of Digest. wsdl_auth: whether `?wsdl` needs credentials too.
        Assumed: no. zone_field: name of the zone in QueryResources on the current path. Assumed:
        `zone`. lax: whether unknown and misplaced elements of a request are ignored; Axis answers
        them with a fault. legacy_action, current_action: the SOAPAction in the WSDL; the first was
        observed, the second is assumed. The legacy path refuses a request without a SOAPAction
        header, as Axis 1 does; it ignores the value.
        current_versions: SOAP versions of the current path; the legacy one speaks 1.1.
        suggest_sip_falls_back: whether a call with the hint takes H.323 when no SIP port is free.
            Assumed: no.
        ccxml_answers: time from a LaunchCCXML until its page reports its status. Assumed.
        hangup_event: the event on which the simulated CCXML page ends its call; it ignores others.
        codes: `returnCode` of the faults.
        version: the software version in GetStatus.
        report_timeout_s, report_hosts: of the pages' reports to `report_url`.
    """

    system: SystemSettings = field(default_factory=build_two_zones)
    seed: int = 0
    user: str = "dialer"
    password: str = "dialer"
    legacy_auth: AuthMode = "digest"
    current_auth: AuthMode = "basic"
    digest_algorithm: DigestAlgorithm = "MD5"
    wsdl_auth: bool = False
    zone_field: str = "zone"
    lax: bool = False
    legacy_action: str = " "
    current_action: str = ""
    current_versions: tuple[SoapVersion, ...] = ("1.1", "1.2")
    suggest_sip_falls_back: bool = False
    ccxml_answers: Delay = SOON
    hangup_event: str = "sim.hangup"
    codes: ReturnCodes = ReturnCodes()
    version: str = "8.1.0.0.0 (simulated)"
    report_timeout_s: float = 5.0
    report_hosts: frozenset[str] = LOOPBACK

    def auth(self, dialect: Dialect) -> AuthMode:
        """The authentication of a path."""
        return self.legacy_auth if dialect == "axis1" else self.current_auth

    def versions(self, dialect: Dialect) -> tuple[SoapVersion, ...]:
        """The SOAP versions of a path."""
        return ("1.1",) if dialect == "axis1" else self.current_versions

    def action(self, dialect: Dialect) -> str:
        """The SOAPAction in a path's WSDL."""
        return self.legacy_action if dialect == "axis1" else self.current_action

    def query_zone_field(self, dialect: Dialect) -> str:
        """The name of the zone's field in QueryResources; empty: the legacy path has none."""
        return "" if dialect == "axis1" else self.zone_field
