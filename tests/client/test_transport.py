"""What the client makes of a service, a balancer or another server behind its URL."""

import asyncio
import time

import pytest

from admission.client import AdmissionClient
from admission.client.transport import Call, Transport
from admission.errors import ConfigError, Forbidden, TooFast, Unavailable
from tests.support.client_transport import FINE, LATER, connected


def call(patience_s: float = 60.0) -> Call:
    return Call(method="POST", path="/x", timeout_s=30, patience_s=patience_s, body={"a": 1})


async def test_a_request_is_repeated_until_the_service_decides():
    too_fast = (429, '{"retry_after_ms": 1}', {})
    page = (502, "<html>Bad gateway</html>", {"Retry-After": "0"})
    async with connected([LATER, too_fast, page, FINE]) as (transport, asked):
        assert (await transport.call(call())).body == {"now": 1}
    assert len(asked) == 4


async def test_a_request_waits_for_the_retry_time_or_fails_at_once():
    in_a_minute = (503, '{"detail": "the store", "retry_after_ms": 60000}', {})
    async with connected([in_a_minute]) as (transport, asked):
        with pytest.raises(Unavailable, match="the store") as fault:
            await transport.call(call(patience_s=10))
    assert (len(asked), fault.value.retry_after_s) == (1, 60)


async def test_without_patience_there_is_one_try():
    async with connected([LATER]) as (transport, asked):
        with pytest.raises(Unavailable):
            await transport.call(call(patience_s=0))
        assert len(asked) == 1
    async with connected([(429, "{}", {"Retry-After": "7"})]) as (transport, asked):
        with pytest.raises(TooFast) as fault:
            await transport.call(call(patience_s=0))
        assert fault.value.retry_after_s == 7


async def test_a_refused_request_is_not_repeated():
    async with connected([(403, '{"detail": "not this campaign"}', {})]) as (transport, asked):
        with pytest.raises(Forbidden, match="not this campaign"):
            await transport.call(call())
        assert len(asked) == 1


@pytest.mark.parametrize("text", ["<html>", "[]", "", "7"])
async def test_an_answer_of_another_form_is_no_decision(text: str):
    async with connected([(200, text, {})]) as (transport, _):
        with pytest.raises(Unavailable, match="does not talk like this service"):
            await transport.call(call(patience_s=0))


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_a_refusal_of_another_server_is_no_answer_of_the_service(status: int):
    async with connected([(status, "<html>not found</html>", {})]) as (transport, _):
        with pytest.raises(Unavailable, match="does not talk like this service"):
            await transport.call(call(patience_s=0))


async def test_a_token_goes_nowhere_else():
    elsewhere = (307, "", {"Location": "http://127.0.0.1:1/"})
    async with connected([elsewhere], token="secret") as (transport, asked):
        with pytest.raises(Unavailable):
            await transport.call(call(patience_s=0))
        assert [one.headers["Authorization"] for one in asked] == ["Bearer secret"]


async def test_an_answer_without_its_fields_is_no_grant():
    broken = [(200, '{"decision": "grant", "zone": "East", "now": 1, "reservations": []}', {})]
    async with connected(broken) as (transport, _), AdmissionClient(transport.url) as client:
        with pytest.raises(Unavailable, match="cannot be read"):
            await client.ask("collections")


@pytest.mark.parametrize("url", ["localhost:8080", "http://", "http:/v1", "ftp://localhost", ""])
def test_an_invalid_address_is_refused_at_once(url: str):
    with pytest.raises(ConfigError, match="is not a URL"):
        AdmissionClient(url)


def test_an_address_may_use_tls():
    AdmissionClient("https://dial.example.com/adm/")


async def test_a_silent_service_is_not_waited_for():
    said_nothing = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await said_nothing.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    quick = Call(method="POST", path="/x", timeout_s=0.05, body={})
    async with server:
        known = {"token": "", "tls": None, "stopwatch": time.monotonic, "connections_max": 4}
        async with asyncio.timeout(60), Transport(url, **known) as transport:
            with pytest.raises(Unavailable, match="cannot be reached"):
                await transport.call(quick)
        said_nothing.set()


async def test_a_client_that_is_not_open_raises():
    with pytest.raises(Unavailable, match="not open"):
        await AdmissionClient("http://127.0.0.1:1", patience_s=0).ask("collections")
