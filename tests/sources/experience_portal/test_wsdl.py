"""WSDLs of other forms than those that the simulator and the Java stacks serve."""

from typing import Any

import pytest

from admission.errors import SourceError
from admission.sources.experience_portal.wsdl import DOCUMENTS_MAX, read_wsdl

URL = "http://epm.example/x?wsdl"
XSD = 'xmlns:x="http://www.w3.org/2001/XMLSchema"'
PLAIN = (
    '<x:element name="QueryResourcesRequest"><x:complexType><x:sequence>'
    '<x:element name="queryResourcesRequestUnused" type="x:int"/>'
    '<x:element name="zone" type="x:string"/></x:sequence></x:complexType></x:element>'
)
ZONES_FIRST = {"zone_field": "zone", "unused_field": "unused", "zone_first": True}


def document(schema: str, *, operation: str = "QueryResources", around: str = "") -> bytes:
    return (
        f'<w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" {XSD} xmlns:t="urn:t">{around}'
        f'<w:types><x:schema targetNamespace="urn:t">{schema}</x:schema></w:types>'
        '<w:message name="In"><w:part name="p" element="t:QueryResourcesRequest"/></w:message>'
        f'<w:portType name="P"><w:operation name="{operation}"><w:input message="t:In"/>'
        "</w:operation></w:portType></w:definitions>"
    ).encode()


async def read(text: bytes) -> dict[str, Any]:
    async def fetch(_url: str) -> bytes:
        return text

    return (await read_wsdl(URL, fetch)).settings


def request(content: str, more: str = "") -> str:
    return f'<x:element name="QueryResourcesRequest">{content}</x:element>{more}'


@pytest.mark.parametrize(
    "schema",
    [
        request(
            '<x:complexType><x:all><x:element name="zone" type="x:token"/>'
            '<x:element name="unused" type="x:int"/></x:all></x:complexType>'
        ),
        request(
            '<x:complexType><x:sequence><x:element name="zone" type="t:ZoneName"/>'
            '<x:element name="unused" type="x:int"/></x:sequence></x:complexType>',
            '<x:simpleType name="ZoneName"><x:restriction base="x:string">'
            '<x:maxLength value="64"/></x:restriction></x:simpleType>',
        ),
        request(
            '<x:complexType><x:sequence><x:element name="zone"><x:simpleType>'
            '<x:restriction base="x:string"/></x:simpleType></x:element>'
            '<x:element name="unused" type="x:int"/></x:sequence></x:complexType>'
        ),
        request(
            '<x:complexType><x:sequence><x:element ref="t:zone"/><x:element ref="t:unused"/>'
            "</x:sequence></x:complexType>",
            '<x:element name="zone" type="x:string"/><x:element name="unused" type="x:int"/>',
        ),
        '<x:element name="QueryResourcesRequest" type="t:Query"/><x:complexType name="Query">'
        '<x:sequence><x:element name="zone" type="x:string"/>'
        '<x:element name="unused" type="x:int"/></x:sequence></x:complexType>',
    ],
    ids=["all", "named restriction", "restriction", "references", "named type"],
)
async def test_the_fields_are_found_however_they_are_described(schema: str) -> None:
    settings = await read(document(schema))
    assert {key: settings[key] for key in ZONES_FIRST} == ZONES_FIRST


async def test_fields_that_are_references_have_a_namespace() -> None:
    content = '<x:complexType><x:sequence><x:element ref="t:zone"/></x:sequence></x:complexType>'
    other = '<x:element name="zone" type="x:string"/>'
    assert (await read(document(request(content, other))))["field_namespace"] == "urn:t"
    assert (await read(document(PLAIN)))["field_namespace"] == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"no xml", "not XML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "not XML"),
        (document(PLAIN, operation="Other"), "no operation QueryResources"),
        (document(""), "no element QueryResourcesRequest"),
        (
            document(
                request(
                    '<x:complexType><x:choice><x:element name="zone"/></x:choice></x:complexType>'
                )
            ),
            "by xsd:choice, which is not read",
        ),
        (
            document(
                request(
                    '<x:complexType><x:complexContent><x:extension base="t:B"/></x:complexContent>'
                    "</x:complexType>"
                )
            ),
            "by xsd:extension, which is not read",
        ),
        (
            document(
                request(
                    '<x:complexType><x:sequence><x:element ref="t:gone"/></x:sequence>'
                    "</x:complexType>"
                )
            ),
            "compare by hand",
        ),
    ],
)
async def test_a_wsdl_that_cannot_be_read_is_an_error_that_says_why(text: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        await read(text)


async def test_only_so_many_documents_are_fetched_and_those_of_this_server_only() -> None:
    fetched: list[str] = []

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        n = len(fetched)
        around = "".join(
            f'<w:import location="{target}"/>'
            for target in (f"?wsdl={n}", f"?wsdl={n + 1}", "http://other.example/x?wsdl")
        )
        return document(PLAIN, around=around)

    assert (await read_wsdl(URL, fetch)).settings["zone_field"] == "zone"
    assert len(fetched) == DOCUMENTS_MAX
    assert all(url.startswith("http://epm.example/x?") for url in fetched)
