"""Reads from a portal's WSDL how it wants QueryResources: names, order, namespaces, action.

Not a WSDL processor: it follows the operation to the element of its request, through imported
schemas, and reads that element's sequence. The documents are untrusted input.

Sources: WSDL 1.1 (W3C note, 2001), sections 2 and 3; XML Schema part 1, section 3.3.2.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

# defusedxml ships no types.
from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import ParseError, fromstring  # type: ignore[import-untyped]

from admission.errors import SourceError

OPERATION: Final = "QueryResources"
DOCUMENTS_MAX: Final = 12
FIELDS_MAX: Final = 50  # of the request; Avaya's has two
_XSD: Final = "{http://www.w3.org/2001/XMLSchema}"
_WSDL: Final = "{http://schemas.xmlsoap.org/wsdl/}"
_SOAP: Final = {
    "1.1": "{http://schemas.xmlsoap.org/wsdl/soap/}",
    "1.2": "{http://schemas.xmlsoap.org/wsdl/soap12/}",
}
_REFERENCES: Final = (
    (f"{_WSDL}import", "location"),
    (f"{_XSD}import", "schemaLocation"),
    (f"{_XSD}include", "schemaLocation"),
)
_TEXTS: Final = ("string", "token", "normalizedString")

Fetch = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestShape:
    """What the WSDL says of the request.

    Args:
        settings: key of `[sources.X]` -> its value.
        fields: names in their order, as the WSDL has them.
    """

    settings: dict[str, Any]
    fields: tuple[str, ...]


async def read_wsdl(url: str, fetch: Fetch) -> RequestShape:
    """Fetch a WSDL with the documents that it imports from the same server, and read it.

    Args:
        url: of the WSDL.
        fetch: returns a document.

    Raises:
        SourceError: it cannot be read, or has no such operation.
    """
    documents: dict[str, Any] = {}
    waiting = [url]
    while waiting and len(documents) < DOCUMENTS_MAX:
        address = waiting.pop(0)
        if address in documents:
            continue
        documents[address] = root = _parse(await fetch(address))
        for tag, attribute in _REFERENCES:
            for one in root.iter(tag):
                target = urljoin(address, one.get(attribute) or address)
                if urlsplit(target)[:2] == urlsplit(url)[:2]:
                    waiting.append(target)
    return _read(list(documents.values()))


def _parse(text: bytes) -> Any:
    try:
        return fromstring(text.strip(), forbid_dtd=True)
    except (DefusedXmlException, ParseError, ValueError, LookupError):
        raise SourceError("the WSDL is not XML that can be read") from None


def _read(roots: Sequence[Any]) -> RequestShape:
    name = _find_request(roots)
    for schema in (one for root in roots for one in root.iter(f"{_XSD}schema")):
        for element in schema.findall(f"{_XSD}element"):
            if element.get("name") == name:
                return _describe(roots, schema, element)
    raise SourceError(f"the WSDL has no element {name}")


def _find_request(roots: Sequence[Any]) -> str:
    """The local name of the element in the operation's input message."""
    messages = {one.get("name"): one for root in roots for one in root.iter(f"{_WSDL}message")}
    for port_type in (one for root in roots for one in root.iter(f"{_WSDL}portType")):
        for operation in port_type.findall(f"{_WSDL}operation"):
            if (operation.get("name") or "").lower() == OPERATION.lower():
                given = operation.find(f"{_WSDL}input")
                message = messages.get(_local(given.get("message") if given is not None else ""))
                part = message.find(f"{_WSDL}part") if message is not None else None
                if part is not None and part.get("element"):
                    return _local(part.get("element"))
                raise SourceError(f"{OPERATION} of the WSDL is not document/literal")
    raise SourceError(f"the WSDL has no operation {OPERATION}")


def _describe(roots: Sequence[Any], schema: Any, element: Any) -> RequestShape:
    listed = list(islice(_list_fields(roots, element), FIELDS_MAX))
    fields = [_resolve(roots, one) for one in listed]
    namespace = schema.get("targetNamespace") or ""
    request = element.get("name")
    form = schema.get("elementFormDefault") or "unqualified"
    # A field that is a reference has the namespace of what it refers to.
    forms = {"qualified" if one.get("ref") else one.get("form") or form for one in listed}
    names = [one.get("name") or "" for one in fields]
    if not all(names):
        raise SourceError(
            f"the WSDL describes {request} in a way that is not read: compare by hand"
        )
    zone = next((n for n, one in zip(names, fields, strict=True) if _is_text(roots, one)), "")
    unused = next((name for name in names if name != zone), "")
    settings: dict[str, Any] = {
        "namespace": namespace,
        "request_element": request.replace(OPERATION, "{operation}")
        if OPERATION in request
        else request,
        "unused_field": unused,
        "zone_field": zone,
        "zone_first": bool(zone and unused and names.index(zone) < names.index(unused)),
        "field_namespace": namespace if (forms or {form}) == {"qualified"} else "",
    }
    return RequestShape(settings=settings | _find_action(roots), fields=tuple(names))


def _list_fields(roots: Sequence[Any], element: Any) -> Iterator[Any]:
    """The fields: of the element's own type, or of a named one.

    Raises:
        SourceError: they are a choice, or extend another type; neither was seen for this request.
    """
    named = _find(roots, "complexType", element.get("type"))
    content = element.find(f"{_XSD}complexType") if named is None else named
    if content is None:
        return
    for tag in ("choice", "extension"):
        if next(content.iter(f"{_XSD}{tag}"), None) is not None:
            name = element.get("name")
            raise SourceError(f"the WSDL describes {name} by xsd:{tag}, which is not read")
    for tag in ("sequence", "all"):
        for group in content.iter(f"{_XSD}{tag}"):
            yield from group.findall(f"{_XSD}element")


def _resolve(roots: Sequence[Any], field: Any) -> Any:
    """The element that a field refers to; the field itself, if it does not."""
    found = _find(roots, "element", field.get("ref"))
    return field if found is None else found


def _is_text(roots: Sequence[Any], field: Any) -> bool:
    """Whether the values are texts, also if their length or pattern is restricted."""
    if _local(field.get("type")) in _TEXTS:
        return True
    named = _find(roots, "simpleType", field.get("type"))
    restriction = (field if named is None else named).find(f".//{_XSD}restriction")
    return restriction is not None and _local(restriction.get("base")) in _TEXTS


def _find(roots: Sequence[Any], kind: str, name: str | None) -> Any:
    """The global declaration of that name; None if there is none."""
    schemas = (one for root in roots for one in root.iter(f"{_XSD}schema") if name)
    declared = (one for schema in schemas for one in schema.findall(f"{_XSD}{kind}"))
    return next((one for one in declared if one.get("name") == _local(name)), None)


def _find_action(roots: Sequence[Any]) -> dict[str, Any]:
    """The action and the version; 1.1 where both are bound."""
    for version, prefix in _SOAP.items():
        for binding in (one for root in roots for one in root.iter(f"{_WSDL}binding")):
            if binding.find(f"{prefix}binding") is None:
                continue
            for operation in binding.findall(f"{_WSDL}operation"):
                bound = operation.find(f"{prefix}operation")
                is_ours = (operation.get("name") or "").lower() == OPERATION.lower()
                if is_ours and bound is not None:
                    action = bound.get("soapAction") or ""
                    return {
                        "soap_action": action.replace(OPERATION, "{operation}"),
                        "soap_version": version,
                    }
    return {}


def _local(name: str | None) -> str:
    return (name or "").rpartition(":")[2]
