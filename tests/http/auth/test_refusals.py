"""Requests without valid credentials leave a trace: counted, and logged at a bounded rate."""

import logging

import pytest

from admission.domain.types import Role
from admission.http.app import create_app
from admission.http.auth.tokens import Credentials
from tests.support.http_server import FakeDecider, serving
from tests.support.tokens import bearer, token


async def test_refused_tokens_are_counted_and_logged_once(
    decider: FakeDecider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "admission.http")
    credentials = Credentials([token("operator", Role.OPERATOR)])
    async with serving(create_app(decider, credentials=credentials, metrics_public=True)) as server:
        for guess in ("guess-1", "guess-2", "guess-3"):
            async with server.http.get("/v1/zones", headers=bearer(guess)) as answer:
                assert answer.status == 401
        async with server.http.get("/metrics") as answer:
            text = await answer.text()
    assert 'admission_http_requests_total{route="/v1/zones",status="401"} 3.0' in text
    (line,) = caplog.messages
    assert line == "refused GET /v1/zones of 127.0.0.1: The token is unknown."


async def test_a_sign_in_form_is_no_secret_attempt(
    decider: FakeDecider, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = Credentials([token("operator", Role.OPERATOR)])
    async with (
        serving(create_app(decider, credentials=credentials)) as server,
        server.http.get("/", headers={"Accept": "text/html"} | bearer("guess")) as answer,
    ):
        assert answer.status == 401
    assert "refused GET /" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "name", "line"),
    [
        ("POST", "/v1/zones/East/pause", "ann", "pause East by ann"),
        ("POST", "/v1/zones/East/pools/campaign:a/resume", "ann", "resume East campaign:a by ann"),
        ("PUT", "/v1/zones/East/pools/campaign:a/limit", "ann", "limit East campaign:a by ann"),
        ("PUT", "/v1/zones/East/policy", "ann", "policy East by ann"),
        ("POST", "/v1/reservations/East~AAAAAAAAAAA/end", "ann", "end East~AAAAAAAAAAA by ann"),
        ("POST", "/v1/reservations/East~AAAAAAAAAAA/end", "dialer", None),
        ("GET", "/v1/zones/East/policy", "ann", None),
    ],
)
async def test_changes_by_operators_are_logged(
    decider: FakeDecider,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    name: str,
    line: str | None,
) -> None:
    caplog.set_level(logging.INFO, "admission.audit")
    credentials = Credentials([token("ann", Role.OPERATOR), token("dialer", Role.DIALER)])
    body = {"limit": 1, "ttl_ms": 1} if path.endswith("limit") else {}
    async with (
        serving(create_app(decider, credentials=credentials)) as server,
        server.http.request(method, path, json=body, headers=bearer(name)) as answer,
    ):
        assert answer.status == 200
    found = [one.getMessage() for one in caplog.records if one.name == "admission.audit"]
    assert found == ([line] if line else [])
