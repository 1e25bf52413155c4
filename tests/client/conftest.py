"""What the tests of the client stand on: a served zone of ten ports, and a client of it."""

from collections.abc import AsyncIterator

import pytest

from admission.client import AdmissionClient
from tests.support.client_house import ZONE, take_your_time
from tests.support.service_house import House, house_of, settings_of


@pytest.fixture(autouse=True)
def all_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever leaves a block waits for its reports, however busy this machine is."""
    for room in ("grant", "blocking"):
        monkeypatch.setattr(f"admission.client.{room}.SETTLE_S", 60.0)


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with house_of(settings_of(ZONE, redis_url)) as opened:
        await opened.can_grant()
        await take_your_time(opened)
        yield opened


@pytest.fixture
async def client(house: House) -> AsyncIterator[AdmissionClient]:
    async with AdmissionClient(house.url, owner="dialer-1") as opened:
        yield opened
