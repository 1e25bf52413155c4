"""Start and stop of the server: no accepted request is dropped."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientError, web

from admission.domain.types import Role
from admission.errors import ConfigError
from admission.http.app import create_app
from admission.http.auth.tokens import Credentials, Token
from admission.http.server.serve import serve_app
from tests.support.http_server import ASK, ID, FakeDecider, Server, serving


@pytest.fixture
def app(decider: FakeDecider) -> web.Application:
    decider.gate = asyncio.Event()
    return create_app(decider)


async def ask(server: Server, path: str = "/v1/admissions", body: Any = ASK) -> int:
    async with server.http.post(path, json=body) as answer:
        await answer.read()
        return answer.status


async def test_requests_under_way_finish(app: web.Application, decider: FakeDecider) -> None:
    leaving = asyncio.Event()

    async def left(_: web.Application) -> None:
        leaving.set()

    app.on_shutdown.append(left)
    async with serving(app) as server:
        asked = asyncio.create_task(ask(server))
        await decider.until_called()
        server.stop.set()
        await leaving.wait()
        assert not server.done.done()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)
        assert decider.gate is not None
        decider.gate.set()
        assert await asked == 200


async def test_requests_that_do_not_finish_are_cancelled(
    app: web.Application, decider: FakeDecider
) -> None:
    async with serving(app, grace_ms=20) as server:
        asked = asyncio.create_task(ask(server))
        await decider.until_called()
        server.stop.set()
        with pytest.raises(ClientError):
            await asked
        assert decider.cancelled.is_set()


async def test_a_stopping_server_is_not_ready_but_answers(app: web.Application) -> None:
    async with serving(app, delay_ms=200) as server:
        server.stop.set()
        async with server.http.get("/readyz") as answer:
            assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        async with server.http.get("/healthz") as answer:
            assert answer.status == 200
        assert answer.headers["Connection"] == "close"
        assert not server.done.done()


async def test_resources_outlive_the_last_request(
    app: web.Application, decider: FakeDecider
) -> None:
    seen = []

    async def store(_: web.Application) -> AsyncIterator[None]:
        seen.append("opened")
        yield
        seen.append("closed")

    app.cleanup_ctx.append(store)
    async with serving(app) as server:
        asked = asyncio.create_task(ask(server))
        asked.add_done_callback(lambda _: seen.append("answered"))
        await decider.until_called()
        server.stop.set()
        assert decider.gate is not None
        decider.gate.set()
        await asked
    assert seen == ["opened", "answered", "closed"]


async def test_an_admission_whose_client_hangs_up_is_cancelled(
    app: web.Application, decider: FakeDecider
) -> None:
    async with serving(app) as server:
        asked = asyncio.create_task(ask(server))
        await decider.until_called()
        asked.cancel()
        async with asyncio.timeout(15):
            await decider.cancelled.wait()


async def test_a_batch_whose_client_hangs_up_is_cancelled(
    app: web.Application, decider: FakeDecider
) -> None:
    async with serving(app) as server:
        body = {"requests": [ASK, ASK]}
        asked = asyncio.create_task(ask(server, "/v1/admissions/batch", body))
        await decider.until_called()
        asked.cancel()
        async with asyncio.timeout(15):
            await decider.cancelled.wait()
            while len(decider.withdrawn) < 2:  # noqa: ASYNC110  the cancellation reaches the handler
                await asyncio.sleep(0)


async def test_a_report_whose_client_hangs_up_is_not(
    app: web.Application, decider: FakeDecider
) -> None:
    async with serving(app) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        path = f"/v1/reservations/{ID}/end"
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()
        )
        writer.close()
        await writer.wait_closed()
        await decider.until_called()
        async with server.http.get("/healthz") as answer:  # the server has seen the end by now
            assert answer.status == 200
        assert not decider.cancelled.is_set()
        assert decider.gate is not None
        decider.gate.set()


async def test_a_cancelled_request_does_not_affect_the_next_of_its_connection(
    decider: FakeDecider,
) -> None:
    async with serving(create_app(decider)) as server:
        body = json.dumps(ASK).encode()
        request = (
            b"POST /v1/admissions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await server.raw(request * 3 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 4
    assert len(decider.calls) == 3


async def test_two_servers_may_share_a_port(decider: FakeDecider) -> None:
    async with serving(create_app(decider), reuse_port=True) as server:
        stop, listening = asyncio.Event(), asyncio.Event()
        second = asyncio.create_task(
            serve_app(
                create_app(decider),
                "127.0.0.1",
                server.port,
                stop=stop,
                reuse_port=True,
                on_listening=lambda _: listening.set(),
            )
        )
        async with asyncio.timeout(15):
            await listening.wait()
            stop.set()
            await second


async def test_an_address_in_use_is_reported(decider: FakeDecider) -> None:
    async with serving(create_app(decider)) as server:
        with pytest.raises(OSError, match="address already in use"):
            await serve_app(create_app(decider), "127.0.0.1", server.port, stop=asyncio.Event())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "dialer.example.com", ""])
async def test_without_tokens_only_loopback_is_served(decider: FakeDecider, host: str) -> None:
    with pytest.raises(ConfigError, match="auth"):
        await serve_app(create_app(decider), host, 0, stop=asyncio.Event())


async def test_with_tokens_or_the_option_any_address_is_served(decider: FakeDecider) -> None:
    stop = asyncio.Event()
    stop.set()
    # An address of documentation, which no machine has: the guard is passed when binding fails.
    with pytest.raises(OSError, match=r"assign|bind"):
        await serve_app(create_app(decider), "192.0.2.1", 0, stop=stop, without_credentials=True)
    credentials = Credentials([Token(name="t", sha256="0" * 64, role=Role.VIEWER)])
    app = create_app(decider, credentials=credentials)
    with pytest.raises(OSError, match=r"assign|bind"):
        await serve_app(app, "192.0.2.1", 0, stop=stop)


async def test_idle_connections_do_not_delay_the_stop(decider: FakeDecider) -> None:
    async with serving(create_app(decider), grace_ms=60_000) as server:
        async with server.http.get("/healthz"):
            pass
        server.stop.set()
        async with asyncio.timeout(15):
            await server.done
