"""Whatever the body is, the answer is JSON and never a 500."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import given, settings
from hypothesis import strategies as st

from admission.http.app import create_app
from tests.support.http_server import ASK, ID, NOW, FakeDecider, serving

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
SEEDS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/admissions", {**ASK, "count": 2, "pools": ["trunk:a"], "wait_ms": 1}),
    ("POST", "/v1/admissions/batch", {"requests": [ASK]}),
    ("POST", f"/v1/reservations/{ID}/launched", {"port_taken": True, "reservation": ASK}),
    ("POST", f"/v1/reservations/{ID}/renew", {"reservation": ASK}),
    ("POST", f"/v1/reservations/{ID}/end", {"outcome": "busy", "ended_at": NOW}),
    ("POST", "/v1/reservations/batch", {"reports": [{"op": "end", "id": ID}]}),
    ("PUT", "/v1/zones/East/snapshot", {"taken_at": NOW, "total": 1, "unused": {"sip": 1}}),
]

Post = Callable[[str, str, bytes], tuple[int, bytes]]


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    """One served application for all examples; they come one after the other."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        app = create_app(FakeDecider(), default_zone="East")
        http: ClientSession = runner.run(stack.enter_async_context(serving(app))).http

        async def send(method: str, path: str, body: bytes) -> tuple[int, bytes]:
            headers = {"Content-Type": "application/json"}
            async with http.request(method, path, data=body, headers=headers) as answer:
                return answer.status, await answer.read()

        yield lambda *call: runner.run(send(*call))
        runner.run(stack.aclose())


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """A good body with some of its values replaced, or no good at all."""
    method, path, good = draw(st.sampled_from(SEEDS))
    if draw(st.booleans()):
        return method, path, draw(st.binary(max_size=64) | VALUES.map(json.dumps).map(str.encode))
    changed = draw(st.dictionaries(st.sampled_from(sorted(good)), VALUES, min_size=1))
    return method, path, json.dumps({**good, **changed}).encode()


@settings(max_examples=300)
@given(call=bodies())
def test_no_body_causes_a_server_error(post: Post, call: tuple[str, str, bytes]) -> None:
    status, answer = post(*call)
    assert status in (200, 400, 404, 422), (status, answer)
    for result in json.loads(answer).get("results", []):
        assert result["status"] in (200, 404, 422), result
