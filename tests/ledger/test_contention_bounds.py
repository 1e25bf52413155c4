"""Callers may invent campaigns: what Redis stores of their unmet demand has a bound and an end."""

import pytest
import redis

from admission.ledger.keys import zone_keys
from admission.ledger.scripts import load
from tests.support.rule_zone import RuleZone, ScriptLedger, policy

DEMANDS_MAX = 10_000  # lua/state/contention.lua
AT_ONCE = 250
CONTENTION = zone_keys("rules", "east")[8]
UNTIL, RIVALS = f"{CONTENTION}until", f"{CONTENTION}channel:sip:0"


@pytest.fixture
def zone(redis_sync: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> RuleZone:
    """A zone past its recovery whose only port is taken; policy names the campaign `named`."""
    script = load("test")
    backend = lambda fields: ScriptLedger(redis_sync, fields, script)  # noqa: E731
    monkeypatch.setattr(RuleZone, "backend", staticmethod(backend))
    static = {"fed": [], "capacity": {"sip": 1, "h323": 1}}
    opened = RuleZone(policy(static, campaign__named={})).wait(3001)
    opened.grant()
    return opened


def invent(zone: RuleZone, first: int, number: int) -> None:
    """Each of so many invented campaigns asks once, and is denied."""
    asks = [zone.build_ask(campaign=f"c{first + n:06d}") for n in range(number)]
    for at in range(0, number, AT_ONCE):
        assert zone.call(*asks[at : at + AT_ONCE])["decision"] == "deny"


def count_demands(client: redis.Redis) -> tuple[int, int]:
    """Stored demands, and campaigns that others yield to; without the sentinels."""
    return client.hlen(UNTIL) - 1, max(0, client.zcard(RIVALS) - 1)


def test_the_demand_of_invented_campaigns_has_a_bound(
    zone: RuleZone, redis_sync: redis.Redis
) -> None:
    invent(zone, 0, DEMANDS_MAX + 500)
    assert count_demands(redis_sync) == (DEMANDS_MAX, DEMANDS_MAX)
    zone.ask(campaign="named")
    assert redis_sync.hexists(UNTIL, "channel:sip named")


def test_demand_that_is_over_makes_room(zone: RuleZone, redis_sync: redis.Redis) -> None:
    invent(zone, 0, DEMANDS_MAX)
    zone.raw_ms += 9_000  # less than a loss of state, and more than a demand without waiters lasts
    invent(zone, 900_000, 1_000)
    assert redis_sync.hexists(UNTIL, "channel:sip c900999")
    assert max(count_demands(redis_sync)) <= DEMANDS_MAX


def test_demand_that_is_over_leaves_with_recounts(zone: RuleZone, redis_sync: redis.Redis) -> None:
    invent(zone, 0, 2_500)
    zone.wait(4 * 61_000)
    assert count_demands(redis_sync) == (0, 0)
