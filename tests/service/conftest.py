"""What the tests of the whole service stand on."""

from collections.abc import AsyncIterator

import pytest

import admission.service
from tests.service.house import EAST, FakeSource, House, house_of, settings_of


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    """What the service takes for its platform."""
    fake = FakeSource()
    monkeypatch.setattr(admission.service, "build_source", lambda name, settings: fake)
    return fake


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with house_of(settings_of(EAST, redis_url)) as opened:
        await opened.can_grant()
        yield opened
