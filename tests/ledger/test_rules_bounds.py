"""Bounds: strict rates, limits without a pacing engine, stored reservations, shadow, pushes.

Each test runs on the oracle and on the script.
"""

import pytest

from tests.support.rule_zone import RETENTION_MS, RuleZone, policy

pytestmark = pytest.mark.usefixtures("on_both")

STATIC = {"fed": [], "capacity": {"sip": 500, "h323": 500}}


def static(zone: dict[str, object] | None = None, **fields: dict[str, object]) -> RuleZone:
    """A zone past its recovery, without snapshots."""
    return RuleZone(policy(STATIC | (zone or {}), **fields)).wait(3001)


def granted(zone: RuleZone, **more: object) -> int:
    """1 if a request is granted, else 0."""
    return int(zone.ask(**more)["decision"] == "grant")


@pytest.mark.parametrize(("strict", "most"), [(True, 10), (False, 19)])
def test_a_strict_rate_holds_in_the_worst_second(strict, most):
    rules = {"rate_per_s": 10, "burst": 10} | ({"rate_strict": True} if strict else {})
    zone = static(trunk__x=rules)
    times = []
    for _ in range(60):
        zone.wait(50)
        times += [zone.now] * sum(granted(zone, pools=["trunk:x"]) for _ in range(12))
    worst = max(sum(start <= at < start + 1000 for at in times) for start in times)
    assert worst == most
    assert len(times) >= 28  # 3 s at 10/s, less a part of 50


def test_the_wait_of_a_strict_rate_is_exact():
    zone = static(trunk__x={"rate_per_s": 2, "burst": 2, "rate_strict": True})
    trunk = {"pools": ["trunk:x"]}
    zone.grant(**trunk)
    zone.wait(300).grant(**trunk)
    denied = zone.ask(**trunk)
    assert (denied["reason"], denied["pool"]) == ("rate_limited", "trunk:x")
    wait_ms = denied["retry_after_ms"]
    assert 700 <= wait_ms <= 720  # of the first launch, to the end of its slot
    assert zone.wait(wait_ms - 1).ask(**trunk)["decision"] == "deny"
    assert zone.wait(1).ask(**trunk)["decision"] == "grant"


def test_a_strict_rate_of_the_zone_counts_every_campaign():
    zone = static({"rate_per_s": 3, "burst": 3, "rate_strict": True})
    assert [granted(zone, campaign=name) for name in "abcd"] == [1, 1, 1, 0]


def test_without_a_temporary_limit_the_unset_one_counts():
    zone = static(campaign__b={"limit": 5, "limit_unset": 1})
    limit = {"op": "limit", "pool": "campaign:b", "limit": 3, "ttl_ms": 1000}
    assert [granted(zone, campaign="b") for _ in range(2)] == [1, 0]
    assert zone.call(limit)["limit"] == 3
    assert [granted(zone, campaign="b") for _ in range(3)] == [1, 1, 0]
    zone.wait(1000)
    assert zone.pool("campaign:b")["limit"] == 1
    assert granted(zone, campaign="b") == 0


def test_a_pacing_engine_that_died_at_0_leaves_nothing_granted():
    zone = static(trunk__x={"limit_unset": 0})
    zone.call({"op": "limit", "pool": "trunk:x", "limit": 0, "ttl_ms": 1000})
    zone.wait(5000)
    assert zone.ask(pools=["trunk:x"])["reason"] == "pool_full"


def test_a_request_without_a_count_asks_for_one_launch():
    zone = static(trunk__x={"limit": 2})
    asked = zone.build_ask(pools=["trunk:x"])
    del asked["count"], asked["min_count"]
    assert zone.call(asked)["granted"] == 1
    assert zone.pool("trunk:x")["in_use"] == 1


def test_a_zone_stores_no_more_reservations_than_its_bound():
    zone = static({"max_records": 20})
    for n in range(30):
        zone.ask(campaign=f"c{n}")
    assert zone.pool()["in_use"] == 16
    denied = zone.ask(campaign="new", count=4)
    assert (denied["error"], denied["value"]) == ("too_many_records", 1000)


def test_one_call_adds_no_more_reservations_than_the_bound():
    zone = static({"max_records": 20})
    asks = [zone.build_ask(campaign=f"c{n}") for n in range(30)]
    zone.call(*asks)
    assert zone.pool()["in_use"] == 16
    assert zone.ask(campaign="new", count=4)["error"] == "too_many_records"


def test_a_campaign_that_stores_many_leaves_room_to_others():
    zone = static({"max_records": 80})
    for _ in range(100):
        asked = zone.ask(campaign="greedy")
        if asked.get("decision"):
            zone.end(asked["reservations"][0]["id"])
    assert zone.ask(campaign="greedy")["error"] == "too_many_records"
    assert [granted(zone, campaign="other") for _ in range(6)] == [1] * 6
    zone.wait(RETENTION_MS + 1)
    assert granted(zone, campaign="greedy") == 1


def test_shadow_mode_holds_no_more_than_a_platform_can_have():
    zone = static({"shadow": True, "capacity": {"sip": 4, "h323": 4}})
    answers = [zone.ask(campaign="c") for _ in range(110)]
    assert [one["decision"] for one in answers] == ["grant"] * 100 + ["deny"] * 10
    assert answers[-1]["reason"] == "no_capacity"
    assert zone.ask(campaign="other")["shadow"]


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({}, None),
        ({"polled": False, "pushed": True}, None),
        ({"polled": True, "pushed": True}, "polled"),
        ({"polled": True, "pushed": False}, "polled"),
    ],
)
def test_a_push_does_not_replace_what_a_polled_source_counts(rules, reason):
    zone = RuleZone(policy(rules)).wait(3502)
    token = zone.call({"op": "lease", "holder": "a", "ttl_ms": 1000})["token"]
    assert zone.ingest(10, {"channel:sip": 5, "channel:h323": 5}, token=token)["accepted"]
    pushed = zone.wait(100).ingest(10, {"channel:sip": 9, "channel:h323": 1})
    assert pushed.get("reason") == reason
    assert zone.pool()["snapshot"]["unused"] == (5 if reason else 9)


def test_a_push_feeds_what_no_polled_source_counts():
    zone = RuleZone(policy({"polled": True}, trunk__x={})).wait(3502)
    assert zone.ingest(10, {"trunk:x": 5})["accepted"]
    assert zone.wait(1).ingest(10, {"channel:sip": 5, "channel:h323": 5})["reason"] == "polled"
