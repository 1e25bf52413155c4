"""Ingest in small examples, on oracle and script: what is taken, refused, what a lease guards."""

from typing import Any

import pytest

from tests.support.rule_zone import MAX_AGE_MS, VISIBLE_MS, RuleZone, policy

pytestmark = pytest.mark.usefixtures("on_both")

HELD_MS = VISIBLE_MS + 501  # after this a new snapshot must show a call that was granted before


REFUSALS: dict[str, Any] = {
    "future": (4, 4, 1),
    "before_recovery": (4, 4, -4000),
    "inconsistent": (4, 5, 0),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_an_impossible_snapshot_is_refused(reason):
    total, unused, t0 = REFUSALS[reason]
    zone = RuleZone().ready()
    zone.wait(10)
    answer = zone.ingest(total, {"channel:sip": unused}, t0=zone.now + t0)
    assert answer["refused"] == {"channel:sip": reason}
    assert zone.numbers() == (10, 0)


@pytest.mark.parametrize("number", [-1, 1.5, 2**31, 2**32 - 1])
def test_a_number_that_is_no_count_is_never_read_as_room(number):
    zone = RuleZone().ready().wait(10)
    assert zone.ingest(number, {"channel:sip": 1})["reason"] == "inconsistent"
    assert zone.ingest(2**31 - 1, {"channel:sip": number})["reason"] == "inconsistent"


def test_a_snapshot_that_arrives_after_a_newer_one_is_refused():
    zone = RuleZone().ready().wait(10)
    zone.snapshot(sip=3, h323=0)
    late = zone.ingest(10, {"channel:sip": 9}, t0=zone.now - 1)
    assert (late["reason"], late["pool"]) == ("out_of_order", "channel:sip")
    assert zone.ingest(10, {"channel:sip": 3})["accepted"]  # the same again: a repeat
    assert zone.ingest(10, {"channel:sip": 9})["reason"] == "out_of_order"


def test_a_channel_the_platform_has_no_number_for_goes_by_its_capacity():
    zone = RuleZone(policy({"capacity": {"sip": 2}})).ready(sip=9, h323=1).wait(10)
    zone.call({"op": "ingest", "t0": zone.now, "groups": [], "absent": ["channel:sip"]})
    assert zone.pool()["limit"] == 2
    zone.call({"op": "ingest", "t0": zone.now, "groups": [], "absent": ["channel:h323"]})
    assert zone.ask(channel="h323")["reason"] == "no_snapshot"


def test_a_pool_that_becomes_fed_while_in_use_holds_nothing_at_first():
    zone = RuleZone(policy(trunk__x={})).ready()
    zone.grant(pools=["trunk:x"])
    zone.wait(HELD_MS)
    zone.ingest(4, {"trunk:x": 3})
    assert zone.numbers("trunk:x") == (3, 1)
    zone.wait(HELD_MS)
    zone.ingest(4, {"trunk:x": 3})
    assert zone.numbers("trunk:x") == (4, 1)


def test_a_lease_is_one_holder_s_and_its_token_grows_with_every_change():
    zone = RuleZone()

    def lease(holder: str, **more: Any) -> tuple[bool, int | None]:
        answer = zone.call({"op": "lease", "holder": holder, "ttl_ms": 1000} | more)
        return answer["mine"], answer.get("token")

    (_, first), (_, same) = lease("one"), lease("one")
    assert first == same
    assert lease("two") == (False, None)
    zone.wait(1001)
    mine, second = lease("two")
    assert mine
    assert second is not None
    assert first is not None
    assert second > first
    assert zone.ingest(1, {"channel:sip": 1}, token=first)["reason"] == "deposed"


MPPS = {"mpps": ["m"], "mpp_total": 20}
OF_MPPS: Any = {"mpp__m__sip": {"limit": 10}, "mpp__m__h323": {"limit": 10}}


def zone_with_mpp(**more: Any) -> RuleZone:
    """One MPP with 10 ports of each channel; two sources count the channels, one each."""
    return RuleZone(policy(MPPS | more, **OF_MPPS)).wait(HELD_MS)


def count_channels(zone: RuleZone, **unused: int) -> None:
    """Each channel has 10 ports and is counted by itself."""
    groups = [{"total": 10, "unused": {f"channel:{name}": n}} for name, n in unused.items()]
    assert zone.call({"op": "ingest", "t0": zone.now, "groups": groups})["accepted"]


def limits_of_mpp(zone: RuleZone) -> tuple[int, int]:
    # A pool that no call holds is in no status of the oracle: a dry run names it.
    found = []
    for channel in ("sip", "h323"):
        answer = zone.ask(channel=channel, mpp="m", dry_run=True, explain=True)
        pools = {one["pool"]: one for one in answer["pools"]}
        found.append(pools[f"mpp:m:{channel}"]["limit"])
    return found[0], found[1]


@pytest.mark.parametrize("is_one_call", [True, False])
@pytest.mark.parametrize("channels", [("sip", "h323"), ("h323", "sip")])
def test_foreign_use_of_mpps_is_that_of_all_groups(channels, is_one_call):
    zone = zone_with_mpp()
    unused = {"sip": 4, "h323": 8}
    if is_one_call:
        count_channels(zone, **{channel: unused[channel] for channel in channels})
    else:
        for channel in channels:
            count_channels(zone.wait(10), **{channel: unused[channel]})
    assert limits_of_mpp(zone) == (10 - 4, 10 - 4)  # 6 + 2 ports of others, of 20


def test_own_calls_are_held_in_the_groups_of_all_sources():
    zone = zone_with_mpp()
    count_channels(zone, sip=10, h323=10)
    ids = [zone.grant(mpp="m") for _ in range(4)]
    for id_ in ids:
        zone.launched(id_, port_taken=True)
    zone.wait(501)
    count_channels(zone, sip=6)
    count_channels(zone, h323=10)
    assert limits_of_mpp(zone) == (10, 10)


def test_a_call_that_the_older_snapshot_may_not_contain_is_not_held():
    zone = zone_with_mpp()
    count_channels(zone, sip=6, h323=10)
    for _ in range(2):
        zone.launched(zone.grant(mpp="m"), port_taken=True)
    count_channels(zone.wait(501), h323=10)
    assert limits_of_mpp(zone) == (8, 8)  # the older one of SIP shows neither call
    count_channels(zone, sip=4)
    assert limits_of_mpp(zone) == (8, 8)


def test_a_source_that_stopped_counts_no_foreign_use_any_more():
    zone = zone_with_mpp()
    count_channels(zone, sip=0, h323=10)
    assert limits_of_mpp(zone) == (5, 5)
    zone.wait(MAX_AGE_MS)
    count_channels(zone, h323=10)
    assert limits_of_mpp(zone) == (5, 5)
    zone.wait(1)
    count_channels(zone, h323=10)
    assert limits_of_mpp(zone) == (10, 10)


def test_channels_that_are_counted_apart_are_no_group_any_more():
    zone = zone_with_mpp()
    zone.snapshot(total=20, sip=0, h323=0)
    count_channels(zone.wait(10), sip=10)
    assert limits_of_mpp(zone) == (10, 10)
    count_channels(zone.wait(10), h323=6)
    assert limits_of_mpp(zone) == (8, 8)


LONGEST_CALL_MS = 15_000
STATIC = {"fed": [], "capacity": {"sip": 10, "h323": 10}, "max_call": LONGEST_CALL_MS}


def zone_with_trunk(**rules: Any) -> RuleZone:
    """A zone without snapshots of channels; trunk x was counted once, with 1 of 4 free."""
    zone = RuleZone(policy(STATIC, trunk__x=rules)).wait(HELD_MS)
    assert zone.ingest(4, {"trunk:x": 1})["accepted"]
    return zone


def ask_of_trunk(zone: RuleZone) -> str:
    answer = zone.ask(pools=["trunk:x"])
    return str(answer.get("reason", answer["decision"]))


@pytest.mark.parametrize(("needs_snapshot", "after"), [(False, "grant"), (True, "no_snapshot")])
def test_a_named_pool_without_further_snapshots_is_denied_for_max_call(needs_snapshot, after):
    zone = zone_with_trunk(limit=2, needs_snapshot=needs_snapshot).wait(MAX_AGE_MS + 1)
    assert ask_of_trunk(zone) == "stale_snapshot"
    zone.wait(LONGEST_CALL_MS - MAX_AGE_MS - 1)
    assert ask_of_trunk(zone) == "stale_snapshot"
    assert ask_of_trunk(zone.wait(1)) == after


def test_after_that_the_limit_counts_alone_until_the_pool_is_counted_again():
    zone = zone_with_trunk(limit=2).wait(LONGEST_CALL_MS + 1)
    held = zone.grant(pools=["trunk:x"])
    zone.grant(pools=["trunk:x"])
    assert ask_of_trunk(zone) == "pool_full"
    zone.end(held)
    zone.ingest(4, {"trunk:x": 3})
    assert zone.numbers("trunk:x") == (3, 1)  # since when the call is visible is not known
    zone.wait(HELD_MS)
    zone.ingest(4, {"trunk:x": 3})
    assert zone.numbers("trunk:x") == (4, 1)


def test_calls_of_an_earlier_feed_are_not_pending_in_a_new_one():
    zone = zone_with_trunk().wait(LONGEST_CALL_MS - 1)
    adopt = {"campaign": "a", "channel": "sip", "pools": ["trunk:x"]}
    zone.launched("x" * 11, adopt=adopt)
    zone.wait(2)
    counted = {"op": "ingest", "t0": zone.now, "groups": [{"total": 4, "unused": {"trunk:x": 3}}]}
    zone.call({"op": "end", "id": "x" * 11, "outcome": "completed"}, counted)
    zone.grant(pools=["trunk:x"])
    assert zone.numbers("trunk:x") == (3, 1)


def test_a_snapshot_is_forgotten_when_policy_drops_the_pool():
    zone = zone_with_trunk(limit=1).wait(MAX_AGE_MS + 1)
    zone.replace(policy(STATIC))
    zone.replace(policy(STATIC, trunk__x={"limit": 1}))
    assert ask_of_trunk(zone) == "grant"


def test_the_stated_time_of_a_count_counts_instead_of_the_greatest_age():
    zone = RuleZone().ready(sip=10, h323=0)
    zone.grant()
    zone.wait(VISIBLE_MS + 1)
    # Without a stated time the count may be LAG_MS old, and lack the call.
    assert zone.ingest(10, {"channel:sip": 9}, t0=zone.now - 1)["accepted"]
    assert zone.numbers() == (9, 1)
    assert zone.ingest(10, {"channel:sip": 9}, counted_at=zone.now)["accepted"]
    assert zone.numbers() == (10, 1)


def test_a_count_that_is_stated_to_be_old_does_not_contain_newer_calls():
    zone = RuleZone().ready(sip=10, h323=0).wait(HELD_MS)
    zone.grant()
    zone.wait(HELD_MS)
    stated = zone.now - HELD_MS
    assert zone.ingest(10, {"channel:sip": 10}, counted_at=stated)["accepted"]
    assert zone.numbers() == (10, 1)


def test_a_count_that_is_stated_to_be_older_than_the_newest_is_refused():
    zone = RuleZone().ready(sip=10, h323=0).wait(HELD_MS)
    assert zone.ingest(10, {"channel:sip": 9}, counted_at=zone.now)["accepted"]
    zone.wait(100)
    late = zone.ingest(10, {"channel:sip": 8}, counted_at=zone.now - 200)
    assert late["reason"] == "out_of_order"


def test_a_count_is_never_later_than_the_answer_to_its_query():
    zone = RuleZone().ready(sip=10, h323=0).wait(HELD_MS)
    assert zone.ingest(10, {"channel:sip": 9}, counted_at=zone.now + 5_000)["accepted"]
    zone.wait(100)
    assert zone.ingest(10, {"channel:sip": 8}, counted_at=zone.now)["accepted"]
