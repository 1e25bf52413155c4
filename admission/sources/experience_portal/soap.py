"""Writes and reads SOAP envelopes; an answer is untrusted input. Nothing here does I/O.

The reader accepts any prefix and namespace, because Axis 1, Axis 2 and the versions between them
differ in both. It refuses a DTD, and with it every entity.

Sources: SOAP 1.1 (W3C note, 2000), sections 4 and 6.1.1; SOAP 1.2 part 1, section 5; the form of
faults: docs/platforms/experience-portal.md. Why no SOAP library: docs/decisions/soap-by-hand.md.
"""

import re
import xml.etree.ElementTree as etree  # its Element only: defusedxml parses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from xml.sax.saxutils import escape, quoteattr

# defusedxml ships no types.
from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import DefusedXMLParser, ParseError  # type: ignore[import-untyped]

from admission.config.sources.experience_portal import Dialect, SoapVersion
from admission.errors import SourceError
from admission.sources.authentication import CredentialsRefused
from admission.sources.base import ECHO_CHARS_MAX, RequestNotDelivered, sanitize_line
from admission.sources.experience_portal.root_part import RootPart, find_root_part
from admission.sources.secret_mask import SecretMask

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
DEPTH_MAX: Final = 200
_REFUSALS: Final = frozenset(
    {"FailedAuthentication", "InvalidSecurityToken", "FailedCheck", "Server.Unauthorized"}
)
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


class Fields(dict[str, str]):
    """The fields of a response by local name; of one that is repeated, the first.

    Attributes:
        repeated: names of those that occur with different texts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.repeated: set[str] = set()


def write_request(
    operation: str, fields: Mapping[str, Value], *, dialect: Dialect, version: SoapVersion
) -> Envelope:
    """Write the envelope of an operation, its fields in the given order.

    Args:
        operation: such as `QueryResources`.
        fields: local name -> text or integer.
        dialect: names of the request's element, its namespaces and its action.
        version: of SOAP.

    Raises:
        RequestNotDelivered: a text has characters that XML does not allow.
    """
    # A field without a namespace has no prefix; the envelope declares no default namespace.
    inside = dialect.namespace if dialect.field_namespace is None else dialect.field_namespace
    prefix = "a:" if inside == dialect.namespace else "f:" if inside else ""
    declared = f" xmlns:f={quoteattr(inside)}" if prefix == "f:" else ""
    elements = "".join(
        f"<{prefix}{name}>{_escape(name, value)}</{prefix}{name}>" for name, value in fields.items()
    )
    root = dialect.request_element.replace("{operation}", operation)
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<s:Envelope xmlns:s="{_ENVELOPES[version]}"><s:Body>'
        f"<a:{root} xmlns:a={quoteattr(dialect.namespace)}{declared}>{elements}</a:{root}>"
        "</s:Body></s:Envelope>"
    )
    action = dialect.soap_action.replace("{operation}", operation)
    return Envelope(body=body.encode(), headers=_soap_headers(action, version))


def read_response(
    body: bytes,
    operation: str,
    *,
    secrets: Collection[str] = (),
    content_type: str = "",
    is_cut: bool = False,
) -> Fields:
    """Read the fields of `<Operation>Response` by local name, at any depth.

    Args:
        secrets: masked in the fields and in errors, before a text is cut.
        content_type: of the answer; of `multipart/related` the root part is read.
        is_cut: the body was longer than what was read; only a fault is read from its beginning.

    Raises:
        CredentialsRefused: the body is a fault that says so.
        SoapFault: the body is another fault.
        SourceError: the body is anything else.
    """
    part = find_root_part(body, content_type)
    payload, others = _find_payload(_parse(part, is_cut))
    name = _local_name(payload)
    if name in ("Fault", f"{operation}Fault"):
        raise _read_fault(payload, secrets)
    if is_cut:
        raise SourceError("the answer is longer than any valid one")
    if name.lower() != f"{operation}Response".lower():
        shown = sanitize_line(name, secrets=secrets)
        raise SourceError(f"answered with {shown} instead of {operation}Response")
    return _read_fields(payload, others, secrets)


def read_integer(fields: Mapping[str, str], name: str) -> int:
    """Read a field as an integer of any sign with up to 20 digits.

    Raises:
        SourceError: the field is absent, or is no integer, as "1e3", "NaN" and "7.0".
    """
    if name not in fields:
        raise SourceError(f"the answer has no {name}")
    if name in getattr(fields, "repeated", ()):
        raise SourceError(f"the answer has several {name}, which differ")
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
    # A parser reads a literal carriage return as a line feed.
    return escape(text, {"\r": "&#13;"})


def _parse(part: RootPart, is_cut: bool) -> Element:
    # Whitespace before the declaration is an error of XML, and frequent in the output of JSPs.
    body = part.body.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    if not body:
        raise SourceError("answered with nothing")
    if body[:200].lower().startswith(_HTML):
        raise SourceError("answered with an HTML page instead of SOAP")
    tree = _Tree()
    # The charset of the header precedes that of the document (RFC 7303, section 3).
    parser = DefusedXMLParser(target=tree, encoding=part.charset, forbid_dtd=True)
    try:
        parser.feed(body)
        if not is_cut:
            parser.close()
    except DefusedXmlException:
        raise SourceError("the answer has a document type, which SOAP forbids") from None
    except (ParseError, ValueError, LookupError):
        # ValueError, LookupError: an encoding that expat cannot read, or that does not exist
        if not (is_cut and tree.root is not None):
            raise SourceError(f"the answer is not XML{part.describe()}") from None
    if tree.root is None:
        raise SourceError(f"the answer is not XML{part.describe()}")
    return tree.root


class _Tree:
    """Builds a tree that may end early: an answer that was cut has its first elements."""

    def __init__(self) -> None:
        self.root: Element = None
        self._open: list[Element] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._open) > DEPTH_MAX:
            raise ValueError("nested too deeply")
        element = etree.Element(tag, attributes)
        if self._open:
            self._open[-1].append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _tag: str) -> None:
        self._open.pop()

    def data(self, text: str) -> None:
        # Text after a child element is no field's.
        if self._open and len(self._open[-1]) == 0:
            self._open[-1].text = (self._open[-1].text or "") + text

    def close(self) -> None:
        """Nothing is left to do."""


def _find_payload(root: Element) -> tuple[Element, Sequence[Element]]:
    """The response or fault, and the other elements of the body, to which it may refer."""
    if _local_name(root).lower() == "html":
        raise SourceError("answered with an HTML page instead of SOAP")
    bodies = [child for child in root if _local_name(child) == "Body"]
    if _local_name(root) != "Envelope" or len(bodies) != 1:
        raise SourceError("the answer is XML, but not a SOAP envelope")
    if len(bodies[0]) == 0:
        raise SourceError("the SOAP body is empty")
    return bodies[0][0], list(bodies[0])[1:]


def _read_fields(payload: Element, others: Sequence[Element], secrets: Collection[str]) -> Fields:
    mask = SecretMask(secrets)
    found = Fields()
    for leaf in _iterate_leaves(payload, others):
        name = _local_name(leaf)
        # Code that shows a field does not know the secrets.
        text = mask((leaf.text or "")[:ECHO_CHARS_MAX])
        if found.setdefault(name, text) != text:
            found.repeated.add(name)
    return found


def _iterate_leaves(payload: Element, others: Sequence[Element]) -> Iterator[Element]:
    """Elements without elements, at any depth; a reference leads to an element of the body.

    Axis 1 answers with `<QueryResourcesReturn href="#id0"/>` and `<multiRef id="id0">` beside it.
    Each element of the body is entered once, so that references in a circle end.
    """
    known = {one.get("id"): one for one in others if one.get("id")}
    waiting = [payload]
    while waiting:
        element = waiting.pop()
        reference = element.get("href") or element.get("ref") or ""
        if referred := known.pop(reference.removeprefix("#"), None):
            waiting.append(referred)
        elif len(element) == 0 and element is not payload:
            yield element
        else:
            waiting += reversed(list(element))


def _read_fault(fault: Element, secrets: Collection[str]) -> SourceError:
    """Prefer the platform's description to faultstring (SOAP 1.1) and Reason/Text (1.2)."""
    description = sanitize_line(
        _find_text(fault, "description")
        or _find_text(fault, "faultstring")
        or _find_text(fault, "Text"),
        secrets=secrets,
    )
    code = sanitize_line(_find_text(fault, "returnCode"), secrets=secrets)[:CODE_CHARS_MAX]
    named = sanitize_line(_name_fault(fault), secrets=secrets)
    said = description or f"without a description{f' ({named})' if named else ''}"
    detail = f"fault {code}".rstrip() + f": {said}"
    if _is_refusal(fault, description):
        return CredentialsRefused(f"the credentials are refused: {detail}")
    return SoapFault(detail, return_code=code, description=description)


def _list_codes(fault: Element) -> list[str]:
    """The codes of a fault without their prefixes: faultcode (SOAP 1.1), Code/Value (1.2)."""
    codes = (
        (one.text or "").strip().rpartition(":")[2]
        for one in fault.iter()
        if _local_name(one) in ("faultcode", "Value")
    )
    return [code for code in codes if code][:4]


def _name_fault(fault: Element) -> str:
    """What a fault without words is known by: its codes, and the element of its detail."""
    details = [one for one in fault.iter() if _local_name(one) in ("detail", "Detail")]
    names = [_local_name(child) for one in details for child in one][:3]
    return ", ".join([*_list_codes(fault), *names])


def _is_refusal(fault: Element, description: str) -> bool:
    """Web Services Security names it in the code (section 12 of version 1.1.1), Axis 1 in words."""
    return any(code in _REFUSALS for code in _list_codes(fault)) or "(401)" in description


def _find_text(parent: Element, name: str) -> str:
    """The first text under an element of that local name, at any depth; empty if there is none."""
    texts = (one.text or "" for one in parent.iter() if _local_name(one) == name)
    return next((text.strip() for text in texts if text.strip()), "")


def _local_name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
