"""SOAP envelopes: written for one operation, read by local name, distrusted throughout.

Nothing here does I/O. Answers are read whatever their prefixes and namespaces are, because Axis 1,
Axis 2 and the versions between them differ in both. A DTD is refused, and with it every entity.

Sources: SOAP 1.1 (W3C note, 2000), sections 4 and 6.1.1; SOAP 1.2 part 1, section 5; the shape of
faults: the platform page of Experience Portal.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from xml.sax.saxutils import escape, quoteattr

# defusedxml ships no types.
from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import ParseError, fromstring  # type: ignore[import-untyped]

from admission.config.sources.experience_portal import SoapVersion
from admission.errors import SourceError
from admission.sources.base import sanitize_line

Value: TypeAlias = str | int
# An xml.etree Element; defusedxml, which makes them, has no types.
Element: TypeAlias = Any

_ENVELOPES: Final[Mapping[SoapVersion, str]] = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}
# What XML 1.0 has no way to carry, escaped or not.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Longer than any integer of XML Schema that a ledger could take, and short enough to convert.
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_XML_SPACE: Final = " \t\r\n"
_HTML: Final = (b"<html", b"<!doctype html")


class RequestNotDelivered(SourceError):
    """The platform never took the request, so what was asked for has not happened and will not."""


class SoapFault(SourceError):
    """The platform answered with a fault.

    Args:
        detail: one line for the operator.
        return_code: its number, as written; empty: it gave none. The numbers are not public.
        description: its words, on one line.
    """

    def __init__(self, detail: str, *, return_code: str, description: str) -> None:
        super().__init__(detail)
        self.return_code = return_code
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A request ready to be sent: its body and the headers that go with it."""

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
    """The envelope of `<Operation>Request`, its fields qualified and in the order given.

    Args:
        operation: such as `QueryResources`.
        fields: local name -> text or integer.
        namespace: of the operation and its fields.
        soap_action: the action's URI; `{operation}` in it becomes the operation.
        version: of SOAP.

    Errors: RequestNotDelivered where a text has characters that XML cannot carry.
    """
    written = "".join(f"<a:{name}>{_text(name, one)}</a:{name}>" for name, one in fields.items())
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<s:Envelope xmlns:s="{_ENVELOPES[version]}"><s:Body>'
        f"<a:{operation}Request xmlns:a={quoteattr(namespace)}>{written}</a:{operation}Request>"
        "</s:Body></s:Envelope>"
    )
    action = soap_action.replace("{operation}", operation)
    return Envelope(body=body.encode(), headers=_headers(action, version))


def read_response(body: bytes, operation: str) -> dict[str, str]:
    """The fields of `<Operation>Response` by local name; those with elements inside are left out.

    Errors: SoapFault for a fault; SourceError for anything else that is no such response.
    """
    payload = _payload(_parsed(body))
    name = _local(payload)
    if name in ("Fault", f"{operation}Fault"):
        raise _fault(payload)
    if name != f"{operation}Response":
        raise SourceError(f"answered with {sanitize_line(name)} instead of {operation}Response")
    return _fields(payload)


def read_integer(fields: Mapping[str, str], name: str) -> int:
    """A field's read_integer, of any sign and size up to 20 digits.

    Errors: SourceError if it is absent or something else; "1e3", "NaN" and "7.0" are.
    """
    if name not in fields:
        raise SourceError(f"the answer has no {name}")
    text = fields[name].strip(_XML_SPACE)
    if not _INTEGER.fullmatch(text):
        raise SourceError(f"{name} is not an integer: {sanitize_line(text[:40])!r}")
    return int(text)


def _headers(action: str, version: SoapVersion) -> dict[str, str]:
    """1.1 names the action in a header of its own, in quotes; 1.2 inside the content type."""
    if version == "1.1":
        return {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}
    named = f'; action="{action}"' if action.strip() else ""
    return {"Content-Type": f"application/soap+xml; charset=utf-8{named}"}


def _text(name: str, value: Value) -> str:
    text = str(value)
    if _NOT_XML.search(text):
        raise RequestNotDelivered(f"{name} has a character that XML cannot carry")
    return escape(text)


def _parsed(body: bytes) -> Element:
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
        # the latter two: an encoding that does not exist or that expat cannot read
        raise SourceError("the answer is not XML") from None


def _payload(root: Element) -> Element:
    if _local(root).lower() == "html":
        raise SourceError("answered with an HTML page instead of SOAP")
    bodies = [child for child in root if _local(child) == "Body"]
    if _local(root) != "Envelope" or len(bodies) != 1:
        raise SourceError("the answer is XML, but not a SOAP envelope")
    if len(bodies[0]) == 0:
        raise SourceError("the SOAP body is empty")
    return bodies[0][0]


def _fields(payload: Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for child in payload:
        name = _local(child)
        if name in found:
            raise SourceError(f"the answer has two of {sanitize_line(name)}")
        if len(child) == 0:
            found[name] = child.text or ""
    return found


def _fault(fault: Element) -> SoapFault:
    """1.1 has faultstring, 1.2 Reason/Text; the platform's own words, if any, say more."""
    said = sanitize_line(
        _first(fault, "description") or _first(fault, "faultstring") or _first(fault, "Text")
    )
    code = sanitize_line(_first(fault, "returnCode")[:40])
    detail = f"fault {code}".rstrip() + f": {said or 'without a description'}"
    return SoapFault(detail, return_code=code, description=said)


def _first(parent: Element, name: str) -> str:
    """The text of the first element of that local name, at any depth; empty if there is none."""
    texts = (one.text or "" for one in parent.iter() if _local(one) == name)
    return next((text.strip() for text in texts if text.strip()), "")


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
