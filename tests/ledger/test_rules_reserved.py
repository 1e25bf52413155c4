"""The rules that raise utilisation: reported launches, kept ceilings, adaptive headroom.

Each test runs on the oracle and on the script.
"""

import pytest

from tests.support.rule_zone import CLAIM_MS, LAG_MS, MAX_AGE_MS, RuleZone, policy

pytestmark = pytest.mark.usefixtures("on_both")

DEDICATED = {"dedicated": True}
GROWING = {"growth_per_s": 1}


def full(zone: dict[str, object]) -> tuple[RuleZone, str]:
    """A zone of 10 ports with one call, granted after a snapshot with all of them free."""
    kept = RuleZone(policy(zone)).ready(sip=10, h323=0)
    return kept, kept.grant()


@pytest.mark.parametrize(
    ("waited_ms", "held"), [(CLAIM_MS + LAG_MS, 0), (CLAIM_MS + LAG_MS + 1, 1)]
)
def test_a_reported_launch_claims_its_port_within_claim_within(waited_ms, held):
    zone = RuleZone().ready()
    zone.launched(zone.grant(), port_taken=False)
    zone.wait(waited_ms).snapshot(sip=9, h323=0)
    assert zone.pool()["held"] == held


def test_a_launch_of_a_slow_application_has_its_own_time():
    zone = RuleZone(policy(application__slow={"claim_within": 2 * CLAIM_MS})).ready()
    id_ = zone.grant(application="slow")
    zone.launched(id_, port_taken=False)
    found = zone.call({"op": "get", "id": id_})
    assert found["visible_by"] - found["granted_at"] == 2 * CLAIM_MS


def test_a_launch_that_is_reported_late_changes_nothing():
    zone = RuleZone().ready()
    id_ = zone.grant()
    before = zone.call({"op": "get", "id": id_})["visible_by"]
    zone.wait(1500).launched(id_, port_taken=False)
    assert zone.call({"op": "get", "id": id_})["visible_by"] == before


@pytest.mark.parametrize("rules", [DEDICATED, GROWING])
def test_an_end_leaves_a_ceiling_that_does_not_count_it(rules):
    zone, id_ = full(rules)
    zone.wait(4000).snapshot(sip=9, h323=0).end(id_, "bad_number")
    assert zone.pool()["ceiling"] == 9
    assert zone.pool()["limit"] == (10 if rules is DEDICATED else 8)


def test_an_end_lowers_a_kept_ceiling_that_counts_it():
    zone, id_ = full(DEDICATED)
    zone.wait(4000).snapshot(sip=10, h323=0).wait(1).snapshot(sip=9, h323=0)
    assert zone.pool()["limit"] == 11
    zone.end(id_, "bad_number")
    assert zone.pool()["limit"] == 10


@pytest.mark.parametrize(
    ("taken", "waited_ms", "limit"),
    [(False, 100, 10), (True, 100, 9), (False, 4000, 9), (True, 4000, 9)],
)
def test_a_failure_after_a_port_was_taken_may_have_taken_the_port_along(taken, waited_ms, limit):
    zone, id_ = full(DEDICATED)
    zone.launched(id_, port_taken=taken)
    zone.wait(waited_ms).snapshot(sip=9, h323=0).wait(1000).end(id_, "failed", ended_at=zone.now)
    assert zone.pool()["limit"] == limit


def test_a_failure_earns_no_credit():
    zone, id_ = full({})
    zone.launched(id_, port_taken=True)
    zone.wait(4000).snapshot(sip=9, h323=0).wait(1000).end(id_, "failed", ended_at=zone.now)
    assert zone.pool()["ceiling"] == 9


def test_an_expiry_lowers_a_kept_ceiling_that_does_not_count_it():
    zone = RuleZone(policy(DEDICATED | {"answer_within": 4000})).ready(sip=10, h323=0)
    zone.grant()
    zone.wait(1).snapshot(sip=9, h323=0).wait(4000)
    assert zone.pool()["in_use"] == 0
    assert zone.pool()["limit"] == 9


def test_a_ceiling_older_than_max_age_is_not_kept():
    zone, _ = full(DEDICATED)
    zone.wait(MAX_AGE_MS + 1).snapshot(sip=5, h323=0)
    assert zone.pool()["limit"] == 6


def test_a_kept_ceiling_shrinks_as_others_may_grow():
    zone = RuleZone(policy(GROWING)).ready(sip=10, h323=0)
    zone.wait(1000).snapshot(sip=5, h323=0)
    assert zone.pool()["limit"] == 8  # 10, 1.5 s ago
    assert zone.wait(1000).pool()["limit"] == 7


def test_a_recovery_drops_the_kept_ceiling():
    zone, _ = full(DEDICATED)
    zone.run_id = "second"
    zone.wait(3501).snapshot(sip=6, h323=0)
    zone.wait(1).snapshot(sip=6, h323=0)
    assert zone.pool()["limit"] == 7


@pytest.mark.parametrize(
    ("rules", "failures", "headroom"),
    [
        ({}, 1, None),
        ({"adaptive": 3}, 1, 1),
        ({"adaptive": 3}, 5, 3),
        ({"adaptive_percent": 20}, 1, 1),
        ({"adaptive_percent": 19}, 9, 1),
        ({"adaptive_percent": 20}, 9, 2),
    ],
)
def test_a_launch_that_found_no_port_raises_the_headroom(rules, failures, headroom):
    zone = RuleZone(policy(rules)).ready(sip=10, h323=0)
    for _ in range(failures):
        zone.end(zone.grant(), "no_resource")
    pool = zone.pool()
    assert (pool.get("adaptive_headroom"), pool["headroom"]) == (headroom, headroom or 0)
    assert pool["room"] == 10 - (headroom or 0)


def test_two_hundred_launches_lower_the_headroom_again():
    zone = RuleZone(policy({"adaptive": 3})).ready(sip=10, h323=0)
    zone.end(zone.grant(), "no_resource")
    for _ in range(199):
        zone.end(zone.grant(), "failed")
    assert zone.pool()["headroom"] == 1
    zone.end(zone.grant(), "failed")
    assert zone.pool()["headroom"] == 0


def test_headroom_is_denied_as_reserved():
    zone = RuleZone(policy({"adaptive": 3})).ready(sip=1, h323=0)
    zone.end(zone.grant(), "no_resource")
    assert zone.ask()["reason"] == "reserved"


def test_a_measured_over_launch_is_bounded_by_the_limit_without_the_kept_ceiling():
    rules = {"growth_per_s": 1.5, "adaptive_percent": 40, "takes": {"sip": ["sip", "h323"]}}
    zone = RuleZone(policy(rules)).ready(sip=4, h323=4)
    id_ = zone.grant()
    zone.wait(10).snapshot(sip=2, h323=0)
    assert zone.pool("channel:h323")["limit"] == 3  # of the kept snapshot
    end = {"op": "end", "id": id_, "outcome": "no_resource"}
    status = zone.call({"op": "status"}, end, {"op": "status"})  # the first one computes limits
    h323 = next(pool for pool in status["pools"] if pool["pool"] == "channel:h323")
    assert (h323["limit"], h323.get("adaptive_headroom")) == (0, None)
