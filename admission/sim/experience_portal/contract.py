"""The operations and fields of the Application Interface, for the WSDL and for the parser.

Source: docs/platforms/experience-portal.md; the names are from classes generated from a real WSDL.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

NAMESPACE: Final = "http://services.vp.avaya.com"
LEGACY_PATH: Final = "/axis/services/AppIntfWS"
CURRENT_PATH: Final = "/axis2/services/VPAppIntfService"
CONNECT_TIMEOUT_S: Final = 120  # the meaning of 0 and of an absent connectTimeoutSecs

XsdType: TypeAlias = Literal["int", "string", "dateTime"]
Fields: TypeAlias = Mapping[str, XsdType]
Dialect: TypeAlias = Literal["axis1", "axis2"]

COUNTS: Final[Fields] = {
    "totalRes_returned": "int",
    "unusedSIP_returned": "int",
    "unusedH323_returned": "int",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The fields of a request and of its response, in their order on the wire."""

    request: Fields
    response: Fields


OPERATIONS: Final[Mapping[str, Operation]] = {
    "QueryResources": Operation(
        request={"queryResourcesRequestUnused": "int"},
        response=COUNTS,
    ),
    "LaunchVXML": Operation(
        request={
            "toURI": "string",
            "fromURI": "string",
            "applicationName": "string",
            "applicationURL": "string",
            "parameters": "string",
            "uuiInfo": "string",
            "connectTimeoutSecs": "int",
        },
        response={"sessionID_returned": "string", **COUNTS},
    ),
    "LaunchCCXML": Operation(
        request={
            "toURI": "string",
            "applicationName": "string",
            "applicationURL": "string",
            "parameters": "string",
            "uuiInfo": "string",
            "launchTimeout": "int",
        },
        response={"sessionID_returned": "string", **COUNTS},
    ),
    "SendCCXMLEvent": Operation(
        request={"sessionID": "string", "eventName": "string", "parameters": "string"},
        response={"retCode": "int"},
    ),
    "GetStatus": Operation(
        request={"GetStatusRequestUnused": "int"},
        response={
            "iSIPRequestsProcessed_returned": "int",
            "iTELRequestsProcessed_returned": "int",
            "iVXMLRequestsProcessed_returned": "int",
            "iCCXMLRequestsProcessed_returned": "int",
            "iCCXMLEventsSent_returned": "int",
            "maxMPPHops_returned": "int",
            "minMPPHops_returned": "int",
            "avgMPPHops_returned": "int",
            "serviceStartedDateTime_returned": "dateTime",
            "lastRequestDateTime_returned": "dateTime",
            "vpmsSoftwareVersion_returned": "string",
        },
    ),
}


def operations(zone_field: str) -> Mapping[str, Operation]:
    """Return the operations of one path; `zone_field` names the zone in QueryResources, if any."""
    if not zone_field:
        return OPERATIONS
    query = OPERATIONS["QueryResources"]
    zoned = Operation(request={**query.request, zone_field: "string"}, response=query.response)
    return {**OPERATIONS, "QueryResources": zoned}


def parse_parameters(text: str) -> dict[str, list[str]]:
    r"""Parse `name=value;name=value,value`; a literal `;` is written `\\;`.

    Returns:
        Name -> values. A part without `=` is a name with one empty value.
    """
    found: dict[str, list[str]] = {}
    for part in _split(text):
        name, _, value = part.partition("=")
        if name.strip():
            found[name.strip()] = value.split(",")
    return found


def _split(text: str) -> list[str]:
    r"""Split at every `;` without a `\` before it, and remove those `\`."""
    parts = [""]
    for piece in text.split(";"):
        if parts[-1].endswith("\\"):
            parts[-1] = parts[-1][:-1] + ";" + piece
        else:
            parts.append(piece)
    return parts
