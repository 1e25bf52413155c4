"""Adoption after a loss: whose calls are counted again, for how long, and how many.

Each test runs on the oracle and on the script.
"""

import pytest

from tests.support.rule_zone import CALL_MS, RuleZone, policy

pytestmark = pytest.mark.usefixtures("on_both")

STATIC = {"fed": [], "capacity": {"sip": 20, "h323": 20}}
ADOPT = {"campaign": "b", "channel": "sip", "pools": ["trunk:x"]}


def static(zone: dict[str, object] | None = None, **fields: dict[str, object]) -> RuleZone:
    """A zone that just lost its state, without snapshots."""
    named = {"campaign__b": {"limit": 5}, "trunk__x": {"limit": 3}} | fields
    return RuleZone(policy(STATIC | (zone or {}), **named))


def adopt(zone: RuleZone, n: int, **more: object) -> bool:
    """Whether the zone adopts the n-th invented id."""
    return bool(zone.renew(f"{n:011}", adopt=ADOPT | more).get("adopted"))


@pytest.mark.parametrize(("waited_ms", "is_adopted"), [(CALL_MS, True), (CALL_MS + 1, False)])
def test_an_unknown_call_is_adopted_while_a_loss_explains_it(waited_ms, is_adopted):
    zone = static().wait(waited_ms)
    assert adopt(zone, 1) is is_adopted
    assert zone.pool("channel:sip")["in_use"] == is_adopted


def test_a_loss_explains_unknown_calls_again():
    zone = static().wait(CALL_MS + 1)
    assert not adopt(zone, 1)
    assert adopt(zone.lose_all(), 1)


def test_an_id_without_proof_is_not_adopted():
    zone = static()
    answer = zone.renew("0" * 11, adopt=ADOPT, unproved=True)
    assert answer["error"] == "unknown_reservation"


@pytest.mark.parametrize(
    ("pools", "most"), [(["trunk:x"], 3), ([], 5)], ids=["named pool", "campaign"]
)
def test_a_campaign_restates_no_more_than_it_can_have_held(pools, most):
    zone = static()
    assert [adopt(zone, n, pools=pools) for n in range(8)].count(True) == most
    assert zone.pool("channel:sip")["in_use"] == most


def test_no_more_calls_are_adopted_than_the_channel_has_ports():
    zone = static({"capacity": {"sip": 4, "h323": 20}})
    assert [adopt(zone, n, pools=[]) for n in range(8)].count(True) == 4


def test_no_more_calls_are_adopted_than_the_newest_snapshot_has_ports():
    zone = RuleZone(policy()).ready(total=4, sip=2, h323=0)
    assert [adopt(zone, n, pools=[], campaign="a") for n in range(8)].count(True) == 4


@pytest.mark.parametrize(("campaign", "most"), [("b", 2), ("vip", 4)])
def test_units_that_others_are_guaranteed_are_not_adopted(campaign, most):
    rules = {"guaranteed": "channel:sip", "guarantee_total": 3, "capacity": {"sip": 5, "h323": 9}}
    zone = static(
        rules,
        campaign__vip={"guarantee": 2},
        campaign__other={"guarantee": 1},
        guarantees={"vip": 2, "other": 1},
    )
    found = [adopt(zone, n, pools=[], campaign=campaign) for n in range(8)]
    assert found.count(True) == most


def test_an_expired_call_stays_expired_when_its_pool_is_full():
    zone = static()
    zone.wait(3000)
    first, trunk = zone.grant(campaign="b", pools=["trunk:x"]), {"pools": ["trunk:x"]}
    zone.wait(150_001)
    for _ in range(3):
        zone.grant(campaign="b", **trunk)
    assert zone.renew(first, adopt=ADOPT) == {"id": first, "state": "expired", "repeated": False}
    assert zone.pool("trunk:x")["in_use"] == 3


@pytest.mark.parametrize("unproved", [True, None])
def test_the_end_of_an_unknown_call_is_kept_only_while_it_might_be_adopted(unproved):
    zone = static() if unproved else static().wait(CALL_MS + 1)
    zone.end("0" * 10 + "1", **({"unproved": True} if unproved else {}))
    zone.run_id = "another server"
    assert adopt(zone, 1)
