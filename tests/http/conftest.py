"""Fixtures of the HTTP tests."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from admission.http.app import create_app
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
