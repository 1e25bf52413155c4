"""Requests that a page of another origin, or of another name, makes a browser send."""

import re
from typing import Final

import pytest
from aiohttp import ClientSession

from admission.http.app import create_app
from admission.http.auth.tokens import Credentials
from admission.http.routes import routes
from tests.http.auth.test_permissions import TOKENS
from tests.support.http_server import FakeDecider, Server, problem, serving

PUBLIC: Final = "https://dial.example.com/adm/"
EXAMPLES: Final = {"{zone}": "East", "{pool}": "campaign:a", "{id}": "East~AAAAAAAAAAA"}
ALL: Final = [(one.method, one.path) for one in routes()]
CHANGES: Final = [one for one in ALL if one[0] != "GET"]
PAUSE: Final = "/v1/zones/East/pause"


def path_of(template: str) -> str:
    return re.sub(r"\{\w+\}", lambda name: EXAMPLES.get(name[0], "1"), template)


def test_there_are_routes_that_change_something() -> None:
    assert len(CHANGES) >= 10


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[nonsense"},
        {"Origin": ""},
    ],
)
async def test_a_page_of_another_origin_changes_nothing(
    http: ClientSession, decider: FakeDecider, method: str, path: str, headers: dict[str, str]
) -> None:
    async with http.request(method, path_of(path), json={}, headers=headers) as answer:
        await problem(answer, 403, decider)


async def test_nor_does_it_where_tokens_are_configured(decider: FakeDecider) -> None:
    headers = {"Authorization": "Bearer operator", "Origin": "http://evil.example"}
    async with (
        serving(create_app(decider, credentials=Credentials(TOKENS))) as server,
        server.http.post(PAUSE, headers=headers) as answer,
    ):
        await problem(answer, 403, decider)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "https://dial.example.com"},
        {"Origin": "https://dial.example.com", "Sec-Fetch-Site": "cross-site"},
        # A proxy may give another Host to the request of its own page.
        {"Origin": "https://proxy.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_the_own_page_and_other_programs_may(
    decider: FakeDecider, headers: dict[str, str]
) -> None:
    async with serving(create_app(decider, public_url=PUBLIC)) as server:
        given = {name: value.format(port=server.port) for name, value in headers.items()}
        async with server.http.post(PAUSE, headers=given) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(("method", "path"), [*ALL, ("GET", "/nothing/here")])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil", "[", "a b"]
)
async def test_without_tokens_a_foreign_name_reaches_nothing(
    server: Server, decider: FakeDecider, method: str, path: str, host: str
) -> None:
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    async with server.http.request(method, path_of(path), headers=headers) as answer:
        await problem(answer, 403, decider)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:80", "a.localhost", "localhost.", "127.0.0.1", "[::1]:8080",
     "10.1.2.3", "dial.example.com", "Dial.example.com:443", "admission.internal"],
)  # fmt: skip
async def test_without_tokens_its_own_names_do(decider: FakeDecider, host: str) -> None:
    names = frozenset({"admission.internal"})
    app = create_app(decider, public_url=PUBLIC, host_names=names)
    async with (
        serving(app) as server,
        server.http.post(PAUSE, headers={"Host": host}) as answer,
    ):
        assert answer.status == 200


async def test_with_tokens_any_name_does(decider: FakeDecider) -> None:
    headers = {"Authorization": "Bearer operator", "Host": "admission.example"}
    async with (
        serving(create_app(decider, credentials=Credentials(TOKENS))) as server,
        server.http.post(PAUSE, headers=headers) as answer,
    ):
        assert answer.status == 200
