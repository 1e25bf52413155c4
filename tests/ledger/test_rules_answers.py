"""Small examples on oracle and script: reasons, several units, repeats, channels, MPPs."""

from typing import Any

import pytest

from tests.support.rule_zone import (
    LAG_MS,
    LAUNCH_MS,
    MAX_AGE_MS,
    RETENTION_MS,
    VISIBLE_MS,
    RuleZone,
    policy,
)

pytestmark = pytest.mark.usefixtures("on_both")


def test_a_denial_names_pool_room_and_snapshot():
    zone = RuleZone().ready(sip=1, h323=0)
    zone.grant()
    zone.wait(40)
    assert zone.ask(request_id="again") == {
        "decision": "deny",
        "granted": 0,
        "channel": "sip",
        "request_id": "again",
        "reservations": [],
        "reason": "no_capacity",
        "pool": "channel:sip",
        "in_use": 1,
        "limit": 1,
        "retry_after_ms": 1000,
        "room": 0,
        "snapshot": {"age_ms": 40, "total": 10, "unused": 1},
    }


REASONS: dict[str, Any] = {
    "no_snapshot": ({}, {"channel": "h323"}),
    "no_capacity": ({"capacity": {"sip": 0}}, {}),
    "reserved": ({"headroom": 10}, {}),
    "mpp_full": ({"mpps": ["m"], "mpp_total": 0}, {"mpp": "m"}),
    "campaign_limit": ({}, {"campaign": "full"}),
    "pool_full": ({}, {"pools": ["trunk:full"]}),
}


def test_a_named_pool_of_the_kind_mpps_has_its_limit():
    zone = RuleZone(policy(mpps__full={"limit": 0})).ready(sip=10)
    assert zone.ask(pools=["mpps:full"])["reason"] == "pool_full"


@pytest.mark.parametrize("reason", REASONS)
def test_each_pool_that_is_full_has_its_reason(reason):
    rules, asked = REASONS[reason]
    full = {"campaign__full": {"limit": 0}, "trunk__full": {"limit": 0}}
    zone = RuleZone(policy(rules, **full)).ready(sip=10)
    assert zone.ask(**asked)["reason"] == reason


BETWEEN_REQUESTS: dict[str, Any] = {
    "zone_paused": {"op": "pause", "on": True},
    "pool_paused": {"op": "pause", "pool": "campaign:a", "on": True},
    "recovering": {"op": "stepped"},
    "no_snapshot": {"op": "ingest", "groups": [], "absent": ["channel:sip"]},
}


@pytest.mark.parametrize("reason", BETWEEN_REQUESTS)
def test_a_change_between_requests_of_a_call_denies_the_later_ones(reason):
    """The checks that the first request passed hold for the second, and not after the change."""
    zone = RuleZone().ready(sip=10).wait(1)
    one = {"op": "admit", "campaign": "a", "channel": "sip", "count": 1, "min_count": 1}
    first, second, third = (
        one | {"id": name * 11, "request_id": name, "body": "b"} for name in "xyz"
    )
    change = BETWEEN_REQUESTS[reason] | {"t0": zone.now}
    answer = zone.call(first, second, change, third)
    assert (answer["decision"], answer.get("reason")) == ("deny", reason)
    assert zone.pool()["in_use"] == 2


def test_any_takes_the_first_channel_that_has_all():
    zone = RuleZone().ready(sip=5, h323=2)
    assert zone.ask(channel="any", count=2)["channel"] == "h323"
    assert zone.ask(channel="any", count=2)["channel"] == "sip"


def test_any_takes_the_channel_that_has_most():
    zone = RuleZone().ready(sip=3, h323=2)
    answer = zone.ask(channel="any", count=5)
    assert (answer["channel"], answer["granted"], answer["reason"]) == ("sip", 3, "no_capacity")


def test_a_partial_grant_is_all_or_nothing_below_min_count():
    zone = RuleZone().ready(sip=3, h323=0)
    assert zone.ask(count=5, min_count=4)["granted"] == 0
    answer = zone.ask(count=5, min_count=3)
    assert [one["id"][11:] for one in answer["reservations"]] == ["", ".2", ".3"]
    assert (answer["granted"], answer["in_use"], answer["limit"], answer["room"]) == (3, 3, 3, 0)


def test_a_call_that_takes_two_channels_takes_both_or_none():
    zone = RuleZone(policy({"takes": {"sip": ["sip", "h323"]}})).ready(sip=5, h323=1)
    zone.grant()
    assert zone.ask()["pool"] == "channel:h323"
    assert zone.pool()["in_use"] == 1


def test_a_repeat_gets_the_first_grant_and_less_time():
    zone = RuleZone().ready()
    first = zone.ask(request_id="same")
    seen = zone.wait(300).now
    zone.wait(200)
    again = zone.ask(request_id="same", seen=seen)
    assert (first["launch_within_ms"], again["launch_within_ms"]) == (LAUNCH_MS, LAUNCH_MS - 300)
    assert again["repeated"]
    assert again["reservations"] == [first["reservations"][0] | {"state": "live"}]
    assert zone.pool()["in_use"] == 1


def test_a_repeat_after_the_end_does_not_launch():
    zone = RuleZone().ready()
    id_ = zone.grant(request_id="same")
    zone.end(id_)
    again = zone.ask(request_id="same")
    assert again["launch_within_ms"] == 0
    assert again["reservations"][0]["state"] == "ended"


def test_a_request_is_new_again_when_its_record_is_gone():
    zone = RuleZone().ready()
    zone.end(zone.grant(request_id="same"))
    zone.wait(RETENTION_MS).snapshot(sip=10, h323=0)
    assert zone.ask(request_id="same")["repeated"]
    assert "repeated" not in zone.wait(1).ask(request_id="same")


def test_another_body_under_the_same_key_is_a_conflict():
    zone = RuleZone().ready()
    zone.grant(request_id="same")
    assert zone.ask(request_id="same", body="other")["error"] == "conflict"
    assert "error" not in zone.ask(request_id="same", body="other", campaign="b")


def test_a_dry_run_takes_nothing():
    zone = RuleZone().ready()
    answer = zone.ask(dry_run=True, explain=True)
    assert (answer["decision"], answer["dry_run"], answer["reservations"]) == ("grant", True, [])
    assert [(one["pool"], one["verdict"]) for one in answer["pools"]] == [
        ("channel:sip", "ok"),
        ("campaign:a", "ok"),
    ]
    assert zone.pool()["in_use"] == 0


def test_a_pool_above_its_limit_has_no_room():
    zone = RuleZone().ready()
    zone.grant()
    zone.call({"op": "limit", "pool": "campaign:a", "limit": 0, "ttl_ms": 1000})
    explained = zone.ask(dry_run=True, explain=True)["pools"][1]
    assert (explained["pool"], explained["room"]) == ("campaign:a", 0)
    assert zone.pool("campaign:a")["room"] == 0


MPPS = {"mpps": ["m1", "m2"], "mpp_total": 8}
CAPACITIES = {"mpp__m1__sip": {"limit": 4}, "mpp__m2__sip": {"limit": 4}}


def test_a_call_moves_to_the_mpp_where_the_platform_placed_it():
    zone = RuleZone(policy(MPPS, **CAPACITIES)).ready(sip=10, h323=0)
    id_ = zone.grant(mpp="m1")
    zone.launched(id_, mpp="m2")
    zone.launched(id_, mpp="nowhere")
    assert (zone.pool("mpp:m1:sip")["in_use"], zone.pool("mpp:m2:sip")["in_use"]) == (0, 1)


def test_the_controller_places_where_most_is_free():
    zone = RuleZone(policy(MPPS | {"placement": "controller"}, **CAPACITIES)).ready()
    placed = [zone.ask()["reservations"][0]["mpp"] for _ in range(3)]
    assert placed == ["m1", "m2", "m1"]


def test_foreign_use_takes_its_part_of_each_mpp():
    zone = RuleZone(policy(MPPS, **CAPACITIES)).ready(sip=7, h323=0)  # 3 of 10 are in use
    assert zone.pool("mpp:m1:sip")["limit"] == 2  # 4 - ceil(3 * 4 / 8)


def test_the_snapshot_of_an_mpp_counts_while_it_is_fresh():
    zone = RuleZone(policy(MPPS, **CAPACITIES)).ready(sip=7, h323=0)
    zone.ingest(4, {"mpp:m1:sip": 3})
    assert zone.pool("mpp:m1:sip")["limit"] == 3
    zone.wait(MAX_AGE_MS + 1)
    assert zone.pool("mpp:m1:sip")["limit"] == 2


@pytest.mark.parametrize(("waited_ms", "in_use"), [(0, 1), (MAX_AGE_MS + 1, 0)])
def test_a_call_in_unknown_state_waits_for_the_snapshot_of_its_mpp_while_it_is_fresh(
    waited_ms, in_use
):
    zone = RuleZone(policy(MPPS, **CAPACITIES)).ready()
    zone.ingest(4, {"mpp:m1:sip": 4})
    zone.wait(waited_ms).snapshot(sip=10, h323=0)
    zone.end(zone.grant(mpp="m1"), "unknown")
    zone.wait(VISIBLE_MS + LAG_MS + 1).snapshot(sip=10, h323=0).wait(501)
    assert zone.pool()["in_use"] == in_use
