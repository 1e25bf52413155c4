"""SOAP 1.1 and 1.2 envelopes of the simulated platform."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from xml.sax.saxutils import escape

# defusedxml ships no types.
from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import ParseError, fromstring  # type: ignore[import-untyped]

from admission.sim.experience_portal.contract import NAMESPACE, Fields, Operation

SoapVersion: TypeAlias = Literal["1.1", "1.2"]
Values: TypeAlias = dict[str, str | int]

ENVELOPES: Final[Mapping[SoapVersion, str]] = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}
CONTENT_TYPES: Final[Mapping[SoapVersion, str]] = {
    "1.1": "text/xml",
    "1.2": "application/soap+xml",
}
INT_MAX: Final = 2**31 - 1
_INT: Final = re.compile(r"[+-]?[0-9]{1,10}")


class SoapFault(Exception):
    """A SOAP fault as answer.

    Args:
        description: for people.
        operation: of the `<Operation>Fault` detail; empty: no detail.
        return_code: the platform's number. Avaya does not publish the numbers.
        sender: whether the caller caused it (SOAP's Client or Sender), else the platform.
    """

    def __init__(
        self, description: str, *, operation: str = "", return_code: int = 0, sender: bool = False
    ) -> None:
        super().__init__(description)
        self.description = description
        self.operation = operation
        self.return_code = return_code
        self.sender = sender


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapRequest:
    """An operation and its fields by local name; integers are validated."""

    version: SoapVersion
    operation: str
    fields: Values

    def text(self, name: str) -> str:
        """Return a string field, empty if absent."""
        return str(self.fields.get(name, ""))

    def number(self, name: str) -> int:
        """Return an integer field, 0 if absent."""
        return int(self.fields.get(name, 0))


def detect_version(body: bytes) -> SoapVersion:
    """Detect the version for the answer by the envelope's namespace; 1.1 without an envelope."""
    try:
        tag = str(fromstring(body, forbid_dtd=True).tag)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return "1.1"
    return "1.2" if tag == f"{{{ENVELOPES['1.2']}}}Envelope" else "1.1"


def read_request(
    body: bytes, operations: Mapping[str, Operation], *, lax: bool = False
) -> SoapRequest:
    """Read an envelope.

    Args:
        lax: whether unknown and misplaced elements are ignored. Else they are faults, as in Axis.

    Raises:
        SoapFault: the envelope is invalid; `sender` is true.
    """
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise SoapFault("the request is not XML, or has a document type", sender=True) from error
    version = detect_version(body)
    payload = root.find(f"{{{ENVELOPES[version]}}}Body/*")
    namespace, _, name = str(payload.tag if payload is not None else "").rpartition("}")
    operation = name.removesuffix("Request")
    if namespace != "{" + NAMESPACE or name == operation or operation not in operations:
        raise SoapFault(f"no such operation: {name or 'the body is empty'}", sender=True)
    if not lax:
        _check_order(payload, operations[operation])
    return SoapRequest(
        version=version,
        operation=operation,
        fields=_read_fields(payload, operations[operation].request),
    )


def _check_order(payload: Any, operation: Operation) -> None:
    """Refuse what a generated parser does not expect next: Axis 2 has these words for it."""
    expected = iter(operation.request)
    for child in payload:
        if not any(str(child.tag) == f"{{{NAMESPACE}}}{name}" for name in expected):
            name = str(child.tag).rpartition("}")[2]
            raise SoapFault(f"Unexpected subelement {name}", sender=True)


def _read_fields(payload: Any, expected: Fields) -> Values:
    """The fields of the contract; Axis requires qualified names, so others are ignored."""
    found: Values = {}
    for name, kind in expected.items():
        child = payload.find(f"{{{NAMESPACE}}}{name}")
        text = (child.text or "").strip() if child is not None else ""
        if text:
            found[name] = _read_int(name, text) if kind == "int" else text
    return found


def _read_int(name: str, text: str) -> int:
    if not _INT.fullmatch(text) or abs(int(text)) > INT_MAX:
        raise SoapFault(f"{name} is not an int", sender=True)
    return int(text)


def write_response(version: SoapVersion, operation: str, values: Values) -> bytes:
    """Write an envelope with `<Operation>Response`."""
    fields = "".join(f"<ns1:{name}>{_escape(value)}</ns1:{name}>" for name, value in values.items())
    name = f"{operation}Response"
    return _envelope(version, f'<ns1:{name} xmlns:ns1="{NAMESPACE}">{fields}</ns1:{name}>')


def write_fault(version: SoapVersion, fault: SoapFault) -> bytes:
    """Write an envelope with a fault; only the children of its detail element have a namespace."""
    detail = ""
    if fault.operation:
        name = f"{fault.operation}Fault"
        detail = (
            f'<{name} xmlns="" xmlns:ns1="{NAMESPACE}">'
            f"<ns1:returnCode>{fault.return_code}</ns1:returnCode>"
            f"<ns1:description>{_escape(fault.description)}</ns1:description></{name}>"
        )
    write = _fault_11 if version == "1.1" else _fault_12
    return _envelope(version, write(fault, detail))


def _fault_11(fault: SoapFault, detail: str) -> str:
    code = "Client" if fault.sender else "Server"
    return (
        f"<soapenv:Fault><faultcode>soapenv:{code}</faultcode>"
        f"<faultstring>{_escape(fault.description)}</faultstring>"
        f"<detail>{detail}</detail></soapenv:Fault>"
    )


def _fault_12(fault: SoapFault, detail: str) -> str:
    code = "Sender" if fault.sender else "Receiver"
    return (
        f"<soapenv:Fault><soapenv:Code><soapenv:Value>soapenv:{code}</soapenv:Value>"
        '</soapenv:Code><soapenv:Reason><soapenv:Text xml:lang="en">'
        f"{_escape(fault.description)}</soapenv:Text></soapenv:Reason>"
        f"<soapenv:Detail>{detail}</soapenv:Detail></soapenv:Fault>"
    )


def _envelope(version: SoapVersion, body: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{ENVELOPES[version]}">'
        f"<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    ).encode()


def _escape(value: str | int) -> str:
    """Escape, and drop the control characters that XML 1.0 does not allow."""
    return escape("".join(c for c in str(value) if c >= " " or c in "\t\n\r"))
