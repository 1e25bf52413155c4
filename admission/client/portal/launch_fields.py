"""The fields of a launch request to Experience Portal, from a grant and options. Pure.

Source: the platform page of Experience Portal.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypedDict

from admission.client.portal.parameters import Parameters, write_parameters
from admission.sources.experience_portal import Value

Operation: TypeAlias = Literal["LaunchVXML", "LaunchCCXML"]
SipHint: TypeAlias = Literal["parameters", "to_uri", "none"]

# Defaults of the platform for an absent or zero connectTimeoutSecs and launchTimeout.
CONNECT_TIMEOUT_S: Final = 120
PAGE_TIMEOUT_S: Final = 30
_SIP_URIS: Final = ("sip:", "sips:")
_HINT: Final = "suggest_sip"


class LaunchOptions(TypedDict, total=False):
    """The optional fields of a launch.

    Args:
        parameters: of the application: name -> value, or values.
        from_uri: LaunchVXML only: the caller.
        application_url, uui: passed to the platform unchanged.
        timeout_s: LaunchVXML: longest ringing time (120); LaunchCCXML: longest time until the page
            reports its status (30).
        page_reports: the page receives `report_url` as a parameter and reports the progress of the
            call there. After the launch the grant is handed over to the page.

    Example:
        `options: LaunchOptions = {"parameters": {"contact": "17"}, "timeout_s": 45}`
    """

    parameters: Parameters
    from_uri: str
    application_url: str
    uui: str
    timeout_s: int
    page_reports: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to launch.

    Args:
        channel: of the grant.
        zone_id: the ZoneId of the platform; empty: the default zone.
        report_url: for the page; None: the service gave none.
        sip_hint: the field that carries `suggest_sip=true`.

    Example:
        `Place(channel="sip", zone_id="East", report_url=None, sip_hint="parameters")`
    """

    channel: str
    zone_id: str
    report_url: str | None
    sip_hint: SipHint


def choose_timeout_s(operation: Operation, options: LaunchOptions) -> int:
    """Return the time-out of the launch on the platform, in seconds."""
    default = CONNECT_TIMEOUT_S if operation == "LaunchVXML" else PAGE_TIMEOUT_S
    return options.get("timeout_s") or default


def launch_fields(
    operation: Operation, place: Place, to: str, application: str, options: LaunchOptions
) -> dict[str, Value]:
    """Return the fields of the request, in the order of the WSDL.

    Args:
        to: `tel:`, `sip:` or `sips:` URI; LaunchCCXML also accepts an empty one.
        application: the name without the zone.

    Raises:
        ValueError: the grant does not allow this launch, or a parameter cannot be written.
    """
    _check_address(operation, place.channel, to)
    is_vxml = operation == "LaunchVXML"
    hinted = place.channel == "sip" and not to.startswith(_SIP_URIS)
    name = f"{place.zone_id}:{application}" if place.zone_id else application
    fields: dict[str, Value] = {"toURI": _add_hint(to, hinted and place.sip_hint == "to_uri")}
    fields |= {"fromURI": options.get("from_uri", "")} if is_vxml else {}
    fields |= {
        "applicationName": name,
        "applicationURL": options.get("application_url", ""),
        "parameters": _write_parameters(place, options, hinted and place.sip_hint == "parameters"),
        "uuiInfo": options.get("uui", ""),
    }
    timeout = "connectTimeoutSecs" if is_vxml else "launchTimeout"
    return fields | {timeout: choose_timeout_s(operation, options)}


def _check_address(operation: Operation, channel: str, to: str) -> None:
    """Refuse an address on another channel than granted: the call would take a port of others."""
    if not to and operation == "LaunchVXML":
        raise ValueError("LaunchVXML needs an address to call")
    if to and not to.startswith(("tel:", *_SIP_URIS)):
        raise ValueError(f"{to}: an address starts with tel:, sip: or sips:")
    if channel != "sip" and to.startswith(_SIP_URIS):
        raise ValueError(f"{to} takes a SIP port, but the grant is for {channel}")


def _add_hint(to: str, hinted: bool) -> str:
    if not hinted or not to:
        return to
    return f"{to}{'&' if '?' in to else '?'}{_HINT}=true"


def _write_parameters(place: Place, options: LaunchOptions, hinted: bool) -> str:
    parameters = dict(options.get("parameters") or {})
    if hinted:
        parameters[_HINT] = "true"
    if options.get("page_reports"):
        if place.report_url is None:
            raise ValueError("the service gave no report_url for the page to report to")
        parameters["report_url"] = place.report_url
    return write_parameters(parameters)
