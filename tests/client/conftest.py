"""Fixtures of the client's tests: a served zone of ten ports, and a client of it."""

from collections.abc import AsyncIterator

import pytest

from admission.client import AdmissionClient
from tests.support.service import ServiceHarness, serve_service, service_settings

# A new zone recovers for launch_within + claim_within: short, until the first grant.
ZONE = """
[zones.East]
source = "static"
channels = ["sip", "h323"]
capacity = { sip = 10, h323 = 4 }
launch_within_ms = 1
claim_within_ms = 0
[zones.East.mpps]
mpp1 = { sip = 10, h323 = 4 }
[zones.East.campaigns.collections]
limit = 8
[zones.East.campaigns."*"]
[zones.East.pools."trunk:carrier-a"]
limit = 6
"""


@pytest.fixture(autouse=True)
def patient_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that ends waits for its reports, however busy this machine is."""
    for module in ("grant", "blocking"):
        monkeypatch.setattr(f"admission.client.{module}.SETTLE_S", 60.0)


@pytest.fixture
async def harness(redis_url: str) -> AsyncIterator[ServiceHarness]:
    async with serve_service(service_settings(ZONE, redis_url)) as opened:
        await opened.can_grant()
        await opened.accept_late_launches()
        yield opened


@pytest.fixture
async def client(harness: ServiceHarness) -> AsyncIterator[AdmissionClient]:
    async with AdmissionClient(harness.url, owner="dialer-1") as opened:
        yield opened
