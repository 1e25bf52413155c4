"""What every answer has: a request id, no trace of what broke, a count."""

import logging
import re

import pytest
from aiohttp import ClientSession

from tests.support.http_server import ASK, FakeDecider, Server


@pytest.mark.parametrize("given", ["a", "call-1234:5", "6f1d/x+y=", "a" * 128])
async def test_a_valid_request_id_is_returned(http: ClientSession, given: str) -> None:
    async with http.get("/healthz", headers={"X-Request-ID": given}) as answer:
        assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "é", "a" * 129, "<b>", '"', "-a"])
async def test_an_invalid_request_id_is_replaced(http: ClientSession, given: str) -> None:
    async with http.get("/healthz", headers={"X-Request-ID": given}) as answer:
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/docs", "/openapi.json", "/nothing"])
async def test_every_answer_has_a_request_id(http: ClientSession, path: str) -> None:
    async with http.get(path) as first, http.get(path) as second:
        assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


async def test_no_header_discloses_the_server_software(http: ClientSession) -> None:
    async with http.get("/healthz") as answer:
        assert answer.headers["Server"] == "admission"


async def test_an_unexpected_fault_is_in_the_log_and_not_in_the_answer(
    http: ClientSession, decider: FakeDecider, caplog: pytest.LogCaptureFixture
) -> None:
    decider.fault = RuntimeError("the secret is 42")
    headers = {"X-Request-ID": "call-7", "Accept": "text/html"}
    with caplog.at_level(logging.ERROR):
        async with http.post("/v1/admissions", json=ASK, headers=headers) as answer:
            body = await answer.text()
    assert answer.status == 500
    assert answer.content_type == "application/problem+json"
    assert "42" not in body
    assert "Traceback" not in body
    assert "call-7" in body
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "call-7" in record.getMessage()
    assert record.exc_info is not None
    assert "42" in str(record.exc_info[1])


async def test_an_unexpected_fault_in_a_batch_is_in_the_log_only(
    http: ClientSession, decider: FakeDecider, caplog: pytest.LogCaptureFixture
) -> None:
    decider.fault = RuntimeError("the secret is 42")
    headers, asks = {"X-Request-ID": "call-7"}, {"requests": [ASK]}
    async with http.post("/v1/admissions/batch", json=asks, headers=headers) as answer:
        body = await answer.text()
    assert answer.status == 200
    assert "42" not in body
    assert '"status":500' in body


async def test_every_answer_is_counted_by_its_route(server: Server) -> None:
    for path in ("/v1/zones/East", "/v1/zones/West", "/v1/zones/Nowhere", "/nothing/7"):
        async with server.http.get(path):
            pass
    async with server.http.get("/metrics") as answer:
        text = await answer.text()
    assert 'admission_http_requests_total{route="/v1/zones/{zone}",status="200"} 2.0' in text
    assert 'admission_http_requests_total{route="/v1/zones/{zone}",status="404"} 1.0' in text
    assert 'admission_http_requests_total{route="none",status="404"} 1.0' in text
