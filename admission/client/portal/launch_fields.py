"""What a launch says to Experience Portal: pure, from a grant and options to the request's fields.

Source: the platform page of Experience Portal.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypedDict

from admission.client.portal.parameters import Parameters, write_parameters
from admission.sources.experience_portal.soap import Value

Operation: TypeAlias = Literal["LaunchVXML", "LaunchCCXML"]
SipHint: TypeAlias = Literal["parameters", "to_uri", "none"]

CONNECT_TIMEOUT_S: Final = 120  # what 0 or an absent connectTimeoutSecs means to the platform
PAGE_TIMEOUT_S: Final = 30
_SIP_URIS: Final = ("sip:", "sips:")
_HINT: Final = "suggest_sip"


class LaunchOptions(TypedDict, total=False):
    """What may be said of a launch beside its address and application.

    Args:
        parameters: for the application: name -> a value, or several.
        from_uri: LaunchVXML only: who calls.
        application_url, uui: as the platform takes them.
        timeout_s: LaunchVXML: how long it may ring (120); LaunchCCXML: how long its page may take
            to report its status (30).
        page_reports: the page is given `report_url` as a parameter, and reports from there how the
            call goes and ends; once it is launched, the grant is handed over to it.
    """

    parameters: Parameters
    from_uri: str
    application_url: str
    uui: str
    timeout_s: int
    page_reports: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a grant says about where to launch.

    Args:
        channel: the one that was granted.
        zone_id: the platform's id of the zone; empty: its default zone.
        report_url: for the page; None: there is none.
        sip_hint: where `suggest_sip=true` goes.
    """

    channel: str
    zone_id: str
    report_url: str | None
    sip_hint: SipHint


def timeout_s_of(operation: Operation, options: LaunchOptions) -> int:
    """How long the platform may take, in seconds."""
    usual = CONNECT_TIMEOUT_S if operation == "LaunchVXML" else PAGE_TIMEOUT_S
    return options.get("timeout_s") or usual


def launch_fields(
    operation: Operation, place: Place, to: str, application: str, options: LaunchOptions
) -> dict[str, Value]:
    """The fields of the request, in the order of the WSDL.

    Args:
        to: `tel:`, `sip:` or `sips:` URI; LaunchCCXML takes none (empty) too.
        application: its name, without the zone.

    Raises:
        ValueError: the grant does not allow it, or a parameter cannot be written.
    """
    _fits(operation, place.channel, to)
    is_vxml = operation == "LaunchVXML"
    hinted = place.channel == "sip" and not to.startswith(_SIP_URIS)
    name = f"{place.zone_id}:{application}" if place.zone_id else application
    fields: dict[str, Value] = {"toURI": _address(to, hinted and place.sip_hint == "to_uri")}
    fields |= {"fromURI": options.get("from_uri", "")} if is_vxml else {}
    fields |= {
        "applicationName": name,
        "applicationURL": options.get("application_url", ""),
        "parameters": _parameters(place, options, hinted and place.sip_hint == "parameters"),
        "uuiInfo": options.get("uui", ""),
    }
    timeout = "connectTimeoutSecs" if is_vxml else "launchTimeout"
    return fields | {timeout: timeout_s_of(operation, options)}


def _fits(operation: Operation, channel: str, to: str) -> None:
    """A call on another channel than granted takes a port that somebody else was granted."""
    if not to and operation == "LaunchVXML":
        raise ValueError("LaunchVXML needs an address to call")
    if to and not to.startswith(("tel:", *_SIP_URIS)):
        raise ValueError(f"{to}: an address starts with tel:, sip: or sips:")
    if channel != "sip" and to.startswith(_SIP_URIS):
        raise ValueError(f"{to} takes a SIP port, but the grant is for {channel}")


def _address(to: str, hinted: bool) -> str:
    if not hinted or not to:
        return to
    return f"{to}{'&' if '?' in to else '?'}{_HINT}=true"


def _parameters(place: Place, options: LaunchOptions, hinted: bool) -> str:
    said = dict(options.get("parameters") or {})
    if hinted:
        said[_HINT] = "true"
    if options.get("page_reports"):
        if place.report_url is None:
            raise ValueError("the service gave no report_url for the page to report to")
        said["report_url"] = place.report_url
    return write_parameters(said)
