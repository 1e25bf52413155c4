"""Operations that share a call: what one leaves for the next, where random runs rarely come."""

from typing import Any

import pytest
import redis

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import parse_policy
from admission.ledger.keys import zone_keys
from tests.support.virtual_zone import VirtualZone

BREAKER = {"failures_percent": 50, "window_ms": 60_000, "min_calls": 1, "pause_ms": 10_000}
POLICY: dict[str, Any] = {
    "source": "push",
    "channels": ["sip"],
    "max_age_ms": 100_000,
    "mpps": {"m1": {"sip": 5}, "m2": {"sip": 5}},
    "campaigns": {"sound": {}, "broken": {"breaker": BREAKER}},
}
CONTENTION = zone_keys("virtual", "east")[8]


def zone(client: redis.Redis) -> VirtualZone:
    made = VirtualZone(client, compile_policy(parse_policy(POLICY)))
    made.advance(60_000)
    groups = [{"total": 10, "unused": {"channel:sip": 10}}]
    assert made.one("ingest", t0=made.now_ms, groups=groups)["accepted"]
    return made


def ask(name: str, campaign: str = "sound", **more: Any) -> dict[str, Any]:
    fields = {"request_id": name, "campaign": campaign, "count": 1, "min_count": 1}
    return {"op": "admit", "id": name, "owner": "o", "body": "b"} | fields | more


def test_an_open_breaker_denies_a_request_after_one_on_the_fast_path(redis_sync):
    east = zone(redis_sync)
    east.call(ask("x", "broken"), {"op": "end", "id": "x", "outcome": "failed"})
    first, second = east.call(ask("a"), ask("b", "broken"))
    assert first["decision"] == "grant"
    assert second["reason"] == "breaker_open"


def test_a_repeat_in_the_same_call_is_the_same_grant(redis_sync):
    east = zone(redis_sync)
    first, second, other = east.call(ask("a"), ask("a"), ask("a", body="another"))
    assert second["repeated"]
    assert second["reservations"][0]["id"] == first["reservations"][0]["id"]
    assert other["error"] == "conflict"
    assert east.in_use("channel:sip") == 1


def test_a_call_that_ends_where_it_was_granted_leaves_nothing(redis_sync):
    east = zone(redis_sync)
    launched = {"op": "launched", "id": "a"}
    east.call(ask("a", mpp="m1"), launched | {"mpp": "m2"}, launched | {"mpp": "m1"})
    assert [east.in_use(f"mpp:{mpp}:sip") for mpp in ("m1", "m2")] == [1, 0]
    pending = {one["pool"]: one.get("pending") for one in east.one("status")["pools"]}
    assert pending["channel:sip"] == 1
    end = {"op": "end", "id": "b", "outcome": "not_launched"}
    _, ended, again = east.call(ask("b"), end, end)
    assert (ended["repeated"], again["repeated"]) == (False, True)
    assert east.in_use("channel:sip") == 1


def test_a_report_sees_what_expired_at_the_beginning_of_its_call(redis_sync):
    east = zone(redis_sync)
    east.call(ask("a"), ask("b"))
    east.advance(3_600_000)
    ends = [{"op": "end", "id": name, "outcome": "completed"} for name in ("a", "b")]
    assert [one["state"] for one in east.call(*ends)] == ["expired", "expired"]
    assert east.in_use("channel:sip") == 0


@pytest.mark.parametrize("campaign", ["sound", "broken"])
def test_contention_that_is_over_is_deleted(redis_sync, campaign):
    """The next request of this or another campaign clears it: the fast path answers again."""
    east = zone(redis_sync)
    kept = f"{CONTENTION}*"
    _, denied = east.call(ask("a", count=10, min_count=10), ask("b"))
    assert (denied["reason"], len(redis_sync.keys(kept))) == ("no_capacity", 2)
    end = {"op": "end", "id": "a", "outcome": "not_launched"}
    for n in range(2, 11):
        east.call(end | {"id": f"a.{n}"})
    east.call(end)
    east.advance(90_000)
    assert east.call(ask("c", campaign))[0]["decision"] == "grant"
    assert redis_sync.keys(kept) == [f"{CONTENTION}until".encode()]
    assert redis_sync.hgetall(f"{CONTENTION}until") == {b"": b""}
    (text,) = redis_sync.hmget(zone_keys("virtual", "east")[4], "channel:sip")
    assert b"hungry" not in text
