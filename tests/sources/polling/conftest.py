"""A poller with a ledger of leases, a scripted source, and a clock that the test moves."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from admission.sources.polling.poller import Poller
from admission.sources.polling.schedule import ZonePoll
from tests.support.polling import FakeLedger, MakePoller, ManualClock, ScriptedSource


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ledger(clock: ManualClock) -> FakeLedger:
    return FakeLedger(clock)


@pytest.fixture
def source(clock: ManualClock) -> ScriptedSource:
    return ScriptedSource(clock)


@pytest.fixture
async def make(clock: ManualClock, ledger: FakeLedger) -> AsyncIterator[MakePoller]:
    """Pollers that are stopped after the test, whatever the ledger does by then."""
    async with AsyncExitStack() as stack:

        def build(holder: str = "a", **zones: ZonePoll) -> Poller:
            poller = Poller(ledger, holder=holder, zones=zones, clock=clock)
            stack.push_async_callback(poller.stop)
            return poller

        yield build
