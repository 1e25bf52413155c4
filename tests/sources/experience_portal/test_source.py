"""What the source sends, and what it makes of good answers."""

import base64
from typing import Any

import pytest
from aiohttp import web

from admission.domain.snapshots import Snapshot, SnapshotGroup
from admission.errors import SourceError
from admission.sources.experience_portal.soap_client import SoapClient
from tests.support.envelopes import counts, envelope
from tests.support.polling import make_policy
from tests.support.scripted_platform import BOTH, asked, connected, fixed, platform, settings

# -- good answers


async def test_an_answer_becomes_one_group_of_both_channels() -> None:
    async with platform(fixed(counts())) as url:
        snapshot = await asked(url)

    unused = {"channel:sip": 64, "channel:h323": 10}
    assert snapshot == Snapshot(groups=(SnapshotGroup(total=200, unused=unused),))


async def test_a_channel_that_the_zone_does_not_list_is_in_the_total_only() -> None:
    async with platform(fixed(counts(h323="n/a"))) as url:
        snapshot = await asked(url, ("sip", "video"))

    assert snapshot.groups == (SnapshotGroup(total=200, unused={"channel:sip": 64}),)


async def test_a_zone_of_other_channels_is_the_operators_mistake() -> None:
    async with connected("http://127.0.0.1:9/") as source:
        with pytest.raises(SourceError, match="this platform counts sip and h323"):
            await source.query("East", make_policy(("voice",)))


async def test_impossible_counts_are_passed_on_for_the_ledger_to_refuse() -> None:
    async with platform(fixed(counts(-1, 4294967295, " 3 "))) as url:
        snapshot = await asked(url)

    unused = {"channel:sip": 4294967295, "channel:h323": 3}
    assert snapshot.groups == (SnapshotGroup(total=-1, unused=unused),)


# -- what is sent


@pytest.mark.parametrize(
    ("flavor", "zone", "action", "in_body"),
    [
        ("axis2", "East & <West>", '""', True),
        ("axis2", "", '""', False),
        ("axis1", "East", '" "', False),
    ],
)
async def test_the_zone_is_sent_in_the_field_of_the_flavor(
    flavor: str, zone: str, action: str, in_body: bool
) -> None:
    received: list[tuple[str, str | None]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        received.append((await request.text(), request.headers.get("SOAPAction")))
        return web.Response(body=counts())

    async with platform(answer) as url, connected(url, flavor=flavor, auth="basic") as source:
        await source.query("East", make_policy(BOTH, source_zone=zone))

    [(body, said)] = received
    assert said == action
    assert "<a:queryResourcesRequestUnused>0</a:queryResourcesRequestUnused>" in body
    assert ("<a:zone>East &amp; &lt;West&gt;</a:zone>" in body) is in_body
    assert ("zone>" in body) is in_body


async def test_basic_credentials_are_sent_at_once_over_one_connection() -> None:
    received: list[tuple[str, Any]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport
        peer = request.transport.get_extra_info("peername")
        assert "Cookie" not in request.headers
        received.append((request.headers["Authorization"], peer))
        return web.Response(body=counts(), headers={"Set-Cookie": "a=b"})

    async with platform(answer) as url, connected(url, password="pä:ss") as source:
        await source.query("East", make_policy(BOTH))
        await source.query("East", make_policy(BOTH))

    [(first, peer), (second, same_peer)] = received
    assert base64.b64decode(first.removeprefix("Basic ")).decode() == "outcall:pä:ss"
    assert (second, same_peer) == (first, peer)


async def test_soap_1_2_is_a_setting() -> None:
    received: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        received.append(request.headers["Content-Type"])
        assert "SOAPAction" not in request.headers
        return web.Response(body=counts())

    async with platform(answer) as url:
        await asked(url, soap_version="1.2", soap_action="urn:{operation}")

    assert received == ['application/soap+xml; charset=utf-8; action="urn:QueryResources"']


async def test_the_client_performs_other_operations_with_their_own_time_out() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert "<a:sessionID>x</a:sessionID>" in await request.text()
        return web.Response(
            body=envelope("<SendCCXMLEventResponse><retCode>0</retCode></SendCCXMLEventResponse>")
        )

    async with platform(answer) as url:
        client = SoapClient(settings(url, timeout_ms=10))
        fields = {"sessionID": "x", "eventName": "hangup"}
        answered = await client.call("SendCCXMLEvent", fields, timeout_ms=20_000)
        await client.close()

    assert answered == {"retCode": "0"}
