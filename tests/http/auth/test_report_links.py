"""`report_url`: its holder reports on that one reservation, and can do nothing else."""

import hashlib
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from admission.domain.types import Role, SigningKeys
from admission.http.app import create_app
from admission.http.auth.report_links import ReportLinks, make_token
from admission.http.auth.tokens import Credentials, Token
from admission.http.auth.zone_keys import ZoneKeys
from admission.http.context import APP_CONTEXT
from admission.http.handlers import reports
from admission.telemetry import RareLog
from tests.support.http_server import ASK, ID, FakeDecider, Server, problem, serving

SECRET = b"secret of East"
PATH = f"/r/{make_token(SECRET, ID, 'collections')}"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def link(http: ClientSession, **headers: str) -> str:
    """The report_url of a grant."""
    async with http.post("/v1/admissions", json=ASK, headers=headers) as answer:
        return str((await answer.json())["reservations"][0]["report_url"])


async def reported(decider: FakeDecider) -> dict[str, Any]:
    """The one report that came through."""
    (call,) = (one for one in decider.calls if one[0] == "report")
    assert call[1] == "East"
    return dict(call[2])


async def test_a_grant_has_a_link_that_ends_it(server: Server, decider: FakeDecider) -> None:
    url = await link(server.http)
    assert url.startswith(f"http://127.0.0.1:{server.port}/r/")
    async with server.http.post(f"{url}/end", json={"outcome": "busy"}) as answer:
        assert answer.status == 200
    report = await reported(decider)
    granted = next(op for verb, _, op in decider.calls if verb == "admit")
    assert report == {
        "op": "end", "id": f"East~{granted['id']}", "scope": ["collections"], "outcome": "busy",
    }  # fmt: skip


async def test_a_link_contains_the_configured_public_address(decider: FakeDecider) -> None:
    app = create_app(decider, default_zone="East", public_url="https://dial.example.com/adm/")
    async with serving(app) as server:
        assert (await link(server.http)).startswith("https://dial.example.com/adm/r/")


@pytest.mark.parametrize(
    ("host", "shown"),
    [("dial.example.com", "dial.example.com"), ("[::1]:80", "[::1]:80"), ('x"><b>', None)],
)
async def test_a_link_contains_the_requested_address_by_default(
    decider: FakeDecider, host: str, shown: str | None
) -> None:
    """Any name that clients use, where they have tokens."""
    sha256 = hashlib.sha256(b"secret").hexdigest()
    credentials = Credentials([Token(name="a", sha256=sha256, role=Role.DIALER)])
    async with serving(create_app(decider, default_zone="East", credentials=credentials)) as server:
        url = await link(server.http, Host=host, Authorization="Bearer secret")
        assert urlsplit(url).netloc == (shown or f"127.0.0.1:{server.port}")


async def test_a_request_without_host_gets_the_address_it_came_to(server: Server) -> None:
    body = json.dumps(ASK)
    typed = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    answer = await server.raw(f"POST /v1/admissions HTTP/1.0\r\n{typed}\r\n\r\n{body}".encode())
    assert f"http://127.0.0.1:{server.port}/r/".encode() in answer


async def test_every_reservation_of_a_batch_has_a_link(server: Server) -> None:
    async with server.http.post("/v1/admissions/batch", json={"requests": [ASK, ASK]}) as answer:
        results = (await answer.json())["results"]
    assert len({one["reservations"][0]["report_url"] for one in results}) == 2


@pytest.mark.parametrize(
    ("verb", "body", "fields"),
    [
        ("launched", "port_taken=true&session_id=s-1&mpp=mpp1",
         {"port_taken": True, "session": "s-1", "mpp": "mpp1"}),
        ("launched", "port_taken=false&session_id=", {"port_taken": False}),
        ("renew", "", {}),
        ("end", "outcome=no_answer&ended_at=1790000042000",
         {"outcome": "no_answer", "ended_at": 1_790_000_042_000}),
        ("end", "platform_code=34606", {"outcome": "no_resource"}),
        ("end", "", {"outcome": "completed"}),
        ("end", "colour=red&outcome=busy&colour=blue&x%1b=%00", {"outcome": "busy"}),
        ("renew", "session.sessionid=7&ANI=1", {}),
        ("launched", "ANI=1&port_taken=true&" + "&".join(f"v{n}=1" for n in range(900)),
         {"port_taken": True}),
        ("end", "outcome=No-Answer", {"outcome": "no_answer"}),
        ("end", "outcome=machine", {"outcome": "completed"}),
        ("end", "outcome=canceled", {"outcome": "unknown"}),
        ("end", "outcome=rejected", {"outcome": "failed"}),
    ],
)  # fmt: skip
async def test_forms_are_read_like_json(
    http: ClientSession, decider: FakeDecider, verb: str, body: str, fields: dict[str, Any]
) -> None:
    async with http.post(f"{PATH}/{verb}", data=body, headers=FORM) as answer:
        assert answer.status == 200
    wanted = {"op": verb, "id": ID, "scope": ["collections"]} | fields
    assert await reported(decider) == wanted


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        ("outcome=h%1bupf", FORM),
        ('{"outcome": "h\\u001bupf"}', {"Content-Type": "application/json"}),
    ],
)
async def test_an_unknown_outcome_ends_the_call_as_failed_with_a_warning(
    decider: FakeDecider,
    http: ClientSession,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    media_type: dict[str, str],
) -> None:
    monkeypatch.setattr(reports, "_unknown_outcomes", RareLog(reports.log))
    async with http.post(f"{PATH}/end", data=body, headers=media_type) as answer:
        assert answer.status == 200
    async with http.post(f"{PATH}/end", data=body, headers=media_type) as answer:
        assert answer.status == 200
    assert {op["outcome"] for verb, _, op in decider.calls if verb == "report"} == {"failed"}
    (line,) = [one for one in caplog.messages if "outcome" in one]  # one of two
    assert line == r"report_url: unknown outcome 'h\x1bupf' counts as failed"


@pytest.mark.parametrize(
    "body",
    ["ended_at=soon", "ended_at=-1", "port_taken=maybe", "outcome=busy&outcome=busy"],
)
async def test_a_wrong_form_is_refused(
    http: ClientSession, decider: FakeDecider, body: str
) -> None:
    verb = "launched" if body.startswith("port") else "end"
    async with http.post(f"{PATH}/{verb}", data=body, headers=FORM) as answer:
        await problem(answer, 422, decider)


@pytest.mark.parametrize("body", [b"outcome=%ff", b"\xff=1", b"&".join([b"a=1"] * 1_001)])
async def test_a_body_that_is_no_form_is_a_bad_request(
    http: ClientSession, decider: FakeDecider, body: bytes
) -> None:
    async with http.post(f"{PATH}/end", data=body, headers=FORM) as answer:
        await problem(answer, 400, decider)


async def test_other_media_types_are_refused(http: ClientSession, decider: FakeDecider) -> None:
    async with http.post(f"{PATH}/end", data="outcome=busy") as answer:
        await problem(answer, 415, decider)


@pytest.mark.parametrize(
    "token",
    [
        make_token(b"another secret", ID, "collections"),
        make_token(SECRET, ID, "collections").replace("collections", "sales"),
        make_token(SECRET, ID, "collections").replace(ID, f"{ID}.2"),
        make_token(SECRET, "West~x7Yk2mPq0aZ", "collections"),
        make_token(b"secret of Nowhere", "Nowhere~x7Yk2mPq0aZ", "collections"),
        make_token(SECRET, ID, "collections")[1:],
        ID,
        "%00",
        "x" * 5000,
    ],
)
async def test_a_forged_link_reaches_no_reservation(
    http: ClientSession, decider: FakeDecider, token: str
) -> None:
    async with http.post(f"/r/{token}/end") as answer:
        await problem(answer, 404, decider)


async def test_a_link_of_another_replica_is_valid_after_the_secret_was_replaced(
    decider: FakeDecider,
) -> None:
    known = {False: b"old", True: b"new"}

    async def get_keys(*, refresh: bool = False) -> SigningKeys:
        decider.secrets_asked.append(refresh)
        return SigningKeys(current=known[refresh])

    decider.zone("East").get_keys = get_keys  # type: ignore[method-assign]
    app = create_app(decider)
    app[APP_CONTEXT].report_links = ReportLinks(
        decider,
        keys=ZoneKeys(clock=lambda: 1000.0),  # no second goes by
    )
    async with serving(app) as server:
        path = f"/r/{make_token(b'new', ID, 'collections')}/end"
        async with server.http.post(path) as answer:
            assert answer.status == 200
        # Guessed links cause one request to Redis a second at most.
        async with server.http.post(path) as answer:
            assert answer.status == 404
    assert decider.secrets_asked == [False, True, False]


async def test_a_link_adopts_only_into_its_own_campaign(
    http: ClientSession, decider: FakeDecider
) -> None:
    restated = {"zone": "East", "channel": "sip", "campaign": "collections"}
    async with http.post(f"{PATH}/renew", json={"reservation": restated}) as answer:
        assert answer.status == 200
    async with http.post(
        f"{PATH}/renew", json={"reservation": restated | {"campaign": "sales"}}
    ) as answer:
        assert answer.status == 403
    assert (await reported(decider))["adopt"]["campaign"] == "collections"
