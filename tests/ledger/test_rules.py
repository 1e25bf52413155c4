"""The rules one by one, in small examples: snapshots, ends and deadlines.

Each test runs on the oracle and on the script.
"""

import pytest

from tests.support.rule_zone import (
    ANSWER_MS,
    CALL_MS,
    MAX_AGE_MS,
    RETENTION_MS,
    VISIBLE_MS,
    RuleZone,
    policy,
)

pytestmark = pytest.mark.usefixtures("on_both")

HELD_MS = VISIBLE_MS + 501  # after this a new snapshot must show a call that was granted before
ADOPT = {"campaign": "a", "channel": "sip", "pools": []}


def with_held_call() -> tuple[RuleZone, str]:
    """A zone whose newest snapshot must show one call: ceiling 5 = 4 unused + 1 held."""
    zone = RuleZone().ready()
    id_ = zone.grant()
    zone.wait(HELD_MS).snapshot(sip=4, h323=0)
    assert zone.numbers() == (5, 1)
    return zone, id_


def test_a_pending_call_is_not_added_to_the_ceiling():
    zone = RuleZone().ready()
    zone.grant()
    zone.wait(VISIBLE_MS).snapshot(sip=4, h323=0)
    pool = zone.pool()
    assert (pool["ceiling"], pool["pending"], pool["held"]) == (4, 1, 0)


@pytest.mark.parametrize(("later_ms", "held"), [(VISIBLE_MS + 500, 0), (VISIBLE_MS + 501, 1)])
def test_a_call_is_held_when_its_window_closed_before_that_of_the_snapshot_opened(later_ms, held):
    zone = RuleZone().ready()
    zone.grant()
    zone.wait(later_ms).snapshot(sip=4, h323=0)
    assert zone.pool()["held"] == held


def test_a_taken_port_is_held_by_the_next_snapshot():
    zone = RuleZone().ready()
    zone.launched(zone.grant(), port_taken=True)
    zone.wait(501).snapshot(sip=4, h323=0)
    assert zone.numbers() == (5, 1)


def test_a_launch_without_a_port_moves_nothing():
    zone = RuleZone().ready()
    zone.launched(zone.grant(), port_taken=False)
    zone.wait(501).snapshot(sip=4, h323=0)
    assert zone.numbers() == (4, 1)


@pytest.mark.parametrize("outcome", ["not_launched", "failed"])
def test_a_pending_end_gives_its_port_back_at_once(outcome):
    zone = RuleZone().ready(sip=1, h323=0)
    id_ = zone.grant()
    assert zone.ask()["reason"] == "no_capacity"
    zone.end(id_, outcome)
    assert zone.numbers() == (1, 0)
    assert zone.ask()["decision"] == "grant"


CREDITS = {
    # outcome, port taken, ended after t1 by ms (None: not reported), ceiling stays
    "ended after the snapshot": ("completed", False, 300, True),
    "not answered": ("no_answer", False, 300, True),
    "a bad number, with a port taken": ("bad_number", True, 300, True),
    "failed after a port was taken": ("failed", True, 300, False),
    "failed, no port known": ("failed", False, 300, False),
    "never launched": ("not_launched", False, 300, False),
    "no time reported": ("completed", False, None, False),
    "within end_notice of the snapshot": ("completed", False, 200, False),
    "within end_notice and drift": ("completed", False, 202, False),
    "just after both": ("completed", False, 203, True),
    "before the snapshot": ("completed", False, -1, False),
}


@pytest.mark.parametrize("name", CREDITS)
def test_a_held_end_lowers_the_ceiling_unless_it_earns_the_credit(name):
    outcome, taken, after_ms, stays = CREDITS[name]
    zone, id_ = with_held_call()
    taken_at = zone.now
    zone.wait(300)
    if taken:
        zone.launched(id_, port_taken=True)
    times = {} if after_ms is None else {"ended_at": taken_at + after_ms}
    zone.end(id_, outcome, **times)
    # 2 ms of drift for the 3.8 s since the grant
    assert zone.numbers() == (5 if stays else 4, 0)


def test_an_end_in_the_future_is_an_end_of_unknown_time():
    zone, id_ = with_held_call()
    zone.wait(300)
    zone.end(id_, ended_at=zone.now + 1)
    assert zone.numbers() == (4, 0)
    assert "ended_at" not in {k for k, v in zone.call({"op": "get", "id": id_}).items() if v}


def test_no_credit_across_a_recovery():
    zone, id_ = with_held_call()
    zone.run_id = "second"
    zone.wait(1000)
    zone.end(id_, ended_at=zone.now)
    assert zone.numbers() == (4, 0)


def test_a_second_end_changes_nothing():
    zone, id_ = with_held_call()
    assert zone.end(id_)["repeated"] is False
    assert zone.end(id_) == {"id": id_, "state": "ended", "repeated": True}
    assert zone.numbers() == (4, 0)


def test_no_credit_for_a_call_from_before_the_clock_stepped_back():
    zone, id_ = with_held_call()
    zone.raw_ms -= 1000
    zone.call({"op": "time"})
    zone.wait(1000)
    zone.end(id_, ended_at=zone.now)
    assert zone.numbers() == (4, 0)


def test_a_call_at_the_edge_of_the_window_is_pending_and_gives_its_port_back():
    zone = RuleZone().ready()
    id_ = zone.grant()
    zone.wait(VISIBLE_MS + 500).snapshot(sip=4, h323=0)
    zone.end(id_, "failed")
    assert zone.numbers() == (4, 0)


@pytest.mark.parametrize(("outcome", "ceiling"), [("failed", 9), ("completed", 10)])
def test_a_pending_call_that_had_a_port_and_failed_gives_none_back(outcome, ceiling):
    """Its media server may be gone with the port, and no snapshot shows that yet."""
    zone = RuleZone(policy(trunk__x={})).ready()
    zone.ingest(10, {"trunk:x": 10})
    id_ = zone.grant(pools=["trunk:x"])
    zone.launched(id_, port_taken=True)
    zone.end(id_, outcome)
    assert zone.numbers() == (ceiling, 0)
    zone.grant(pools=["trunk:x"])
    assert zone.numbers("trunk:x") == (10, 1)  # a media server has no trunks
    zone.wait(1000).snapshot(sip=10, h323=0)
    assert zone.pool()["ceiling"] == 10


def test_a_failure_on_an_mpp_lowers_the_ceiling_of_its_own_snapshot():
    zone = RuleZone(policy({"mpps": ["m"], "mpp_total": 9}, mpp__m__sip={"limit": 9})).ready()
    zone.ingest(9, {"mpp:m:sip": 5})
    id_ = zone.grant(mpp="m")
    zone.launched(id_, port_taken=True)
    zone.end(id_, "failed")
    zone.grant(mpp="m")
    assert zone.numbers("mpp:m:sip") == (4, 1)


def test_an_expiry_lowers_the_ceiling_of_what_was_held():
    zone, id_ = with_held_call()
    zone.wait(ANSWER_MS)
    assert zone.numbers() == (4, 0)
    assert zone.call({"op": "get", "id": id_})["state"] == "expired"


def test_a_call_in_unknown_state_expires_when_a_snapshot_must_show_it():
    zone = RuleZone().ready()
    id_ = zone.grant()
    assert zone.end(id_, "unknown") == {
        "id": id_,
        "state": "live",
        "repeated": False,
        "renew_within_ms": ANSWER_MS,
    }
    zone.wait(VISIBLE_MS + 1000)
    assert zone.pool()["in_use"] == 1
    zone.snapshot(sip=4, h323=0)
    assert zone.numbers() == (5, 1)
    zone.wait(501)
    assert zone.numbers() == (4, 0)


def test_a_call_in_unknown_state_is_live_again_after_a_report():
    zone = RuleZone().ready()
    id_ = zone.grant()
    zone.end(id_, "unknown")
    zone.renew(id_)
    zone.wait(HELD_MS).snapshot(sip=4, h323=0).wait(501)
    assert zone.numbers() == (5, 1)


def test_an_end_takes_effect_when_its_port_is_released():
    zone = RuleZone(policy({"release_within": 400})).ready(sip=1, h323=0)
    id_ = zone.grant()
    assert zone.end(id_, "failed")["state"] == "ended"
    assert zone.wait(400).ask()["reason"] == "no_capacity"
    assert zone.wait(1).ask()["decision"] == "grant"


def test_nothing_is_granted_until_a_snapshot_after_the_recovery():
    zone = RuleZone()
    zone.wait(VISIBLE_MS - 1)
    first = zone.ask()
    assert (first["reason"], first["retry_after_ms"]) == ("recovering", 1000)
    zone.wait(1)
    assert zone.ask()["reason"] == "no_snapshot"
    zone.wait(500).snapshot(sip=10, h323=0)
    assert zone.ask()["reason"] == "recovering"
    zone.wait(1).snapshot(sip=10, h323=0)
    assert zone.ask()["decision"] == "grant"


@pytest.mark.parametrize("silence_ms", [MAX_AGE_MS, MAX_AGE_MS + 1])
def test_a_long_silence_is_a_loss(silence_ms):
    zone = RuleZone().ready()
    zone.raw_ms += silence_ms
    assert zone.call({"op": "status"})["recovering"] is (silence_ms > MAX_AGE_MS)


def test_an_old_snapshot_denies():
    zone = RuleZone().ready().wait(MAX_AGE_MS)
    assert zone.ask()["decision"] == "grant"
    assert zone.wait(1).ask()["reason"] == "stale_snapshot"


def test_a_clock_that_steps_back_stops_the_zone_s_time():
    zone = RuleZone().ready()
    before = zone.now
    zone.raw_ms -= 5000
    assert zone.ask()["decision"] == "grant"
    assert zone.now == before
    zone.raw_ms += 7
    zone.call({"op": "time"})
    assert zone.now == before + 7


def test_dedicated_ports_keep_the_best_ceiling():
    zone = RuleZone(policy({"dedicated": True})).ready(sip=10, h323=0)
    zone.grant()
    zone.wait(1).snapshot(sip=8, h323=0)  # ours, not yet held: 8 would be too few
    assert zone.pool()["limit"] == 10


def test_an_over_launch_on_dedicated_ports_goes_by_the_newest_snapshot():
    zone = RuleZone(policy({"dedicated": True})).ready(sip=10, h323=0)
    id_ = zone.grant()
    zone.wait(1).snapshot(sip=8, h323=0)
    zone.end(id_, "no_resource")
    assert zone.pool()["limit"] == 8


def test_a_recovery_resets_dedicated_ports():
    zone = RuleZone(policy({"dedicated": True})).ready(sip=10, h323=0)
    zone.run_id = "second"
    zone.wait(VISIBLE_MS + 501).snapshot(sip=6, h323=0)
    assert zone.pool()["limit"] == 6


def test_a_total_that_changed_resets_dedicated_ports():
    zone = RuleZone(policy({"dedicated": True})).ready(sip=10, h323=0)
    zone.wait(1).snapshot(total=6, sip=6, h323=0)
    assert zone.pool()["limit"] == 6


def test_foreign_growth_lowers_the_limit_with_the_age_of_the_snapshot():
    zone = RuleZone(policy({"growth_per_s": 2})).ready(sip=10, h323=0)
    assert zone.pool()["limit"] == 9  # 0.5 s of lag
    assert zone.wait(501).pool()["limit"] == 7


def test_an_expired_call_is_adopted_and_moves_no_ceiling():
    zone, id_ = with_held_call()
    zone.wait(ANSWER_MS)
    assert zone.renew(id_, adopt=ADOPT) == {
        "id": id_,
        "state": "live",
        "repeated": False,
        "adopted": True,
        "renew_within_ms": ANSWER_MS,
    }
    assert zone.numbers() == (4, 1)


def test_an_ended_or_buried_call_is_not_adopted():
    zone = RuleZone().ready()
    id_ = zone.grant()
    zone.end(id_)
    assert zone.renew(id_, adopt=ADOPT) == {"id": id_, "state": "ended", "repeated": False}
    assert zone.end("99999999999")["error"] == "unknown_reservation"
    assert zone.renew("99999999999", adopt=ADOPT)["error"] == "unknown_reservation"
    zone.wait(RETENTION_MS + 1)
    assert zone.renew("99999999999", adopt=ADOPT)["adopted"]


def test_reports_move_the_deadline():
    zone = RuleZone().ready()
    id_ = zone.grant()
    assert zone.launched(id_)["renew_within_ms"] == ANSWER_MS
    zone.wait(1000)
    assert zone.renew(id_)["renew_within_ms"] == ANSWER_MS
    assert zone.launched(id_, port_taken=True)["renew_within_ms"] == CALL_MS
    assert zone.launched(id_, port_taken=True)["repeated"]


def test_a_report_beyond_the_deadline_meets_an_expired_call():
    zone = RuleZone().ready()
    id_ = zone.grant()
    zone.wait(ANSWER_MS)
    assert zone.renew(id_)["state"] == "live"
    zone.wait(ANSWER_MS + 1)
    assert zone.end(id_) == {"id": id_, "state": "expired", "repeated": False}


def test_a_call_in_unknown_state_of_a_static_zone_expires_when_its_port_must_be_claimed():
    """No snapshot will ever show it, neither of the channel nor of the MPPs."""
    static = {"fed": [], "capacity": {"sip": 5}, "mpps": ["m"], "mpp_total": 6}
    zone = RuleZone(policy(static, mpp__m__sip={"limit": 6}))
    zone.wait(VISIBLE_MS)
    zone.end(zone.grant(mpp="m"), "unknown")
    zone.wait(VISIBLE_MS)
    assert zone.pool()["in_use"] == 1
    zone.wait(1000)
    assert zone.pool()["in_use"] == 0
