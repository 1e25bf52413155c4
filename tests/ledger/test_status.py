"""The status of a zone: last denials, port time, foreign use."""

from typing import Any

import pytest

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import parse_policy
from tests.support.virtual_zone import VirtualZone

POLICY: dict[str, Any] = {
    "source": "push",
    "channels": ["sip", "h323"],
    "campaigns": {"a": {"limit": 2}, "b": {"limit": 1}, "*": {}},
}


def policy(**changes: Any) -> dict[str, Any]:
    return compile_policy(parse_policy(POLICY | changes))


@pytest.fixture
def zone(redis_sync: Any) -> VirtualZone:
    """Past its recovery; ten ports of SIP and two of H.323."""
    zone = VirtualZone(redis_sync, policy(), "seen")
    zone.one("time")
    zone.advance(5000)
    ingest(zone, sip=10, h323=2)
    return zone


def ingest(zone: VirtualZone, total: int = 12, **unused: int) -> None:
    group = {"total": total, "unused": {f"channel:{name}": n for name, n in unused.items()}}
    assert zone.one("ingest", t0=zone.now_ms, groups=[group])["accepted"]


def ask(zone: VirtualZone, id_: str, campaign: str = "a", **more: Any) -> Any:
    what = {"channel": "sip", "count": 1, "min_count": 1, "body": "b"} | more
    return zone.one("admit", id=id_, request_id=id_, campaign=campaign, **what)


def snapshot(zone: VirtualZone, channel: str = "sip") -> Any:
    pools = {one["pool"]: one for one in zone.one("status")["pools"]}
    return pools[f"channel:{channel}"]["snapshot"]


def test_the_last_denials_are_listed_once_and_newest_first(zone: VirtualZone) -> None:
    for n in range(4):
        ask(zone, f"a{n}")
    zone.advance(10)
    for n in range(2):
        ask(zone, f"b{n}", "b")
    zone.advance(10)
    ask(zone, "a9")
    denied = zone.one("status")["denied"]
    assert [(one["campaign"], one["at"]) for one in denied] == [
        ("a", zone.now_ms),
        ("b", zone.now_ms - 10),
    ]
    assert denied[0] | {"at": 0} == {
        "at": 0,
        "campaign": "a",
        "channel": "sip",
        "reason": "campaign_limit",
        "pool": "campaign:a",
        "in_use": 2,
        "limit": 2,
    }


def test_a_frequent_campaign_hides_no_other(zone: VirtualZone) -> None:
    asks = [("a", n) for n in range(20)] + [("b", n) for n in range(2)]
    one = {"op": "admit", "channel": "sip", "count": 1, "min_count": 1, "body": "b"}
    zone.call(
        *(
            one | {"id": f"{campaign}{n}", "request_id": f"{campaign}{n}", "campaign": campaign}
            for campaign, n in asks
        )
    )
    assert {one["campaign"] for one in zone.one("status")["denied"]} == {"a", "b"}


def test_a_grant_and_a_dry_run_are_no_denies(zone: VirtualZone) -> None:
    ask(zone, "a1", count=2)
    ask(zone, "a2", dry_run=True)
    assert not zone.one("status")["denied"]


def test_denies_take_a_bounded_place(zone: VirtualZone) -> None:
    zone.replace_policy(policy(source="static", capacity={"sip": 0, "h323": 0}))
    for n in range(200):
        ask(zone, f"x{n}", f"made-up-{n}")
    status = zone.one("status")
    assert status["stats"]["deny:no_capacity"] == 200
    assert 32 < len(status["denied"]) <= 64


def test_grants_of_shadow_mode_are_counted_as_such(zone: VirtualZone) -> None:
    zone.replace_policy(policy(shadow=True))
    ask(zone, "a1", count=3, min_count=3)
    assert [one["reason"] for one in zone.one("status")["denied"]] == ["campaign_limit"]


def test_the_time_that_a_campaign_held_ports_is_counted(zone: VirtualZone) -> None:
    ask(zone, "a1", count=2)
    zone.advance(1500)
    zone.one("end", id="a1", outcome="completed")
    zone.advance(500)
    zone.one("end", id="a1.2", outcome="busy")
    assert zone.one("status")["stats"]["port_ms:a"] == 1500 + 2000


def test_campaigns_that_policy_does_not_name_count_together(zone: VirtualZone) -> None:
    for name in ("made-up", "another"):
        ask(zone, name, name)
        zone.advance(100)
        zone.one("end", id=name, outcome="completed")
    stats = zone.one("status")["stats"]
    assert [name for name in stats if name.startswith("port_ms:")] == ["port_ms:*"]
    assert stats["port_ms:*"] == 200


def test_foreign_use_is_what_is_neither_free_nor_reserved(zone: VirtualZone) -> None:
    ask(zone, "a1", count=2)
    zone.advance(5000)
    ingest(zone, sip=3, h323=1)
    for channel in ("sip", "h323"):
        found = snapshot(zone, channel)
        assert (found["foreign"], found["group"]) == (12 - 3 - 1 - 2, "h323+sip")


def test_calls_that_the_platform_does_not_show_are_a_negative_number(zone: VirtualZone) -> None:
    ask(zone, "a1", count=2)
    zone.advance(5000)
    ingest(zone, sip=10, h323=2)
    assert snapshot(zone)["foreign"] == -2


def test_a_channel_that_is_no_longer_counted_has_no_foreign_use(zone: VirtualZone) -> None:
    zone.advance(1000)
    zone.one("ingest", t0=zone.now_ms, groups=[], absent=["channel:h323"])
    assert "foreign" not in snapshot(zone, "h323")
