"""A simulator on a free port of the loopback, and a client of it."""

from collections.abc import AsyncIterator

import pytest

from tests.support.experience_portal import Caller, Calling, calling_portal


@pytest.fixture
def calling() -> Calling:
    """`async with calling(settings) as caller`: a simulator of these settings."""
    return calling_portal


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    """A simulator with one MPP of two SIP ports and one of H.323; calls talk until hung up."""
    async with calling_portal() as found:
        yield found
