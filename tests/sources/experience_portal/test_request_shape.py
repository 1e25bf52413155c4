"""The shape of QueryResources: each undocumented detail is a setting."""

from typing import Any
from xml.etree import ElementTree

import pytest
from aiohttp import web

from admission.sources.experience_portal.soap import SoapFault
from tests.support.envelopes import SERVICE, counts, fault
from tests.support.polling import make_policy
from tests.support.scripted_platform import connected, fixed, platform

Q = f"{{{SERVICE}}}"


async def send(said: dict[str, Any], zone: str = "East") -> tuple[list[str], str, str | None]:
    """Tags of the request's element and its fields, the path and the SOAPAction."""
    received: list[tuple[str, str, str | None]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        action = request.headers.get("SOAPAction")
        received.append((await request.text(), request.raw_path, action))
        return web.Response(body=counts())

    async with platform(answer) as url, connected(url, **said) as source:
        await source.query("East", make_policy(("sip",), source_zone=zone))
    [(body, path, action)] = received
    element = ElementTree.fromstring(body)[0][0]
    return [element.tag, *(one.tag for one in element)], path, action


@pytest.mark.parametrize(
    ("said", "tags"),
    [
        ({}, [f"{Q}QueryResourcesRequest", f"{Q}queryResourcesRequestUnused", f"{Q}zone"]),
        ({"zone_first": True}, [f"{Q}QueryResourcesRequest", f"{Q}zone",
                                f"{Q}queryResourcesRequestUnused"]),
        ({"unused_field": ""}, [f"{Q}QueryResourcesRequest", f"{Q}zone"]),
        ({"unused_field": "dummy", "zone_field": "ZoneId"},
         [f"{Q}QueryResourcesRequest", f"{Q}dummy", f"{Q}ZoneId"]),
        ({"field_namespace": ""},
         [f"{Q}QueryResourcesRequest", "queryResourcesRequestUnused", "zone"]),
        ({"field_namespace": "urn:fields", "request_element": "{operation}"},
         [f"{Q}QueryResources", "{urn:fields}queryResourcesRequestUnused", "{urn:fields}zone"]),
    ],
)  # fmt: skip
async def test_the_fields_have_the_names_order_and_namespace_of_the_settings(
    said: dict[str, Any], tags: list[str]
) -> None:
    assert (await send(said))[0] == tags


async def test_the_action_is_a_setting() -> None:
    _, _, action = await send({"soap_action": "urn:{operation}"})
    assert action == '"urn:QueryResources"'


async def test_two_zones_with_always_equal_answers_are_noticed() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        different = b"<a:ZoneId>" in await request.read()
        return web.Response(body=counts(sip=63) if different else counts())

    async with platform(answer) as url:
        for zone_field, is_noticed in (("zone", True), ("ZoneId", False)):
            async with connected(url, zone_field=zone_field) as source:
                for _ in range(12):
                    await source.query("East", make_policy(("sip",)))
                    snapshot = await source.query("West", make_policy(("sip",), source_zone="W"))
            found = [one for one in snapshot.warnings if "always have equal counts" in one]
            assert bool(found) is is_noticed


async def test_a_fault_of_more_than_the_bound_is_cut_and_not_lost() -> None:
    trace = fault(7, "no such zone").replace(
        b"</soapenv:Fault>", b"<x>" + b"at a.b.C " * 40_000 + b"</x></soapenv:Fault>"
    )
    async with platform(fixed(trace, status=500)) as url, connected(url) as source:
        with pytest.raises(SoapFault, match="fault 7: no such zone"):
            await source.query("East", make_policy(("sip",)))
