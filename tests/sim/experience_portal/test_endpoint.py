"""The SOAP endpoints: credentials, launches that block and launches that do not, nonsense in."""

import asyncio
import hashlib
import re
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp import web

from admission.sim.experience_portal import auth
from admission.sim.experience_portal.contract import CURRENT_PATH, LEGACY_PATH, NAMESPACE
from admission.sim.experience_portal.soap import CONTENT_TYPES, ENVELOPES
from tests.support.experience_portal import (
    BASIC,
    Caller,
    Calling,
    envelope,
    exactly,
    quick,
    system,
    timing,
)

WRONG = "Basic d3Jvbmc6d3Jvbmc="


def session_of(text: str) -> str:
    return text.partition("sessionID_returned>")[2].partition("<")[0]


async def test_the_counts_are_answered(caller: Caller) -> None:
    status, text = await caller.soap("QueryResources", queryResourcesRequestUnused=0)
    assert status == 200
    assert "<ns1:totalRes_returned>3</ns1:totalRes_returned>" in text
    assert "<ns1:unusedSIP_returned>2</ns1:unusedSIP_returned>" in text
    assert "<ns1:unusedH323_returned>1</ns1:unusedH323_returned>" in text


async def test_the_zone_field_has_the_name_of_the_settings(calling: Calling) -> None:
    async with calling(quick(zone_field="zoneName")) as caller:
        assert (await caller.soap("QueryResources", zoneName="Nowhere"))[0] == 500
        status, body = await caller.soap("QueryResources", zone="Nowhere")
        assert (status, "Unexpected subelement zone" in body) == (500, True)


@pytest.mark.parametrize("credentials", [None, WRONG, "Basic ???", "Bearer x"])
async def test_basic_asks_for_the_right_user(caller: Caller, credentials: str | None) -> None:
    headers = {"Authorization": credentials} if credentials else {}
    url = caller.url + CURRENT_PATH
    async with caller.session.post(url, data=envelope("GetStatus"), headers=headers) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize(("password", "status"), [("dialer", 200), ("wrong", 401)])
async def test_digest_asks_for_the_right_user(
    calling: Calling, algorithm: str, password: str, status: int
) -> None:
    digest = aiohttp.DigestAuthMiddleware("dialer", password)
    async with calling(quick(digest_algorithm=algorithm)) as caller:
        answer = await caller.session.post(
            caller.url + LEGACY_PATH,
            data=envelope("QueryResources"),
            headers={"SOAPAction": '" "'},
            middlewares=(digest,),
        )
        assert answer.status == status


def digest(challenge: str, *, mark: str = "", uri: str = LEGACY_PATH) -> str:
    """What a client that knows the password answers to a challenge (RFC 7616, MD5)."""
    said = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    second, dot, signed = said["nonce"].partition(".")
    nonce = second + dot + (mark or signed)

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    first = md5(f"dialer:{said['realm']}:dialer")
    response = md5(f"{first}:{nonce}:00000001:c:auth:{md5(f'POST:{uri}')}")
    return (
        f'Digest username="dialer", realm="{said["realm"]}", nonce="{nonce}", uri="{uri}", '
        f'response="{response}", qop=auth, nc=00000001, cnonce="c"'
    )


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, 200), ({"mark": "00"}, 401), ({"uri": "/other"}, 401)],
    ids=["right", "a forged nonce", "another path"],
)
async def test_a_digest_counts_for_its_challenge_and_path_alone(
    caller: Caller, changes: dict[str, str], status: int
) -> None:
    url = caller.url + LEGACY_PATH
    async with caller.session.post(url) as refused:
        challenge = refused.headers["WWW-Authenticate"]
    headers = {"Authorization": digest(challenge, **changes), "SOAPAction": '" "'}
    async with caller.session.post(url, data=envelope("GetStatus"), headers=headers) as answer:
        assert answer.status == status


async def test_a_nonce_expires(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "NONCE_LIFE_S", -1)
    url = caller.url + LEGACY_PATH
    async with caller.session.post(url) as refused:
        challenge = refused.headers["WWW-Authenticate"]
    async with caller.session.post(url, headers={"Authorization": digest(challenge)}) as answer:
        assert answer.status == 401


async def test_no_credentials_are_needed_when_switched_off(calling: Calling) -> None:
    async with calling(quick(current_auth="none")) as caller:
        url = caller.url + CURRENT_PATH
        async with caller.session.post(url, data=envelope("GetStatus")) as answer:
            assert answer.status == 200


async def test_the_legacy_path_insists_on_a_soap_action(calling: Calling) -> None:
    async with calling(quick(legacy_auth="none")) as caller:
        url = caller.url + LEGACY_PATH
        async with caller.session.post(url, data=envelope("GetStatus")) as answer:
            assert answer.status == 500
            assert "SOAPAction" in await answer.text()


def in_version(version: str, text: str) -> bytes:
    """An envelope of that version whose comment and text name the namespace of another."""
    return (
        f'<!-- {text} --><e:Envelope xmlns:e="{ENVELOPES[version]}" xmlns:other="{text}"><e:Body>'
        f'<v:GetStatusRequest xmlns:v="{NAMESPACE}"><v:GetStatusRequestUnused>{text}'
        "</v:GetStatusRequestUnused></v:GetStatusRequest></e:Body></e:Envelope>"
    ).encode()


@pytest.mark.parametrize(("version", "other"), [("1.1", "1.2"), ("1.2", "1.1")])
async def test_the_envelopes_own_namespace_decides_the_version_of_the_answer(
    caller: Caller, version: str, other: str
) -> None:
    body = in_version(version, ENVELOPES[other])
    headers = {"Authorization": BASIC}
    async with caller.session.post(caller.url + CURRENT_PATH, data=body, headers=headers) as answer:
        root = ElementTree.fromstring(await answer.read())
        assert root.tag == f"{{{ENVELOPES[version]}}}Envelope"
        assert answer.content_type == CONTENT_TYPES[version]


@pytest.mark.parametrize("encoding", ["nope", "hex"])
async def test_an_encoding_that_does_not_exist_is_a_fault(caller: Caller, encoding: str) -> None:
    body = f'<?xml version="1.0" encoding="{encoding}"?><a/>'.encode()
    headers = {"Authorization": BASIC}
    async with caller.session.post(caller.url + CURRENT_PATH, data=body, headers=headers) as answer:
        assert (answer.status, "is not XML" in await answer.text()) == (500, True)


async def test_a_body_that_is_too_large_is_refused(caller: Caller) -> None:
    status, _ = await caller.soap("LaunchVXML", parameters="x" * 70_000)
    assert status == 413


async def test_launch_vxml_answers_when_the_call_is_connected_and_not_before(
    calling: Calling,
) -> None:
    calls = timing(prepare=exactly(5), answer_after=exactly(100), talk=exactly(600_000))
    async with calling(quick(system=system(calls=calls))) as caller:
        launch = asyncio.create_task(
            caller.soap("LaunchVXML", toURI="tel:1", applicationName="ivr")
        )
        taken = (await caller.control("GET", "/sim/events?wait_ms=5000"))["events"][0]
        rings = not launch.done()
        _, text = await launch
        state = await caller.control("GET", f"/sim/sessions/{taken['session']}")
    assert taken["state"] == "port_taken"
    assert rings
    assert session_of(text) == taken["session"]
    assert state["state"] == "answered"


@pytest.mark.parametrize(
    ("calls", "code", "what"),
    [
        (timing(prepare=exactly(0), answered=0.0, ring_at_most_ms=10), 2, "no_answer"),
        (timing(prepare=exactly(0), page_fails=1.0), 3, "failed"),
    ],
)
async def test_launch_vxml_gives_the_reason_of_a_failed_call(
    calling: Calling, calls: object, code: int, what: str
) -> None:
    async with calling(quick(system=system(calls=calls))) as caller:  # type: ignore[arg-type]
        status, text = await caller.soap("LaunchVXML", toURI="tel:1", applicationName="ivr")
    assert status == 500
    assert f"<ns1:returnCode>{code}</ns1:returnCode>" in text
    assert what in text


async def test_launch_ccxml_succeeds_early_and_its_call_fails_later(calling: Calling) -> None:
    settings = quick(
        system=system({"mpp1": {"sip": 0}}, calls=timing(prepare=exactly(150))),
        ccxml_answers=exactly(0),
    )
    async with calling(settings) as caller:
        status, text = await caller.soap("LaunchCCXML", applicationName="ivr")
        early = await caller.control("GET", f"/sim/sessions/{session_of(text)}")
        path = f"/sim/sessions/{session_of(text)}?since={early['seq']}&wait_ms=5000"
        later = await caller.control("GET", path)
    assert (status, early["state"]) == (200, "launched")
    assert (later["state"], later["outcome"]) == ("ended", "no_resource")


@pytest.mark.parametrize(
    ("uri", "parameters", "channel"),
    [
        ("tel:1", "", "h323"),
        ("tel:1", "suggest_sip=true", "sip"),
        ("sip:a@b", "", "sip"),
        ("sips:a@b", "", "sip"),
    ],
)
async def test_the_address_and_the_hint_choose_the_channel(
    caller: Caller, uri: str, parameters: str, channel: str
) -> None:
    _, text = await caller.soap(
        "LaunchVXML", toURI=uri, applicationName="ivr", parameters=parameters
    )
    state = await caller.control("GET", f"/sim/sessions/{session_of(text)}")
    assert state["channel"] == channel


@pytest.mark.parametrize("application", ["East:ivr", "ivr"])
async def test_an_application_may_carry_its_zone(caller: Caller, application: str) -> None:
    _, text = await caller.soap(
        "LaunchVXML", toURI="tel:1", applicationName=application, parameters="campaign=c1"
    )
    state = await caller.control("GET", f"/sim/sessions/{session_of(text)}")
    assert (state["zone"], state["application"], state["campaign"]) == ("East", "ivr", "c1")


@pytest.mark.parametrize(
    "fields",
    [
        {"applicationName": "Nowhere:ivr", "toURI": "tel:1"},
        {"applicationName": "", "toURI": "tel:1"},
        {"applicationName": "ivr", "toURI": ""},
        {"applicationName": "ivr", "toURI": "mailto:a@b"},
    ],
)
async def test_a_launch_that_makes_no_sense_is_a_fault_and_no_launch(
    caller: Caller, fields: dict[str, str]
) -> None:
    status, text = await caller.soap("LaunchVXML", **fields)
    assert (status, "LaunchVXMLFault" in text) == (500, True)
    assert (await caller.control("GET", "/sim/truth"))["launches"] == 0


async def test_an_event_to_the_page_hangs_up(caller: Caller) -> None:
    _, text = await caller.soap("LaunchVXML", toURI="tel:1", applicationName="ivr")
    session = session_of(text)
    status, _ = await caller.soap("SendCCXMLEvent", sessionID=session, eventName="sim.hangup")
    state = await caller.control("GET", f"/sim/sessions/{session}")
    again, _ = await caller.soap("SendCCXMLEvent", sessionID=session, eventName="sim.hangup")
    assert (status, state["outcome"], again) == (200, "completed", 500)


async def test_the_page_reports_to_its_report_url(caller: Caller) -> None:
    reports: asyncio.Queue[tuple[str, dict[str, str]]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        reports.put_nowait((request.path, dict((await request.post()).items())))  # type: ignore[arg-type]
        return web.Response()

    app = web.Application()
    app.router.add_post("/r/token/{verb}", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/r/token"
    try:
        _, text = await caller.soap(
            "LaunchCCXML", applicationName="ivr", parameters=f"report_url={url}"
        )
        session = session_of(text)
        taken = await asyncio.wait_for(reports.get(), 5)
        await caller.control("DELETE", f"/sim/sessions/{session}")
        ended = await asyncio.wait_for(reports.get(), 5)
    finally:
        await runner.cleanup()
    assert taken == ("/r/token/launched", {"port_taken": "true", "session_id": session})
    assert ended[0] == "/r/token/end"
    assert ended[1]["outcome"] in ("completed", "abandoned")
