"""Server-sent events: zones as they change, for many clients, some of them slow."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse, web

from admission.domain.types import Role
from admission.errors import Unavailable
from admission.http.app import create_app
from admission.http.auth.tokens import Credentials, Token
from admission.http.context import APP_CONTEXT
from admission.http.events import feed
from admission.http.events.feed import Feed, without_volatile_fields
from admission.http.handlers import events
from tests.support.http_server import NOW, FakeDecider, Server, problem, serving
from tests.support.tokens import bearer, token

PATIENCE_S = 20


@pytest.fixture
def app(decider: FakeDecider, monkeypatch: pytest.MonkeyPatch) -> web.Application:
    monkeypatch.setattr(feed, "LINGER_INTERVAL_S", 0.01)
    made = create_app(decider, event_clients=2)
    made[APP_CONTEXT].feed = Feed(
        lambda zone: decider.zone(zone).get_status(), clients_max=2, interval_s=0.005
    )
    return made


@pytest.fixture
async def server(app: web.Application) -> AsyncIterator[Server]:
    async with serving(app) as served:
        yield served


async def block(answer: ClientResponse) -> list[str]:
    """The lines of the next event or comment."""
    async with asyncio.timeout(PATIENCE_S):
        text = (await answer.content.readuntil(b"\n\n")).decode()
    return text.splitlines()


async def event(answer: ClientResponse) -> tuple[str, Any]:
    """The name and data of the next event; comments are passed over."""
    while (lines := await block(answer))[0].startswith(":"):
        pass
    name, data = lines[0], lines[1]
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def news(answer: ClientResponse) -> tuple[str, Any]:
    """The next event that is no greeting."""
    while (found := await event(answer))[0] == "hello":
        pass
    return found


async def until(answer: ClientResponse, name: str, **fields: Any) -> Any:
    """The data of the next such event."""
    while True:
        found, data = await event(answer)
        if found == name and fields.items() <= data.items():
            return data


async def eventually(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_true():  # noqa: ASYNC110  # no event
            await asyncio.sleep(0)


async def test_every_zone_is_sent_at_once(server: Server) -> None:
    async with server.http.get("/v1/events") as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Request-ID"]
        hello, *zones = [await event(answer) for _ in range(3)]
    assert hello[0] == "hello"
    assert (hello[1]["role"], hello[1]["zones"]) == ("operator", ["East", "West"])
    assert sorted((name, data["zone"]) for name, data in zones) == [
        ("zone", "East"),
        ("zone", "West"),
    ]


async def test_one_zone_may_be_asked_for(server: Server) -> None:
    async with server.http.get("/v1/events?zone=West") as answer:
        name, data = await news(answer)
    assert (name, data["zone"], data["recovering"]) == ("zone", "West", True)
    assert data["decisions"] == {"over_ms": 0, "granted": 0, "denied": {}}


@pytest.mark.parametrize(("query", "status"), [("zone=Nowhere", 404), ("since=1", 422)])
async def test_a_wrong_query_is_a_problem(
    server: Server, decider: FakeDecider, query: str, status: int
) -> None:
    async with server.http.get(f"/v1/events?{query}") as answer:
        await problem(answer, status, decider)


async def test_head_is_answered_without_a_stream(server: Server) -> None:
    async with server.http.head("/v1/events") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_only_changes_are_sent(
    server: Server, app: web.Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, changed = 0, asyncio.Event()

    async def status(zone: str) -> dict[str, Any]:
        nonlocal readings
        readings += 1
        aged = [{"pool": "channel:sip", "in_use": 0, "snapshot": {"t0": 5, "age_ms": readings}}]
        if changed.is_set():
            aged[0]["in_use"] = 1
        return {"now": NOW + readings, "pools": aged, "stats": {}}

    monkeypatch.setattr(app[APP_CONTEXT].feed, "_read", status)
    async with server.http.get("/v1/events?zone=East") as answer:
        await until(answer, "zone")
        seen = readings
        await eventually(lambda: readings >= seen + 5)  # but nothing happened
        changed.set()
        data = await until(answer, "zone")
    assert data["pools"][0]["in_use"] == 1


async def test_a_zone_is_read_once_for_all_clients(app: web.Application) -> None:
    read: list[str] = []
    gate = asyncio.Event()

    async def status(zone: str) -> dict[str, Any]:
        read.append(zone)
        await gate.wait()
        return {"now": NOW, "pools": [], "stats": {}}

    app[APP_CONTEXT].feed = Feed(status, clients_max=2)
    async with serving(app) as server:
        url = "/v1/events?zone=East"
        async with server.http.get(url) as one, server.http.get(url) as two:
            gate.set()
            assert await news(one) == await news(two)
    assert read == ["East"]


@pytest.mark.parametrize(("zones", "apart_s"), [(1, 0.25), (200, 2.0)])
async def test_two_readings_are_apart_by_an_interval(
    monkeypatch: pytest.MonkeyPatch, zones: int, apart_s: float
) -> None:
    pauses: list[float] = []
    done, sleep = asyncio.Event(), asyncio.sleep

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3 * zones:
            done.set()
        await sleep(0)

    async def status(zone: str) -> dict[str, Any]:
        return {"now": NOW, "pools": [], "stats": {}}

    monkeypatch.setattr(feed.asyncio, "sleep", pause)
    watched = Feed(status, clients_max=1)
    with watched.follow([f"zone-{n}" for n in range(zones)]):
        await done.wait()
    await watched.close()
    assert min(pauses) >= apart_s


async def test_a_later_client_has_the_history_first(server: Server) -> None:
    async with server.http.get("/v1/events?zone=East") as one:
        await until(one, "zone")
        async with server.http.get("/v1/events?zone=East") as two:
            name, data = await news(two)
            assert (await news(two))[0] == "zone"
    assert (name, data["zone"], data["fields"][0]) == ("history", "East", "total")
    assert data["points"] == [[NOW, {"sip": [200, 0, 7, 69]}]]


async def test_a_zone_that_cannot_be_read_is_a_problem_once_and_then_a_zone_again(
    server: Server, decider: FakeDecider
) -> None:
    decider.fault = Unavailable("The store does not answer.")
    async with server.http.get("/v1/events?zone=East") as answer:
        name, data = await news(answer)
        assert (name, data["zone"], data["problem"]["status"]) == ("problem", "East", 503)
        read = len(decider.calls)
        await eventually(lambda: len(decider.calls) >= read + 3)
        decider.fault = None
        assert (await news(answer))[0] == "zone"


async def test_an_unexpected_fault_ends_no_stream_and_is_logged_once(
    server: Server, decider: FakeDecider, caplog: pytest.LogCaptureFixture
) -> None:
    decider.fault = RuntimeError("the secret is 42")
    async with server.http.get("/v1/events?zone=East") as answer:
        _, data = await news(answer)
        assert (data["problem"]["status"], "42" in str(data)) == (500, False)
        read = len(decider.calls)
        await eventually(lambda: len(decider.calls) >= read + 3)
        decider.fault = None
        await until(answer, "zone")
    assert caplog.text.count("Traceback") == 1


async def test_clients_beyond_the_limit_get_a_retry_time(
    server: Server, app: web.Application
) -> None:
    async with server.http.get("/v1/events") as one, server.http.get("/v1/events") as two:
        await news(one)
        await news(two)
        async with server.http.get("/v1/events") as three:
            assert (three.status, three.headers["Retry-After"]) == (503, "5")
    await eventually(lambda: app[APP_CONTEXT].feed.clients == 0)  # a client that leaves makes room
    async with server.http.get("/v1/events") as four:
        assert four.status == 200


async def test_a_client_that_reads_nothing_is_dropped_and_the_others_are_served(
    server: Server, app: web.Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = 0

    async def status(zone: str) -> dict[str, Any]:
        nonlocal readings
        readings += 1
        return {"now": NOW, "pools": [], "stats": {"n": readings}, "bulk": "x" * 500_000}

    monkeypatch.setattr(app[APP_CONTEXT].feed, "_read", status)
    monkeypatch.setattr(events, "SLOW_S", 2.0)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with server.http.get("/v1/events?zone=East", read_bufsize=2**21) as answer:
        async with asyncio.timeout(PATIENCE_S):
            while readings < 3 or app[APP_CONTEXT].feed.clients > 1:
                await news(answer)
    writer.close()


async def test_a_quiet_stream_has_comments(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.01)
    async with server.http.get("/v1/events?zone=East") as answer:
        found = [(await block(answer))[0] for _ in range(6)]
    assert found.count(": alive") >= 3


@pytest.mark.parametrize(
    "later",
    [
        [],
        [token("v", Role.DIALER)],
        [token("v", Role.SOURCE)],
        [token("v", Role.VIEWER, zones=["West"])],
        [token("v", Role.VIEWER, expires_at_s=1.0)],
    ],
    ids=["revoked", "dialer", "source", "fewer zones", "expired"],
)
@pytest.mark.parametrize("is_busy", [False, True])
async def test_a_stream_ends_with_the_rights_of_its_token(
    decider: FakeDecider, monkeypatch: pytest.MonkeyPatch, later: list[Token], is_busy: bool
) -> None:
    """However busy the stream is: a zone that changes at every reading leaves no silence."""
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.01 if not is_busy else PATIENCE_S)
    monkeypatch.setattr(events, "RECHECK_S", 0.01)
    operator = token("o", Role.OPERATOR)
    credentials = Credentials([token("v", Role.VIEWER), operator])
    app = create_app(decider, credentials=credentials)
    if is_busy:
        readings = itertools.count()

        async def status(zone: str) -> dict[str, Any]:
            return {"now": NOW, "pools": [], "stats": {"n": next(readings)}}

        app[APP_CONTEXT].feed = Feed(status, clients_max=2, interval_s=0.001)
    async with (
        serving(app) as server,
        server.http.get("/v1/events", headers=bearer("v")) as answer,
    ):
        await block(answer)
        credentials.replace([*later, operator])
        async with asyncio.timeout(PATIENCE_S):
            await answer.content.read()


async def test_a_token_that_expires_ends_its_stream(
    decider: FakeDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "RECHECK_S", 0.01)
    now_s = 0.0
    limited = token("v", Role.VIEWER, expires_at_s=10.0)
    credentials = Credentials([limited], clock=lambda: now_s)
    async with (
        serving(create_app(decider, credentials=credentials)) as server,
        server.http.get("/v1/events", headers=bearer("v")) as answer,
    ):
        await block(answer)
        now_s = 10.0
        async with asyncio.timeout(PATIENCE_S):
            await answer.content.read()


async def test_a_stream_goes_on_while_its_token_is_configured_anew_with_equal_rights(
    decider: FakeDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(events, "RECHECK_S", 0.01)
    credentials = Credentials([token("v", Role.VIEWER)])
    async with (
        serving(create_app(decider, credentials=credentials)) as server,
        server.http.get("/v1/events?zone=East", headers=bearer("v")) as answer,
    ):
        await news(answer)
        credentials.replace([token("v", Role.VIEWER), token("o", Role.OPERATOR)])
        assert [(await block(answer))[0] for _ in range(5)] == [": alive"] * 5


async def test_a_viewer_of_one_zone_receives_no_other(decider: FakeDecider) -> None:
    credentials = Credentials([token("w", Role.VIEWER, zones=["West"])])
    async with serving(create_app(decider, credentials=credentials)) as server:
        async with server.http.get("/v1/events", headers=bearer("w")) as answer:
            assert (await news(answer))[1]["zone"] == "West"
        async with server.http.get("/v1/events?zone=East", headers=bearer("w")) as answer:
            assert answer.status == 403
    assert {call[1] for call in decider.calls} == {"West"}


async def test_a_client_that_leaves_is_removed_at_once(
    server: Server, app: web.Application
) -> None:
    async with server.http.get("/v1/events") as answer:
        await news(answer)
        assert app[APP_CONTEXT].feed.clients == 1
        answer.close()
        await eventually(lambda: app[APP_CONTEXT].feed.clients == 0)


async def test_a_server_that_stops_ends_its_streams(app: web.Application) -> None:
    async with serving(app, grace_ms=60_000) as server, server.http.get("/v1/events") as answer:
        await news(answer)
        server.stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await answer.content.read()


def test_passing_time_alone_is_no_change() -> None:
    status = {
        "now": 1,
        "longest_wait_ms": 5,
        "sources": [{"state": "ok", "state_age_ms": 3, "last_success_age_ms": 1}],
        "pools": [{"in_use": 1, "snapshot": {"t0": 1, "age_ms": 7}}],
    }
    assert without_volatile_fields(status) == {
        "sources": [{"state": "ok"}],
        "pools": [{"in_use": 1, "snapshot": {"t0": 1}}],
    }
