"""A stock SOAP client loads the WSDL of both paths and calls every operation."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import requests
import zeep
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

from admission.sim.experience_portal.app import serve_portal
from admission.sim.experience_portal.contract import CURRENT_PATH, LEGACY_PATH
from admission.sim.experience_portal.values import SystemSettings, build_even_zone
from tests.support.experience_portal import exactly, quick, timing

WAYS = {
    "axis1": (LEGACY_PATH, HTTPDigestAuth("dialer", "dialer"), None),
    "axis2": (CURRENT_PATH, HTTPBasicAuth("dialer", "dialer"), None),
    "axis2, SOAP 1.2": (
        CURRENT_PATH,
        HTTPBasicAuth("dialer", "dialer"),
        "VPAppIntfServiceSoap12",
    ),
}


async def with_zeep(url: str, way: str, deed: Callable[[Any], Any]) -> Any:
    """Run a deed with a client's service, in a thread: zeep blocks."""
    path, auth, port = WAYS[way]

    def work() -> Any:
        with requests.Session() as session:
            session.auth = auth
            session.trust_env = False
            transport = zeep.Transport(session=session, timeout=5, operation_timeout=5)
            with zeep.Client(f"{url}{path}?wsdl", transport=transport) as client:
                service = client.bind(port_name=port) if port else client.service
                return deed(service)

    return await asyncio.to_thread(work)


@pytest.mark.parametrize("way", WAYS)
async def test_every_operation_answers(way: str) -> None:
    def deed(service: Any) -> list[Any]:
        called = {"applicationName": "ivr", "applicationURL": "http://page/", "parameters": ""}
        vxml = service.LaunchVXML(toURI="tel:1", fromURI="tel:2", uuiInfo="", **called)
        ccxml = service.LaunchCCXML(toURI="tel:1", launchTimeout=10, **called)
        return [
            service.QueryResources(queryResourcesRequestUnused=0),
            vxml,
            ccxml,
            service.SendCCXMLEvent(
                sessionID=vxml.sessionID_returned, eventName="any", parameters=""
            ),
            service.GetStatus(GetStatusRequestUnused=0),
        ]

    async with serve_portal(quick()) as url:
        counts, vxml, ccxml, sent, status = await with_zeep(url, way, deed)
    assert counts.totalRes_returned == 3
    assert vxml.sessionID_returned != ccxml.sessionID_returned
    assert vxml.unusedSIP_returned + vxml.unusedH323_returned == 2
    assert sent == 0
    assert (status.iVXMLRequestsProcessed_returned, status.iTELRequestsProcessed_returned) == (1, 2)
    assert status.serviceStartedDateTime_returned <= status.lastRequestDateTime_returned


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_is_not_connected_is_a_fault_with_a_number(way: str) -> None:
    def deed(service: Any) -> zeep.exceptions.Fault:
        with pytest.raises(zeep.exceptions.Fault) as caught:
            service.LaunchVXML(toURI="tel:1", applicationName="ivr")
        return caught.value

    settings = quick(
        system=SystemSettings(zones=(build_even_zone("East", mpps=1, sip=0),), timing=timing())
    )
    async with serve_portal(settings) as url:
        fault = await with_zeep(url, way, deed)
    (detail,) = fault.detail
    assert detail.tag == "LaunchVXMLFault"
    assert [child.text for child in detail] == ["1", "the call was not connected: no_resource"]
    assert detail[0].tag == "{http://services.vp.avaya.com}returnCode"


async def test_the_zone_asked_for_is_the_zone_counted() -> None:
    zones = (build_even_zone("East", mpps=1, sip=5), build_even_zone("West", mpps=1, sip=7))
    settings = quick(
        system=SystemSettings(zones=zones, timing=timing(prepare=exactly(0)), lag_ms=0)
    )

    def deed(service: Any) -> list[int]:
        return [
            service.QueryResources(0).totalRes_returned,
            service.QueryResources(0, zone="West").totalRes_returned,
        ]

    async with serve_portal(settings) as url:
        assert await with_zeep(url, "axis2", deed) == [5, 7]


async def test_the_legacy_wsdl_has_no_zone_and_a_blank_action() -> None:
    def deed(service: Any) -> tuple[str, str]:
        operation = service._binding.get("QueryResources")
        return operation.soapaction, operation.input.signature()

    async with serve_portal(quick()) as url:
        action, signature = await with_zeep(url, "axis1", deed)
    assert action == " "
    assert "zone" not in signature
