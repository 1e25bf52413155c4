"""Whatever is sent wrongly: a clear problem, never a 500, and the decider is not asked."""

import io
import json
from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from admission.errors import Invalid
from admission.http.app import create_app
from admission.http.parsing import (
    BATCH_FIELDS_MAX,
    BODY_BYTES_MAX,
    FIELDS_MAX,
    OBJECT_FIELDS_MAX,
    SNAPSHOT_FIELDS_MAX,
    parse,
)
from admission.http.problems import ERRORS_MAX
from admission.http.schemas.requests import AdmissionRequest, PushedSnapshot
from tests.support.http_server import ASK, ID, NOW, FakeDecider, Server, problem, serving

ASKS = "/v1/admissions"
LAUNCHED, RENEW, END = (f"/v1/reservations/{ID}/{verb}" for verb in ("launched", "renew", "end"))
SNAPSHOT = "/v1/zones/East/snapshot"
BODIES = [
    ("POST", ASKS),
    ("POST", ASKS + "/batch"),
    ("POST", LAUNCHED),
    ("POST", RENEW),
    ("POST", END),
    ("POST", "/v1/reservations/batch"),
    ("PUT", SNAPSHOT),
]
JSON = {"Content-Type": "application/json"}
GOOD = {"taken_at": NOW, "total": 1, "unused": {"sip": 1}}


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"campaign=collections",
        b"\xff\xfe{\x00}\x00",
        b'{"campaign":"\xff"}',
        b'{"x":"\\ud800"}',
        b'{"x":NaN}',
        b'{"x":-Infinity}',
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"[" * 100_000,
        b'{"x":' * 5000 + b"1" + b"}" * 5000,
        b'{"x":1' + b"0" * 6000 + b"}",
    ],
)
async def test_a_body_that_is_not_json_is_refused(
    http: ClientSession, decider: FakeDecider, method: str, path: str, body: bytes
) -> None:
    async with http.request(method, path, data=body, headers=JSON) as answer:
        await problem(answer, 400, decider)


@pytest.mark.parametrize(
    ("method", "path"), [one for one in BODIES if one[1] not in (LAUNCHED, RENEW, END)]
)
async def test_a_missing_body_is_refused(
    http: ClientSession, decider: FakeDecider, method: str, path: str
) -> None:
    async with http.request(method, path) as answer:
        await problem(answer, 400, decider)


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize("body", ["[]", "null", "7", '"x"', "true"])
async def test_json_that_is_no_object(
    http: ClientSession, decider: FakeDecider, method: str, path: str, body: str
) -> None:
    async with http.request(method, path, data=body, headers=JSON) as answer:
        found = await problem(answer, 422, decider)
    assert found["errors"][0]["field"] == "body"


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_an_unknown_field(
    http: ClientSession, decider: FakeDecider, method: str, path: str
) -> None:
    async with http.request(method, path, json={"surprise": 1}) as answer:
        found = await problem(answer, 422, decider)
    assert {"field": "surprise", "message": "There is no such field"} in found["errors"]


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "nonsense"},
        {"Content-Type": ""},
    ],
)
async def test_another_content_type(
    http: ClientSession, decider: FakeDecider, method: str, path: str, headers: dict[str, str]
) -> None:
    async with http.request(method, path, data=b"{}", headers=headers) as answer:
        await problem(answer, 415, decider)


async def test_json_with_its_charset_is_accepted(http: ClientSession) -> None:
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    async with http.post(ASKS, data=json.dumps(ASK), headers=headers) as answer:
        assert answer.status == 200


async def test_a_compressed_body(http: ClientSession, decider: FakeDecider) -> None:
    async with http.post(ASKS, json=ASK, compress="gzip") as answer:
        await problem(answer, 415, decider)


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_a_huge_body(
    http: ClientSession, decider: FakeDecider, method: str, path: str
) -> None:
    body = io.BytesIO(b" " * (BODY_BYTES_MAX + 1))
    async with http.request(method, path, data=body, headers=JSON) as answer:
        await problem(answer, 413, decider)


async def test_a_huge_body_in_chunks(http: ClientSession, decider: FakeDecider) -> None:
    async def chunks() -> Any:
        for _ in range(17):
            yield b" " * 65536

    async with http.post(ASKS, data=chunks(), headers=JSON) as answer:
        await problem(answer, 413, decider)


async def test_a_body_of_the_largest_size_is_read(
    http: ClientSession, decider: FakeDecider
) -> None:
    body = json.dumps(ASK).encode()
    async with http.post(ASKS, data=body.ljust(BODY_BYTES_MAX), headers=JSON) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/reservations/{}/launched"),
        ("POST", "/v1/reservations/{}/renew"),
        ("POST", "/v1/reservations/{}/end"),
        ("GET", "/v1/reservations/{}"),
    ],
)
@pytest.mark.parametrize(
    "wrong",
    [
        "x", "East", "East~", "East~short", ID + "x", ID + ".0", ID + ".1000", "~x7Yk2mPq0aZ",
        "Nowhere~x7Yk2mPq0aZ", "Ea%7Est~x7Yk2mPq0aZ", ID + "%0A", "%00", "%ff", "..",
    ],
)  # fmt: skip
async def test_a_wrong_id(
    http: ClientSession, decider: FakeDecider, method: str, path: str, wrong: str
) -> None:
    async with http.request(method, URL(path.format(wrong), encoded=True)) as answer:
        await problem(answer, 404, decider)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/zones/Nowhere"),
        ("GET", "/v1/zones/Nowhere/time"),
        ("GET", "/v1/reservations?zone=Nowhere"),
    ],
)
async def test_an_unknown_zone(
    http: ClientSession, decider: FakeDecider, method: str, path: str
) -> None:
    async with http.request(method, path) as answer:
        await problem(answer, 404, decider)


async def test_an_ask_or_snapshot_for_an_unknown_zone(
    http: ClientSession, decider: FakeDecider
) -> None:
    async with http.post(ASKS, json={**ASK, "zone": "Nowhere"}) as answer:
        await problem(answer, 404, decider)
    async with http.put("/v1/zones/Nowhere/snapshot", json=GOOD) as answer:
        await problem(answer, 404, decider)


@pytest.mark.parametrize("path", ["/v1/reservations/batch", "/v1/admissions/batch"])
async def test_a_batch_is_not_a_reservation_to_be_looked_up(
    http: ClientSession, decider: FakeDecider, path: str
) -> None:
    async with http.get(path) as answer:
        await problem(answer, 405, decider)
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/admissions/", "/v2/admissions", "/r/x/listen", "/favicon.ico"]
)
async def test_an_unknown_path_is_not_found(
    http: ClientSession, decider: FakeDecider, path: str
) -> None:
    async with http.get(path) as answer:
        await problem(answer, 404, decider)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", ASKS, "POST"),
        ("DELETE", ASKS, "POST"),
        ("PUT", END, "POST"),
        ("POST", f"/v1/reservations/{ID}", "GET, HEAD"),
        ("POST", SNAPSHOT, "PUT"),
        ("OPTIONS", "/v1/zones", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
async def test_a_wrong_method(
    http: ClientSession, decider: FakeDecider, method: str, path: str, allowed: str
) -> None:
    async with http.request(method, path) as answer:
        await problem(answer, 405, decider)
        assert answer.headers["Allow"] == allowed


async def test_many_wrong_fields_make_a_short_problem(
    http: ClientSession, decider: FakeDecider
) -> None:
    async with http.post(ASKS, json={f"{n}-{'x' * 500}": n for n in range(1000)}) as answer:
        found = await problem(answer, 422, decider)
    assert len(found["errors"]) == 20
    assert max(len(one["field"]) for one in found["errors"]) == 100


async def test_the_input_is_not_echoed(http: ClientSession, decider: FakeDecider) -> None:
    async with http.post(ASKS, json={**ASK, "mpp": "<script>"}) as answer:
        found = await problem(answer, 422, decider)
    assert "<script>" not in json.dumps(found)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 400),
        (b"POST /v1/admissions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (
            b"POST /v1/admissions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
            400,
        ),
        (
            b"POST /v1/admissions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Expect: miracles\r\nContent-Length: 2\r\n\r\n{}",
            415,
        ),
    ],
)
async def test_malformed_http_is_refused(server: Server, request_: bytes, status: int) -> None:
    answer = await server.raw(request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()) or head.startswith(
        f"HTTP/1.0 {status} ".encode()
    )
    assert b"application/problem+json" in head
    assert b"X-Request-ID" in head
    assert json.loads(body)["status"] == status


async def test_a_continue_is_given_when_expected(server: Server) -> None:
    body = json.dumps(ASK).encode()
    answer = await server.raw(
        b"POST /v1/admissions HTTP/1.1\r\nHost: localhost\r\n"
        b"Connection: close\r\nExpect: 100-continue\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-One: 1\r\n" * 500 + b"\r\n",
    ],
)
async def test_headers_too_long_or_too_many_are_refused(server: Server, head: bytes) -> None:
    answer = await server.raw(head)
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b"application/problem+json" in answer


async def test_where_no_zone_is_the_default_one_must_be_named(decider: FakeDecider) -> None:
    unnamed = {key: value for key, value in ASK.items() if key != "zone"}
    async with serving(create_app(decider)) as server:
        async with server.http.post(ASKS, json=unnamed) as answer:
            found = await problem(answer, 422, decider)
        assert [one["field"] for one in found["errors"]] == ["zone"]
        async with server.http.post(ASKS, json={**unnamed, "zone": "East"}) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize(
    ("path", "status"), [("/nothing/here", 404), ("/healthz", 405), (ASKS, 415)]
)
async def test_a_compressed_body_is_never_inflated(
    http: ClientSession, decider: FakeDecider, encoding: str, path: str, status: int
) -> None:
    """A body that cannot be inflated is answered as any other: nothing tried to."""
    headers = JSON | {"Content-Encoding": encoding}
    async with http.post(path, data=b"not compressed", headers=headers) as answer:
        await problem(answer, status, decider)


TOO_MANY = 200_000


def nested(name: str, entry: str, n: int) -> bytes:
    entries = ",".join(f'"{i:x}":{entry}' for i in range(n))
    return f'{{"{name}":{{{entries}}}}}'.encode()


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_a_body_full_of_fields_is_refused_before_it_is_read(
    http: ClientSession, decider: FakeDecider, method: str, path: str
) -> None:
    body = b"{" + b",".join(b'"":0' for _ in range(TOO_MANY)) + b"}"
    async with http.request(method, path, data=body, headers=JSON) as answer:
        found = await problem(answer, 422, decider)
    bound = (
        BATCH_FIELDS_MAX
        if path.endswith("/batch")
        else SNAPSHOT_FIELDS_MAX
        if path == SNAPSHOT
        else OBJECT_FIELDS_MAX
    )
    assert found["errors"] == [{"field": "body", "message": f"Must have at most {bound} fields"}]


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    ("entry", "status"), [("[]", 400), ("{}", 400), ("0", 422), ('""', 422), ('"a"', 422)]
)
async def test_a_body_full_of_values_is_refused_before_it_is_read(
    http: ClientSession, decider: FakeDecider, method: str, path: str, entry: str, status: int
) -> None:
    """A million empty lists took 0.2 s of the event loop."""
    body = b'{"x":[' + b",".join([entry.encode()] * TOO_MANY) + b"]}"
    async with http.request(method, path, data=body, headers=JSON) as answer:
        found = await problem(answer, status, decider)
    if status == 400:
        assert "lists and objects" in found["detail"]
    else:
        assert found["errors"][0]["message"].endswith("values")


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (AdmissionRequest, nested("x", "0", 50_000)[5:-1]),
        (PushedSnapshot, nested("pools", "0", 50_000)),
        (PushedSnapshot, nested("unused", '""', 50_000)),
    ],
)
def test_no_more_errors_are_found_than_are_needed(model: type[Any], body: bytes) -> None:
    """Each error found takes its time, so their number is what is bounded."""
    with pytest.raises(Invalid) as caught:
        parse(model, body, FIELDS_MAX)
    assert ERRORS_MAX <= len(caught.value.errors) <= 500


async def test_a_wrong_entry_far_behind_is_found(http: ClientSession, decider: FakeDecider) -> None:
    unused = {f"c{n}": 1 for n in range(5_000)} | {"last": None}
    async with http.put(SNAPSHOT, json=GOOD | {"unused": unused}) as answer:
        found = await problem(answer, 422, decider)
    assert [one["field"] for one in found["errors"]] == ["unused.last"]
