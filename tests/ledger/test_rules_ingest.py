"""Ingest in small examples, on oracle and script: what is taken, refused, what a lease guards."""

from typing import Any

import pytest

from tests.support.rule_zone import VISIBLE_MS, RuleZone, policy

pytestmark = pytest.mark.usefixtures("on_both")

HELD_MS = VISIBLE_MS + 501  # after this a new photograph must show a call that was granted before


REFUSALS: dict[str, Any] = {
    "future": (4, 4, 1),
    "before_recovery": (4, 4, -4000),
    "inconsistent": (4, 5, 0),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_photograph_that_cannot_be_is_refused(reason):
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


def test_a_photograph_that_a_newer_one_overtook_is_refused():
    zone = RuleZone().ready().wait(10)
    zone.photo(sip=3, h323=0)
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
