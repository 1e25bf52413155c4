"""Fixtures of the tests of script and ledger."""

from collections.abc import AsyncIterator

import pytest
import redis

from admission.ledger.ledger import Ledger
from admission.ledger.scripts import load
from tests.oracle import OracleLedger
from tests.support.rule_zone import RuleZone, ScriptLedger
from tests.support.typed_ledger import open_ledger
from tests.support.virtual_zone import StaticZone, ask


@pytest.fixture
def zone(redis_sync: redis.Redis) -> StaticZone:
    """Two ports, both taken by x and y."""
    zone = StaticZone(redis_sync)
    zone.call(ask("x"), ask("y"))
    return zone


@pytest.fixture
async def ledger(redis_url: str) -> AsyncIterator[Ledger]:
    """A ledger whose zone East has recovered."""
    async with open_ledger(redis_url) as opened:
        yield opened


@pytest.fixture(params=["oracle", "script"])
def on_both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test twice: on the oracle and on the script."""
    backend = OracleLedger
    if request.param == "script":
        client, script = request.getfixturevalue("redis_sync"), load("test")
        backend = lambda fields: ScriptLedger(client, fields, script)  # noqa: E731
    monkeypatch.setattr(RuleZone, "backend", staticmethod(backend))
