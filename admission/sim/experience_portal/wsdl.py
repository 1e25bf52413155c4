"""The WSDL of each path, generated from the contract that the endpoint serves.

Its form is what Axis 1.4, Axis 2, CXF, JAX-WS, node soap and zeep all load. Two details decide: the
schema of the fault elements states its absent namespace as `targetNamespace=""` (Axis 1.4 finds
them in no other), and the operations of SOAP 1.2 are a port type without faults (Axis 1.4 refuses
faults of a SOAP 1.2 binding, and Axis 2 a binding that lacks the faults of its port type).
"""

from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from admission.sim.experience_portal.contract import NAMESPACE, Fields, Operation
from admission.sim.experience_portal.soap import SoapVersion

SOAP_BINDINGS: Final[Mapping[SoapVersion, str]] = {
    "1.1": "http://schemas.xmlsoap.org/wsdl/soap/",
    "1.2": "http://schemas.xmlsoap.org/wsdl/soap12/",
}
HTTP_TRANSPORT: Final = "http://schemas.xmlsoap.org/soap/http"


def wsdl(
    *,
    service: str,
    url: str,
    operations: Mapping[str, Operation],
    action: str,
    versions: tuple[SoapVersion, ...],
) -> str:
    """Write a WSDL 1.1 document, document/literal.

    Args:
        service: name of the service; its ports are named after it and the SOAP version.
        url: address of the service.
        operations: the contract.
        action: the SOAPAction of every operation.
        versions: the SOAP versions to bind.
    """
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" '
        f'xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
        f'xmlns:tns="{NAMESPACE}" targetNamespace="{NAMESPACE}">\n'
        f"<wsdl:types>{_schemas(operations)}</wsdl:types>\n"
        f"{''.join(map(_messages, operations))}"
        f"{''.join(_port_type(service, one, operations) for one in versions)}"
        f"{''.join(_build_binding(service, one, operations, action) for one in versions)}"
        f'<wsdl:service name="{service}">\n'
        f"{''.join(_port(service, one, url) for one in versions)}"
        "</wsdl:service>\n</wsdl:definitions>\n"
    )


def _schemas(operations: Mapping[str, Operation]) -> str:
    """Two schemas: fault elements have no namespace, all others that of the service."""
    elements = "".join(
        _element(f"{name}Request", one.request, optional=True)
        + _element(f"{name}Response", one.response, optional=False)
        for name, one in operations.items()
    )
    fault_fields = _sequence({"returnCode": "int", "description": "string"}, optional=False)
    faults = "".join(
        f'<xsd:element name="{name}Fault" type="tns:FaultType"/>\n' for name in operations
    )
    return (
        f'<xsd:schema targetNamespace="{NAMESPACE}" elementFormDefault="qualified">\n{elements}'
        f'<xsd:complexType name="FaultType">{fault_fields}</xsd:complexType>\n</xsd:schema>\n'
        f'<xsd:schema targetNamespace="" elementFormDefault="qualified">\n'
        f'<xsd:import namespace="{NAMESPACE}"/>\n{faults}</xsd:schema>'
    )


def _element(name: str, fields: Fields, *, optional: bool) -> str:
    content = _sequence(fields, optional=optional)
    return (
        f'<xsd:element name="{name}"><xsd:complexType>{content}</xsd:complexType></xsd:element>\n'
    )


def _sequence(fields: Fields, *, optional: bool) -> str:
    occurs = ' minOccurs="0"' if optional else ""
    elements = "".join(
        f'<xsd:element name="{name}" type="xsd:{kind}"{occurs}/>' for name, kind in fields.items()
    )
    return f"<xsd:sequence>{elements}</xsd:sequence>"


def _messages(name: str) -> str:
    parts = {"Request": "tns:", "Response": "tns:", "Fault": ""}
    return "".join(
        f'<wsdl:message name="{name}{part}">'
        f'<wsdl:part name="body" element="{prefix}{name}{part}"/></wsdl:message>\n'
        for part, prefix in parts.items()
    )


def _port_type(service: str, version: SoapVersion, operations: Mapping[str, Operation]) -> str:
    inner = "".join(
        f'<wsdl:operation name="{name}"><wsdl:input message="tns:{name}Request"/>'
        f'<wsdl:output message="tns:{name}Response"/>{_port_type_fault(version, name)}'
        "</wsdl:operation>\n"
        for name in operations
    )
    return f'<wsdl:portType name="{_port_type_name(service, version)}">\n{inner}</wsdl:portType>\n'


def _port_type_name(service: str, version: SoapVersion) -> str:
    return f"{service}Type" if _declares_faults(version) else f"{_port_name(service, version)}Type"


def _declares_faults(version: SoapVersion) -> bool:
    return version == "1.1"


def _port_type_fault(version: SoapVersion, name: str) -> str:
    if not _declares_faults(version):
        return ""
    return f'<wsdl:fault name="{name}Fault" message="tns:{name}Fault"/>'


def _binding_fault(version: SoapVersion, name: str) -> str:
    if not _declares_faults(version):
        return ""
    return (
        f'<wsdl:fault name="{name}Fault"><soap:fault name="{name}Fault" use="literal"/>'
        "</wsdl:fault>"
    )


def _build_binding(
    service: str, version: SoapVersion, operations: Mapping[str, Operation], action: str
) -> str:
    literal = '<soap:body use="literal"/>'
    inner = "".join(
        f'<wsdl:operation name="{name}"><soap:operation soapAction={quoteattr(action)}/>'
        f"<wsdl:input>{literal}</wsdl:input><wsdl:output>{literal}</wsdl:output>"
        f"{_binding_fault(version, name)}</wsdl:operation>\n"
        for name in operations
    )
    return (
        f'<wsdl:binding name="{_port_name(service, version)}" '
        f'type="tns:{_port_type_name(service, version)}" '
        f'xmlns:soap="{SOAP_BINDINGS[version]}">\n'
        f'<soap:binding style="document" transport="{HTTP_TRANSPORT}"/>\n{inner}</wsdl:binding>\n'
    )


def _port(service: str, version: SoapVersion, url: str) -> str:
    bound = _port_name(service, version)
    return (
        f'<wsdl:port name="{bound}" binding="tns:{bound}">'
        f'<soap:address xmlns:soap="{SOAP_BINDINGS[version]}" location="{escape(url)}"/>'
        "</wsdl:port>\n"
    )


def _port_name(service: str, version: SoapVersion) -> str:
    return f"{service}Soap{version.replace('.', '')}"
