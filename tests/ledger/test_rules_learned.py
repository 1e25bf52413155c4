"""Learned ceilings in small examples, on oracle and script: when they count, what moves them."""

from typing import Any

import pytest

from tests.support.rule_zone import (
    ANSWER_MS,
    LAG_MS,
    VISIBLE_MS,
    Answer,
    RuleZone,
    policy,
)

pytestmark = pytest.mark.usefixtures("on_both")

SIP = "channel:sip"
LONG_MS = 1_000_000
FEW = 2  # unused ports by the snapshots: the proved ceiling of an idle zone


class LearnedZone(RuleZone):
    """A zone of 10 ports with one snapshot, of which nothing is learned yet.

    Args:
        idle: unused ports by the snapshots that say nothing else.
    """

    def __init__(self, ceilings: str = "learned", *, idle: int = FEW, **changes: Any) -> None:
        self.idle = idle
        super().__init__(policy({"ceilings": ceilings} | changes))
        self.wait(VISIBLE_MS + LAG_MS + 1)
        self.observe()

    def observe(self, **unused: int) -> Answer:
        """A snapshot; what it answers to learn from."""
        given = unused or {"sip": self.idle, "h323": 0}
        counts = {f"channel:{name}": n for name, n in given.items()}
        self.seen = dict(self.ingest(10, counts)["observations"][SIP])
        return self.seen

    def learn(self, *ceilings: int, **changes: Any) -> Answer:
        """What an estimator may answer to the newest snapshot."""
        given = {name: self.seen[name] for name in ("t0", "after", "failures", "drops")}
        given |= {"state": "text", "step_ms": LONG_MS, "valid_until": self.now + LONG_MS}
        given |= {"pending": 0, "burst_limit": 100, "doubts": [], "ceilings": list(ceilings)}
        return self.call({"op": "learn", "pools": {SIP: given | changes}})

    def taught(self, *ceilings: int, **changes: Any) -> "LearnedZone":
        assert self.learn(*ceilings, **changes)["learned"] == [SIP]
        return self

    def limit(self) -> int:
        return int(self.pool()["limit"])


def test_what_was_learned_counts_instead_of_what_is_proved() -> None:
    for ceiling in (4, 12):
        zone = LearnedZone().taught(ceiling)
        assert zone.limit() == ceiling
        for _ in range(ceiling):
            zone.grant()
        assert zone.ask()["reason"] == "no_capacity"


def test_a_stated_time_of_the_count_is_learned_from() -> None:
    zone = LearnedZone()
    for age_ms in (None, 100):
        zone.wait(2_000)
        stated = None if age_ms is None else zone.now - age_ms
        given = {} if stated is None else {"counted_at": stated}
        seen = zone.ingest(10, {"channel:sip": 10, "channel:h323": 0}, **given)["observations"][SIP]
        assert seen.get("counted_at") == stated


@pytest.mark.parametrize(("learned", "limit"), [(1, FEW), (4, 4)])
def test_the_larger_of_both_counts_while_it_is_trusted(learned: int, limit: int) -> None:
    assert LearnedZone().taught(learned).limit() == limit


def test_a_failing_launch_bounds_the_proved_ceiling_too() -> None:
    zone = LearnedZone(idle=8, adaptive=0).taught(4, pending=2)
    ids = [zone.grant() for _ in range(6)]
    zone.end(ids[0], "no_resource")
    assert zone.limit() == 3
    zone.wait(10)
    zone.observe(sip=5, h323=0)
    zone.taught(4)
    assert zone.limit() == 5


def test_a_mass_of_ends_freezes_the_proved_ceiling_too() -> None:
    zone = LearnedZone(idle=8).taught(4, burst_limit=2)
    ids = [zone.grant() for _ in range(4)]
    for id_ in ids[:3]:
        zone.end(id_)
    assert zone.limit() == 0


def test_it_counts_only_where_policy_says_so() -> None:
    zone = LearnedZone("proved").taught(4)
    assert zone.limit() == FEW
    assert zone.pool()["learned"]["ceiling"] == 4
    assert not zone.pool()["learned"]["in_force"]


FALLBACKS: dict[str, tuple[Answer, int, str | None]] = {
    "trusted": ({}, 4, None),
    "distrusted": ({"doubts": ["failing"]}, FEW, "distrusted"),
    "cold and distrusted": ({"doubts": ["cold", "failing"]}, FEW, "distrusted"),
    "cold, less": ({"doubts": ["cold"], "ceilings": [1]}, 1, "cold"),
    "cold, more": ({"doubts": ["cold"], "ceilings": [12]}, FEW, "cold"),
}


@pytest.mark.parametrize("case", FALLBACKS)
def test_the_proved_ceiling_counts_while_it_is_not_trusted(case: str) -> None:
    changes, limit, reason = FALLBACKS[case]
    zone = LearnedZone().taught(4, **changes)
    assert zone.limit() == limit
    assert zone.pool()["learned"].get("fallback") == reason


def test_the_proved_ceiling_counts_before_anything_is_learned() -> None:
    zone = LearnedZone()
    assert zone.limit() == FEW
    assert zone.pool()["learned"]["fallback"] == "cold"


def test_it_lapses() -> None:
    zone = LearnedZone()
    zone.taught(4, valid_until=zone.now + 50).wait(49)
    assert zone.limit() == 4
    zone.wait(1)
    assert (zone.limit(), zone.pool()["learned"]["fallback"]) == (FEW, "stale")


def test_a_loss_of_state_ends_it_and_the_next_snapshot_begins_anew() -> None:
    zone = LearnedZone().taught(4)
    zone.wait(10)
    zone.run_id = "another"
    zone.call({"op": "time"})
    assert zone.pool()["learned"]["fallback"] == "recovering"
    assert zone.limit() == FEW
    assert zone.learn(5, after=zone.seen["t0"])["refused"] == {SIP: "before_recovery"}
    zone.wait(10)
    seen = zone.observe()
    assert seen["after"] == 0
    assert not seen.get("state")


def test_each_step_has_its_ceiling_and_the_last_one_holds_on() -> None:
    zone = LearnedZone().taught(9, 7, 6, step_ms=100)
    limits = [zone.limit()]
    for ms in (99, 1, 100, 500):
        zone.wait(ms)
        limits.append(zone.limit())
    assert limits == [9, 9, 7, 6, 6]


def test_a_snapshot_teaches_once() -> None:
    zone = LearnedZone().taught(4)
    assert zone.learn(5)["refused"] == {SIP: "overtaken"}
    assert zone.limit() == 4


def test_only_the_newest_snapshot_teaches() -> None:
    zone = LearnedZone()
    old = zone.seen
    zone.wait(10)
    zone.observe()
    assert zone.learn(4, t0=old["t0"])["refused"] == {SIP: "overtaken"}
    assert zone.taught(5).limit() == 5


def test_two_replicas_that_learn_at_once_count_as_one() -> None:
    """Each has the observation of its own snapshot; the one of the newer wins."""
    zone = LearnedZone().taught(4)
    zone.wait(10)
    first = zone.observe()
    zone.wait(10)
    zone.observe()
    assert zone.learn(6, t0=first["t0"], after=first["after"])["refused"]
    assert zone.taught(5).limit() == 5
    assert zone.learn(6)["refused"]
    assert zone.limit() == 5


ODD: list[Answer] = [
    {"ceilings": []},
    {"ceilings": [-1]},
    {"ceilings": [1.5]},
    {"pending": -1},
    {"step_ms": 0},
    {"burst_limit": 2**31},
    {"valid_until": -1},
    {"drops": 0.5},
]


@pytest.mark.parametrize("odd", ODD)
def test_numbers_that_are_no_counts_are_not_stored(odd: Answer) -> None:
    zone = LearnedZone().taught(4)
    zone.wait(10)
    zone.observe()
    assert zone.learn(5, **odd)["refused"] == {SIP: "inconsistent"}
    assert zone.limit() == 4


def test_a_channel_that_no_snapshot_feeds_learns_nothing() -> None:
    zone = LearnedZone()
    given = {"op": "learn", "pools": {"channel:fax": {"t0": 1, "after": 0}}}
    assert zone.call(given)["refused"] == {"channel:fax": "not_fed"}


def test_grants_and_ends_do_not_move_it() -> None:
    zone = LearnedZone().taught(4)
    ids = [zone.grant() for _ in range(3)]
    zone.launched(ids[0], port_taken=True)
    zone.end(ids[0])
    zone.end(ids[1], "not_launched")
    assert zone.limit() == 4


def test_what_leaves_without_an_end_lowers_it_until_the_next_snapshot_has_shown_it() -> None:
    zone = LearnedZone()
    zone.grant()
    zone.wait(ANSWER_MS - 10)
    zone.observe()
    zone.taught(4).wait(11)
    assert zone.limit() == 3
    zone.observe()
    assert zone.taught(4).limit() == 4


def test_what_left_after_the_snapshot_and_before_it_was_learned_from_still_lowers_it() -> None:
    zone = LearnedZone()
    zone.grant()
    zone.wait(ANSWER_MS - 10)
    zone.observe()
    zone.wait(11)
    assert zone.taught(4).limit() == 3


def test_a_failing_launch_lowers_it_to_the_calls_that_have_a_port() -> None:
    zone = LearnedZone(adaptive=0).taught(9, pending=2)
    ids = [zone.grant() for _ in range(7)]
    zone.end(ids[0], "no_resource")
    assert zone.limit() == 6 - 2
    zone.end(ids[1], "no_resource")  # says the same
    assert zone.limit() == 6 - 2
    zone.wait(201)
    zone.end(ids[2], "no_resource")
    assert zone.limit() == 4 - 2
    zone.observe()
    assert zone.limit() == 2
    assert zone.taught(9).limit() == 9


def test_a_launch_that_failed_after_the_snapshot_still_lowers_what_is_learned_from_it() -> None:
    zone = LearnedZone(adaptive=0).taught(9)
    ids = [zone.grant() for _ in range(5)]
    zone.wait(10)
    zone.observe()
    zone.end(ids[0], "no_resource")
    assert zone.taught(9).limit() == 4


def test_a_mass_of_ends_freezes_the_pool_until_a_count_is_younger() -> None:
    zone = LearnedZone().taught(9, burst_limit=2)
    ids = [zone.grant() for _ in range(6)]
    for id_ in ids[:2]:
        zone.end(id_)
    assert zone.limit() == 9
    zone.wait(199)
    zone.end(ids[2])
    assert zone.limit() == 0
    assert zone.ask()["reason"] == "no_capacity"
    zone.wait(10)
    assert zone.observe()["frozen_at"]
    zone.taught(9, burst_limit=2)
    assert zone.limit() == 0
    zone.wait(10)
    zone.observe()
    assert zone.taught(9, lifts_freeze_of=zone.seen["frozen_at"]).limit() == 9


def test_ends_that_are_far_apart_or_late_freeze_nothing() -> None:
    zone = LearnedZone().taught(9, burst_limit=1)
    ids = [zone.grant() for _ in range(5)]
    zone.end(ids[0])
    zone.wait(200)
    zone.end(ids[1])
    for id_ in ids[2:]:
        zone.wait(501)
        zone.end(id_, ended_at=zone.now - 501)
    zone.grant()
    assert zone.limit() == 9


def test_the_port_of_a_failed_call_is_granted_again_after_the_next_snapshot() -> None:
    """Its media server may be gone."""
    zone = LearnedZone().taught(9)
    failed, completed = (zone.grant() for _ in range(2))
    zone.wait(VISIBLE_MS + LAG_MS + 1)
    zone.observe(sip=7, h323=0)
    zone.taught(9)
    zone.end(completed)
    assert zone.limit() == 9
    zone.end(failed, outcome="failed")
    assert zone.limit() == 8
    pending = zone.grant()
    zone.end(pending, outcome="failed")
    assert zone.limit() == 8
    zone.wait(10)
    zone.observe(sip=9, h323=0)
    assert zone.taught(9).limit() == 9


@pytest.mark.parametrize("outcome", ["no_answer", "busy", "bad_number"])
def test_calls_without_an_answer_that_end_together_freeze_nothing(outcome: str) -> None:
    """Calls that were launched together ring until the same timer ends them."""
    zone = LearnedZone().taught(9, burst_limit=1)
    ids = [zone.grant() for _ in range(6)]
    for id_ in ids[:4]:
        zone.end(id_, outcome=outcome)
    assert zone.limit() == 9
    for id_ in ids[4:]:
        zone.end(id_, outcome="completed")
    assert zone.limit() == 0


def test_a_newer_freeze_is_not_lifted() -> None:
    zone = LearnedZone().taught(9, burst_limit=0)
    ids = [zone.grant() for _ in range(2)]
    zone.end(ids[0])
    zone.wait(10)
    seen = zone.observe()
    zone.wait(300)
    zone.end(ids[1])
    assert zone.taught(9, lifts_freeze_of=seen["frozen_at"]).limit() == 0


def test_a_failing_launch_of_a_frozen_pool_takes_no_headroom_away() -> None:
    zone = LearnedZone(adaptive=0, adaptive_percent=40).taught(9, burst_limit=0)
    ids = [zone.grant() for _ in range(4)]
    zone.end(ids[0], "no_resource")
    zone.end(ids[1])
    zone.end(ids[2], "no_resource")
    zone.wait(10)
    zone.observe()
    zone.taught(9, lifts_freeze_of=zone.seen["frozen_at"])
    assert zone.pool()["headroom"] == 1


@pytest.mark.parametrize(("learned", "limit"), [(1, FEW), (12, 12)])
def test_a_kept_proof_counts_where_it_says_more(learned: int, limit: int) -> None:
    assert LearnedZone(dedicated=True).taught(learned).limit() == limit


def test_the_growth_of_foreign_use_that_policy_names_lowers_it() -> None:
    zone = LearnedZone(growth_per_s=2).taught(20)
    zone.wait(2000)
    assert zone.limit() == 20 - 2 * (2000 + LAG_MS) / 1000


def test_headroom_is_taken_off() -> None:
    zone = LearnedZone(headroom=2).taught(5)
    for _ in range(3):
        zone.grant()
    assert zone.ask()["reason"] == "reserved"


def test_a_platform_without_a_number_ends_it() -> None:
    zone = LearnedZone(capacity={"sip": 3}).taught(2)
    zone.wait(10)
    zone.call({"op": "ingest", "t0": zone.now, "groups": [], "absent": [SIP]})
    assert zone.limit() == 3
    zone.wait(10)
    assert zone.observe()["after"] == 0


def bins(seen: Answer, kind: str) -> dict[int, str]:
    """Ages in bins of 100 ms -> texts."""
    found = {name: text for name, text in (seen["bins"] or {}).items() if name[1:].isdigit()}
    newest = seen["t1"] // 100
    return {newest - int(name[1:]): text for name, text in found.items() if name[0] == kind}


def test_calls_without_a_port_are_counted_by_age() -> None:
    zone = LearnedZone(idle=10)
    first = [zone.grant() for _ in range(4)]
    zone.wait(300)
    second = [zone.grant() for _ in range(3)]
    zone.launched(first[0])
    zone.launched(first[1], port_taken=True)
    zone.launched(second[0])
    zone.wait(200)
    zone.launched(second[0], port_taken=True)
    zone.end(first[2], "not_launched")
    seen = zone.observe()
    assert bins(seen, "g") == {5: "1", 2: "2"}
    assert bins(seen, "l") == {2: "1"}
    assert (seen["bins"]["reports"], seen["bins"]["report_delay"]) == ("3", "600")
    zone.wait(7200)
    assert bins(zone.observe(), "g") == {}


def test_ended_calls_are_counted_by_their_age_until_no_count_can_show_them() -> None:
    zone = LearnedZone(idle=10)
    ids = [zone.grant() for _ in range(5)]
    zone.wait(400)
    zone.launched(ids[0])
    zone.wait(500)
    zone.end(ids[0], ended_at=zone.now - 100)
    zone.end(ids[1])
    zone.end(ids[2], "bad_number")  # was pending: it may never have had a port
    zone.wait(9900)
    zone.end(ids[3])
    seen = zone.observe()
    assert (bins(seen, "f"), bins(seen, "e")) == ({}, {0: "99"})
    assert seen["ends"] == 4
    zone.end(ids[4], ended_at=zone.now - 2000)
    zone.wait(1)
    seen = zone.observe()
    assert bins(seen, "e") == {0: "99", 20: "88"}
    zone.wait(2500)
    assert bins(zone.observe(), "e") == {25: "99"}


def test_ends_are_in_the_bins_of_their_moments() -> None:
    zone = LearnedZone(idle=10)
    ids = [zone.grant() for _ in range(2)]
    zone.wait(400)
    zone.launched(ids[0])
    zone.wait(500)
    zone.end(ids[0], ended_at=zone.now - 100)
    zone.end(ids[1])
    seen = zone.observe()
    assert (bins(seen, "f"), bins(seen, "e")) == ({1: "04"}, {0: "09"})


def test_reported_ports_are_counted_by_age_until_no_count_can_miss_them() -> None:
    zone = LearnedZone(idle=10)
    ids = [zone.grant() for _ in range(3)]
    zone.wait(300)
    zone.launched(ids[0])
    zone.wait(400)
    for _ in range(2):  # the second report says nothing new
        zone.launched(ids[0], port_taken=True)
        zone.launched(ids[1], port_taken=True)
    zone.wait(200)
    seen = zone.observe()
    assert (bins(seen, "u"), bins(seen, "t")) == ({2: "04"}, {2: "07"})
    assert (bins(seen, "l"), bins(seen, "g")) == ({}, {9: "1"})
    zone.wait(2500)
    seen = zone.observe()
    assert (bins(seen, "u"), bins(seen, "t")) == ({}, {})


def test_turned_on_and_off_with_calls_up_nothing_is_granted_beyond_what_then_counts() -> None:
    zone = LearnedZone("proved", idle=10).taught(8)
    for _ in range(8):
        zone.grant()
    zone.wait(10)
    zone.observe(sip=5, h323=0)  # 5 of the 8 have their port: unused + none held
    zone.taught(9)
    assert zone.ask()["reason"] == "no_capacity"
    zone.replace(policy({"ceilings": "learned"}))
    zone.grant()
    assert zone.ask()["reason"] == "no_capacity"
    zone.replace(policy({"ceilings": "proved"}))
    assert (zone.limit(), zone.pool()["in_use"]) == (5, 9)
    assert zone.ask()["reason"] == "no_capacity"


def contend(zone: LearnedZone) -> None:
    """Take every port that counts now, and be denied one more."""
    while zone.ask()["decision"] == "grant":
        pass


def gain(zone: LearnedZone) -> tuple[int, int]:
    """Milliseconds of the last hour in which ports were wanted, and the gain in ports times ms."""
    learned = zone.pool()["learned"]
    return learned["wanted_ms"], learned["gain_port_ms"]


@pytest.mark.parametrize(("learned", "ports"), [(14, 4), (7, 0)])
def test_what_learned_ceilings_would_have_gained_is_known_before_they_count(
    learned: int, ports: int
) -> None:
    zone = LearnedZone("proved", idle=10).taught(learned)
    contend(zone)
    zone.wait(700)
    zone.observe(sip=0, h323=0)
    assert gain(zone) == (700, 700 * ports)


def test_the_gain_is_that_beyond_the_proved_ceiling_with_learned_ones_too() -> None:
    zone = LearnedZone(idle=10).taught(14)
    contend(zone)
    zone.wait(700)
    zone.observe(sip=0, h323=0)
    assert gain(zone) == (700, 2800)


def test_a_cold_estimate_that_allows_less_is_a_loss() -> None:
    zone = LearnedZone("proved", idle=10).taught(7, doubts=["cold"])
    contend(zone)
    zone.wait(700)
    zone.observe(sip=0, h323=0)
    assert gain(zone) == (700, -2100)


def test_nothing_is_gained_while_no_request_is_denied() -> None:
    zone = LearnedZone("proved", idle=10).taught(14)
    zone.grant()
    zone.wait(700)
    zone.observe(sip=9, h323=0)
    assert gain(zone) == (0, 0)


def test_nothing_is_gained_by_an_estimate_that_is_not_trusted() -> None:
    zone = LearnedZone("proved", idle=10).taught(14, doubts=["failing"])
    contend(zone)
    zone.wait(700)
    zone.observe(sip=0, h323=0)
    assert gain(zone) == (700, 0)


@pytest.mark.parametrize("bound", [{"capacity": {"sip": 12}}, {}])
def test_no_gain_is_above_another_limit(bound: dict[str, Any]) -> None:
    zone = LearnedZone("proved", idle=10, **bound).taught(14)
    if not bound:
        zone.call({"op": "limit", "pool": SIP, "limit": 12, "ttl_ms": LONG_MS})
    contend(zone)
    zone.wait(700)
    zone.observe(sip=0, h323=0)
    assert gain(zone) == (700, 1400)


def test_a_snapshot_that_is_sent_again_gains_nothing_again() -> None:
    zone = LearnedZone("proved", idle=10).taught(14)
    contend(zone)
    zone.wait(700)
    counts = {"channel:sip": 0, "channel:h323": 0}
    op = {"op": "ingest", "t0": zone.now, "groups": [{"total": 10, "unused": counts}]}
    assert [zone.call(op)["accepted"] for _ in range(3)] == [True] * 3
    assert gain(zone) == (700, 2800)


def test_a_gain_is_forgotten_within_the_hour() -> None:
    zone = LearnedZone("proved", idle=10).taught(14)
    contend(zone)
    zone.wait(700)
    zone.observe(sip=0, h323=0)
    zone.wait(3_300_000)
    assert gain(zone) == (700, 2800)
    zone.wait(300_000)
    assert gain(zone) == (0, 0)


def test_an_interval_counts_for_no_longer_than_its_snapshot_is_fresh() -> None:
    zone = LearnedZone("proved", idle=10, max_age=500)
    for _ in range(8):  # a zone that is silent for longer than max_age recovers
        zone.wait(450)
        zone.call({"op": "time"})
    zone.observe()
    zone.taught(14)
    contend(zone)
    for _ in range(2):
        zone.wait(350)
        zone.call({"op": "time"})
    zone.observe(sip=0, h323=0)
    assert gain(zone) == (500, 2000)


def test_intervals_add_up_while_requests_are_denied() -> None:
    zone = LearnedZone("proved", idle=10).taught(14)
    contend(zone)
    for _ in range(2):
        zone.wait(400)
        zone.observe(sip=0, h323=0)
        zone.ask()
        zone.learn(14, doubts=["failing"])
    assert gain(zone) == (800, 1600)
