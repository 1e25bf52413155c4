"""A simulator on a free port of the loopback, and a client of it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import aiohttp
import pytest

from admission.sim.experience_portal.app import serve_portal
from admission.sim.experience_portal.config import PortalSettings
from tests.support.experience_portal import Caller, quick


class Calling(Protocol):
    def __call__(
        self, settings: PortalSettings | None = None
    ) -> AbstractAsyncContextManager[Caller]: ...


@asynccontextmanager
async def calling_portal(settings: PortalSettings | None = None) -> AsyncIterator[Caller]:
    async with (
        serve_portal(settings or quick()) as url,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
    ):
        yield Caller(session, url)


@pytest.fixture
def calling() -> Calling:
    """`async with calling(settings) as caller`: a simulator of these settings."""
    return calling_portal


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    """A simulator with one MPP of two SIP ports and one of H.323; calls talk until hung up."""
    async with calling_portal() as found:
        yield found
