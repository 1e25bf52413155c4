"""What tests of the script stand on."""

import pytest
import redis

from admission.ledger.scripts import load
from tests.oracle import OracleLedger
from tests.support.hand import Hand, ask
from tests.support.rule_zone import RuleZone, ScriptLedger


@pytest.fixture
def zone(redis_sync: redis.Redis) -> Hand:
    """Two ports, both taken by x and y."""
    hand = Hand(redis_sync)
    hand.call(ask("x"), ask("y"))
    return hand


@pytest.fixture(params=["oracle", "script"])
def on_both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is read twice: on the oracle, and on the script."""
    backend = OracleLedger
    if request.param == "script":
        client, script = request.getfixturevalue("redis_sync"), load("test")
        backend = lambda fields: ScriptLedger(client, fields, script)  # noqa: E731
    monkeypatch.setattr(RuleZone, "backend", staticmethod(backend))
