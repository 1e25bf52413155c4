"""Clients that only cost: they say nothing, say it too slowly, or read nothing of the answer."""

import asyncio
import contextlib
import socket

import pytest
from aiohttp import web

from admission.http import parsing
from admission.http.app import create_app
from admission.http.server.timeouts import ConnectionTimeouts, raise_file_limit
from tests.support.http_server import FakeDecider, serving

SOON = ConnectionTimeouts(first_request_s=0.05, stalled_read_s=0.05, check_interval_s=0.01)
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


@pytest.mark.parametrize(
    "said", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"]
)
async def test_a_connection_without_a_complete_request_is_closed(
    decider: FakeDecider, said: bytes
) -> None:
    async with serving(create_app(decider), timeouts=SOON) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(said)
        assert await until_closed(reader) == b""
        writer.close()


async def test_a_connection_may_be_idle_after_a_request(decider: FakeDecider) -> None:
    # Long enough for a request to arrive on a machine that has other things to do.
    timeouts = ConnectionTimeouts(first_request_s=1.5, stalled_read_s=1.5, check_interval_s=0.05)
    async with serving(create_app(decider), timeouts=timeouts) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        assert b"200 OK" in await reader.readuntil(b'alive"}')
        other_reader, other = await asyncio.open_connection("127.0.0.1", server.port)
        await until_closed(other_reader)  # longer than the timeouts
        writer.write(GET)
        assert b"200 OK" in await reader.readuntil(b'alive"}')
        for one in (writer, other):
            one.close()


async def test_a_client_that_reads_nothing_is_disconnected(decider: FakeDecider) -> None:
    gone = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(bytes(100_000))
        gone.set()
        return response

    app = create_app(decider)
    app.router.add_get("/endless", endless)
    async with serving(app, timeouts=SOON) as server:
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(GET.replace(b"/healthz", b"/endless"))
        async with asyncio.timeout(20):
            await gone.wait()
        client.close()


async def test_a_client_that_reads_slowly_is_not_disconnected(decider: FakeDecider) -> None:
    size = 20_000_000

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=bytes(size))

    app = create_app(decider)
    app.router.add_get("/large", large)
    timeouts = ConnectionTimeouts(first_request_s=5, stalled_read_s=5, check_interval_s=0.001)
    async with serving(app, timeouts=timeouts) as server:
        async with server.http.get("/large") as answer:
            found = 0
            async for piece in answer.content.iter_chunked(50_000):
                found += len(piece)
        assert found == size


async def test_a_body_that_comes_too_slowly_is_refused(
    decider: FakeDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "_BODY_TIMEOUT_S", 0.05)
    async with serving(create_app(decider)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = (
            b"POST /v1/admissions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        )
        writer.write(head + b"Content-Length: 1000\r\n\r\n{")
        async with asyncio.timeout(20):
            assert b" 400 " in await reader.readline()
        writer.close()
    assert decider.calls == []


def test_some_connections_are_always_accepted() -> None:
    assert raise_file_limit() >= 64
