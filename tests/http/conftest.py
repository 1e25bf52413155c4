"""Fixtures of the HTTP tests."""

from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import ClientSession

from admission.http.app import create_app
from tests.http.loop_watchdog import watch_callbacks
from tests.support.http_server import FakeDecider, Server, serving


@pytest.fixture
def decider() -> FakeDecider:
    return FakeDecider()


@pytest.fixture
async def server(decider: FakeDecider) -> AsyncIterator[Server]:
    """A server without tokens, which allows every request. The default zone is East."""
    async with serving(create_app(decider, default_zone="East")) as served:
        yield served


@pytest.fixture
def http(server: Server) -> ClientSession:
    return server.http


@pytest.fixture(autouse=True)
def callbacks_are_quick() -> Iterator[list[str]]:
    """A test during which a callback of the event loop blocks it for long fails."""
    with watch_callbacks() as slow:
        yield slow
    assert not slow, slow
