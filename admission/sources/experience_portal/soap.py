"""Writes and reads SOAP envelopes; an answer is untrusted input. Nothing here does I/O.

The reader accepts any prefix and namespace, because Axis 1, Axis 2 and the versions between them
differ in both. It refuses a DTD, and with it every entity.

Sources: SOAP 1.1 (W3C note, 2000), sections 4 and 6.1.1; SOAP 1.2 part 1, section 5; the form of
faults: docs/platforms/experience-portal.md. Why no SOAP library: docs/decisions/soap-by-hand.md.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from xml.sax.saxutils import escape, quoteattr

# defusedxml ships no types.
from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import ParseError, fromstring  # type: ignore[import-untyped]

from admission.config.sources.experience_portal import SoapVersion
from admission.errors import SourceError
from admission.sources.base import ECHO_CHARS_MAX, sanitize_line
from admission.sources.secret_mask import SecretMask
from admission.sources.transport import RequestNotDelivered

Value: TypeAlias = str | int
# An xml.etree Element; defusedxml, which creates them, has no types.
Element: TypeAlias = Any

_ENVELOPES: Final[Mapping[SoapVersion, str]] = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}
# Characters outside the Char production of XML 1.0, section 2.2: not allowed, not even escaped.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# No 64-bit integer has more digits, and so many are converted at once.
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_XML_SPACE: Final = " \t\r\n"
CODE_CHARS_MAX: Final = 40
_HTML: Final = (b"<html", b"<!doctype html")


class SoapFault(SourceError):
    """The platform answered with a fault.

    Args:
        detail: one line for the operator.
        return_code: the platform's number, as text; empty: none. Avaya does not publish them.
        description: the platform's words, on one line.
    """

    def __init__(self, detail: str, *, return_code: str, description: str) -> None:
        super().__init__(detail)
        self.return_code = return_code
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A request ready to be sent: its body and its SOAP headers."""

    body: bytes
    headers: Mapping[str, str]


def write_request(
    operation: str,
    fields: Mapping[str, Value],
    *,
    namespace: str,
    soap_action: str,
    version: SoapVersion,
) -> Envelope:
    """Write the envelope of `<Operation>Request`, its fields qualified and in the given order.

    Args:
        operation: such as `QueryResources`.
        fields: local name -> text or integer.
        namespace: of the operation and its fields.
        soap_action: the action's URI; `{operation}` in it becomes the operation.
        version: of SOAP.

    Raises:
        RequestNotDelivered: a text has characters that XML does not allow.
    """
    elements = "".join(
        f"<a:{name}>{_escape(name, value)}</a:{name}>" for name, value in fields.items()
    )
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<s:Envelope xmlns:s="{_ENVELOPES[version]}"><s:Body>'
        f"<a:{operation}Request xmlns:a={quoteattr(namespace)}>{elements}</a:{operation}Request>"
        "</s:Body></s:Envelope>"
    )
    action = soap_action.replace("{operation}", operation)
    return Envelope(body=body.encode(), headers=_soap_headers(action, version))


def read_response(body: bytes, operation: str, *, secrets: Collection[str] = ()) -> dict[str, str]:
    """Read the fields of `<Operation>Response` by local name, except those that have elements.

    Args:
        secrets: masked in the fields and in errors, before a text is cut.

    Raises:
        SoapFault: the body is a fault.
        SourceError: the body is anything else.
    """
    payload = _find_payload(_parse(body))
    name = _local_name(payload)
    if name in ("Fault", f"{operation}Fault"):
        raise _read_fault(payload, secrets)
    if name != f"{operation}Response":
        shown = sanitize_line(name, secrets=secrets)
        raise SourceError(f"answered with {shown} instead of {operation}Response")
    return _read_fields(payload, secrets)


def read_integer(fields: Mapping[str, str], name: str) -> int:
    """Read a field as an integer of any sign with up to 20 digits.

    Raises:
        SourceError: the field is absent, or is no integer, as "1e3", "NaN" and "7.0".
    """
    if name not in fields:
        raise SourceError(f"the answer has no {name}")
    text = fields[name].strip(_XML_SPACE)
    if not _INTEGER.fullmatch(text):
        raise SourceError(f"{name} is not an integer: {sanitize_line(text[:40])!r}")
    return int(text)


def _soap_headers(action: str, version: SoapVersion) -> dict[str, str]:
    """SOAP 1.1 has the action in a header of its own, in quotes; 1.2 in the content type."""
    if version == "1.1":
        return {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}
    parameter = f'; action="{action}"' if action.strip() else ""
    return {"Content-Type": f"application/soap+xml; charset=utf-8{parameter}"}


def _escape(name: str, value: Value) -> str:
    text = str(value)
    if _NOT_XML.search(text):
        raise RequestNotDelivered(f"{name} has a character that XML does not allow")
    return escape(text)


def _parse(body: bytes) -> Element:
    start = body[:200].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        raise SourceError("answered with nothing")
    if start.startswith(_HTML):
        raise SourceError("answered with an HTML page instead of SOAP")
    try:
        return fromstring(body, forbid_dtd=True)
    except DefusedXmlException:
        raise SourceError("the answer has a document type, which SOAP forbids") from None
    except (ParseError, ValueError, LookupError):
        # ValueError, LookupError: an encoding that expat cannot read, or that does not exist
        raise SourceError("the answer is not XML") from None


def _find_payload(root: Element) -> Element:
    if _local_name(root).lower() == "html":
        raise SourceError("answered with an HTML page instead of SOAP")
    bodies = [child for child in root if _local_name(child) == "Body"]
    if _local_name(root) != "Envelope" or len(bodies) != 1:
        raise SourceError("the answer is XML, but not a SOAP envelope")
    if len(bodies[0]) == 0:
        raise SourceError("the SOAP body is empty")
    return bodies[0][0]


def _read_fields(payload: Element, secrets: Collection[str]) -> dict[str, str]:
    mask = SecretMask(secrets)
    found: dict[str, str] = {}
    for child in payload:
        name = _local_name(child)
        if name in found:
            raise SourceError(f"the answer has two of {sanitize_line(name, secrets=secrets)}")
        if len(child) == 0:
            # Code that shows a field does not know the secrets.
            found[name] = mask((child.text or "")[:ECHO_CHARS_MAX])
    return found


def _read_fault(fault: Element, secrets: Collection[str]) -> SoapFault:
    """Prefer the platform's description to faultstring (SOAP 1.1) and Reason/Text (1.2)."""
    description = sanitize_line(
        _find_text(fault, "description")
        or _find_text(fault, "faultstring")
        or _find_text(fault, "Text"),
        secrets=secrets,
    )
    code = sanitize_line(_find_text(fault, "returnCode"), secrets=secrets)[:CODE_CHARS_MAX]
    detail = f"fault {code}".rstrip() + f": {description or 'without a description'}"
    return SoapFault(detail, return_code=code, description=description)


def _find_text(parent: Element, name: str) -> str:
    """The first text under an element of that local name, at any depth; empty if there is none."""
    texts = (one.text or "" for one in parent.iter() if _local_name(one) == name)
    return next((text.strip() for text in texts if text.strip()), "")


def _local_name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
