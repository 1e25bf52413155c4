"""A policy replaces another while calls are up, on oracle and script: what they may still claim."""

from typing import Any

import pytest

from tests.support.rule_zone import LAG_MS, VISIBLE_MS, RuleZone, policy

pytestmark = pytest.mark.usefixtures("on_both")

SLOW_MS = 11_000  # a call may claim its port so long after its grant, by the slow policy
SLOW = {"claim_within": 10_000, "claim_max": SLOW_MS}
STATIC = {"fed": [], "capacity": {"sip": 1, "h323": 0}}


def with_slow_call(**rules: Any) -> RuleZone:
    """A zone of one port, and a call that has claimed none yet and may for `SLOW_MS`."""
    zone = RuleZone(policy(SLOW | rules)).wait(SLOW_MS + LAG_MS + 1)
    if not rules:
        zone.snapshot(total=1, sip=1, h323=0)
    zone.grant()
    return zone


def first_grant_ms(zone: RuleZone) -> int:
    """Return the ms until a snapshot that shows a free port leads to a grant."""
    begun = zone.now
    while zone.wait(500).snapshot(total=1, sip=1, h323=0).ask()["decision"] == "deny":
        assert zone.now < begun + 60_000
    return zone.now - begun


def test_a_channel_that_becomes_fed_waits_for_calls_of_the_policy_before():
    zone = with_slow_call(**STATIC)
    zone.replace(policy())
    zone.wait(SLOW_MS + LAG_MS).snapshot(total=1, sip=1, h323=0)
    assert zone.ask()["reason"] == "recovering"
    zone.wait(1).snapshot(total=1, sip=0, h323=0)
    assert zone.numbers() == (1, 1)


def test_a_channel_that_becomes_fed_holds_nothing_until_its_calls_are_visible():
    zone = with_slow_call(**STATIC)
    zone.replace(policy()).wait(VISIBLE_MS + LAG_MS + 1).snapshot(total=1, sip=1, h323=0)
    pool = zone.pool()
    assert (pool["ceiling"], pool["pending"], pool["held"]) == (1, 1, 0)


def test_a_channel_that_is_fed_once_more_knows_nothing_of_its_last_feed():
    zone = RuleZone().ready(sip=3, h323=0)
    zone.replace(policy({"fed": [], "capacity": {"sip": 3}})).replace(policy())
    zone.wait(VISIBLE_MS)
    assert zone.ask()["reason"] == "no_snapshot"


def test_a_named_pool_that_becomes_fed_waits_for_calls_of_the_policy_before():
    zone = RuleZone(policy(SLOW, trunk__x={})).wait(SLOW_MS + LAG_MS + 1).snapshot(sip=9, h323=0)
    zone.grant(pools=["trunk:x"])
    zone.replace(policy(trunk__x={})).wait(1)
    zone.ingest(4, {"trunk:x": 3})
    zone.wait(SLOW_MS + LAG_MS)
    zone.ingest(4, {"trunk:x": 3})
    assert zone.numbers("trunk:x") == (3, 1)
    zone.wait(1)
    zone.ingest(4, {"trunk:x": 3})
    assert zone.numbers("trunk:x") == (4, 1)


def test_a_loss_waits_for_calls_of_the_policy_before():
    zone = with_slow_call()
    zone.replace(policy()).lose_all()
    assert first_grant_ms(zone) > SLOW_MS


@pytest.mark.parametrize("again", [False, True])
def test_policies_that_are_replaced_quickly_hide_no_call_of_the_first(again):
    zone = with_slow_call()
    zone.replace(policy()).wait(1000).replace(policy({"headroom": 0}))
    zone.replace(policy({"poll_min": 21})).lose_all()
    if again:
        zone.lose_all()
    assert first_grant_ms(zone) > SLOW_MS - 1000


def test_a_policy_that_is_applied_twice_changes_nothing():
    zone = with_slow_call()
    replaced = {"op": "policy", "mode": "apply", "digest": "x", "source": "", "fields": policy()}
    zone.call(replaced)
    zone.wait(SLOW_MS + 1)
    assert zone.call(replaced)["applied"] is False
    zone.replace(policy({"poll_min": 21})).lose_all()
    assert first_grant_ms(zone) < SLOW_MS


def test_a_policy_of_long_ago_is_not_waited_for():
    zone = with_slow_call()
    zone.replace(policy()).wait(SLOW_MS + 1)
    zone.replace(policy({"poll_min": 21})).lose_all()
    assert first_grant_ms(zone) < SLOW_MS


def test_a_longer_policy_is_waited_for_from_its_beginning():
    zone = RuleZone().ready(sip=1, h323=0)
    zone.replace(policy(SLOW)).lose_all()
    assert first_grant_ms(zone) > SLOW_MS


def test_an_mpp_that_policy_names_no_longer_has_no_ports():
    mpps = {"mpps": ["m"], "mpp_total": 3}
    zone = RuleZone(policy(mpps, mpp__m__sip={"limit": 3})).ready()
    zone.grant(mpp="m")
    zone.replace(policy())
    pool = zone.pool("mpp:m:sip")
    assert (pool["in_use"], pool["capacity"], pool["limit"]) == (1, 0, 0)
