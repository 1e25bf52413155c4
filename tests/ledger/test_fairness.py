"""Which campaign gets the next port: shares, guarantees, classes and rates, in virtual time."""

from fractions import Fraction
from random import Random
from typing import Any

import pytest

from tests.support.virtual_dialers import Dialer, VirtualScene, compile_ports, exponential
from tests.support.virtual_zone import VirtualZone

MINUTE_MS = 60_000
CALL_MS = 2_000


def jain(shares: list[float]) -> float:
    """1 for equal shares, 1/n for one that has all."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def make_scene(client, ports, dialers, campaigns=None, **policy):
    fields = compile_ports(ports, campaigns or {"*": {}}, **policy)
    return VirtualScene(client, fields, dialers, exponential(CALL_MS))


def test_frequent_requests_get_no_larger_share(redis_sync):
    often = Dialer(campaign="often", per_tick=10)
    seldom = Dialer(campaign="seldom", every_ms=200, busy=False)
    scene = make_scene(redis_sync, 10, [often, seldom])
    scene.run(CALL_MS)
    assert scene.has == {"often": 10, "seldom": 0}
    seldom.busy = True
    scene.run(3 * CALL_MS)
    assert jain(list(scene.run(MINUTE_MS).values())) >= 0.98


def test_large_requests_get_no_larger_share(redis_sync):
    one, many = Dialer(campaign="one"), Dialer(campaign="many", count=20)
    scene = make_scene(redis_sync, 30, [one, many])
    scene.run(3 * CALL_MS)
    assert jain(list(scene.run(MINUTE_MS).values())) >= 0.98


def test_shares_follow_weights(redis_sync):
    weights = {"one": 1, "two": 2, "five": 5}
    campaigns = {name: {"weight": weight} for name, weight in weights.items()}
    scene = make_scene(redis_sync, 80, [Dialer(campaign=name) for name in weights], campaigns)
    scene.run(3 * CALL_MS)
    shares = scene.run(MINUTE_MS)
    for name, weight in weights.items():
        assert shares[name] == pytest.approx(10 * weight, rel=0.05)


KEPT: dict[str, dict[str, Any]] = {
    "headroom": {"headroom": 10},
    "an unused guarantee": {"campaigns": {"sure": {"guarantee": 10}}},
    "a reserve for a higher class": {"priority_reserve": {"1": 10}},
}


@pytest.mark.parametrize("kept", KEPT)
def test_shares_follow_weights_beside_reserved_ports(redis_sync, kept):
    weights = {"one": 1, "two": 2, "five": 5}
    campaigns = {name: {"weight": weight, "priority": 1} for name, weight in weights.items()}
    policy = {name: value for name, value in KEPT[kept].items() if name != "campaigns"}
    campaigns |= KEPT[kept].get("campaigns", {})
    scene = make_scene(
        redis_sync, 90, [Dialer(campaign=name) for name in weights], campaigns, **policy
    )
    scene.run(3 * CALL_MS)
    shares = scene.run(MINUTE_MS)
    for name, weight in weights.items():
        assert shares[name] == pytest.approx(10 * weight, rel=0.05)


@pytest.mark.parametrize("light", [1, 3])
def test_campaigns_with_little_demand_keep_no_ports_from_the_others(redis_sync, light):
    rng = Random(light)
    few = [Dialer(campaign=f"light{n}", odds=0.03, rng=rng) for n in range(light)]
    scene = make_scene(redis_sync, 100, [Dialer(campaign="all"), *few])
    scene.run(3 * CALL_MS)
    assert sum(scene.run(MINUTE_MS // 2).values()) > 93


@pytest.mark.parametrize("cap", [2, 10])
def test_a_campaign_at_its_own_limit_does_not_keep_ports_from_others(redis_sync, cap):
    campaigns = {"capped": {"limit": cap}, "all": {}}
    dialers = [Dialer(campaign="all"), Dialer(campaign="capped")]
    scene = make_scene(redis_sync, 100, dialers, campaigns)
    scene.run(3 * CALL_MS)
    assert sum(scene.run(MINUTE_MS // 2).values()) > 93


@pytest.mark.parametrize("weight", [49, 0.01, 107])
def test_equal_weights_of_any_size_use_every_port(redis_sync, weight):
    campaigns = {name: {"weight": weight} for name in ("a", "b")}
    scene = make_scene(redis_sync, 6, [Dialer(campaign="a"), Dialer(campaign="b")], campaigns)
    scene.run(CALL_MS)
    assert sum(scene.run(10 * CALL_MS).values()) > 0.95 * 6


def test_the_share_of_an_idle_campaign_is_used_and_returns_within_a_call(redis_sync):
    stays, leaves = Dialer(campaign="stays"), Dialer(campaign="leaves", per_tick=2)
    scene = make_scene(redis_sync, 100, [stays, leaves])
    scene.run(4 * CALL_MS)
    leaves.busy = False
    scene.run(3 * CALL_MS)
    assert scene.has["stays"] >= 90
    leaves.busy = True
    scene.run(CALL_MS)
    assert scene.has["leaves"] >= 45


@pytest.mark.parametrize("seed", range(5))
def test_a_guarantee_is_met_independent_of_other_campaigns(redis_sync, seed):
    rng = Random(seed)
    others = {
        f"c{n}": {"weight": rng.choice([1, 9, 0.1]), "priority": rng.choice([0, 1])}
        for n in range(4)
    }
    campaigns = {**others, "sure": {"guarantee": 12, "priority": 9}}
    dialers = [Dialer(campaign=name, count=rng.choice([1, 7])) for name in others]
    sure = Dialer(campaign="sure", count=12, min_count=12, busy=False)
    scene = make_scene(redis_sync, 40, [*dialers, sure], campaigns, priority_reserve={"9": 5})
    scene.run(rng.randrange(1, 3 * CALL_MS))
    sure.busy = True
    scene.tick()
    assert scene.has["sure"] == 12


def test_a_new_guarantee_is_met_from_a_full_zone_as_soon_as_calls_end(redis_sync):
    greedy, sure = Dialer(campaign="greedy"), Dialer(campaign="sure", obeys=True, busy=False)
    scene = make_scene(redis_sync, 50, [greedy, sure])
    scene.run(3 * CALL_MS)
    scene.zone.replace_policy(compile_ports(50, {"sure": {"guarantee": 10}, "*": {}}))
    sure.busy = True
    scene.run(CALL_MS // 2)
    assert scene.has["sure"] >= 10


def test_the_first_class_is_never_denied_while_the_last_still_gets_grants(redis_sync):
    campaigns = {"first": {}, "last": {"priority": 1}}
    dialers = [Dialer(campaign="first", every_ms=100), Dialer(campaign="last")]
    scene = make_scene(redis_sync, 30, dialers, campaigns, priority_reserve={"1": 5})
    looked = 0
    for _ in range(3000):
        scene.tick()
        if scene.granted_at.get("last") == scene.now_ms:
            # Five were left, and the first class took one of them at most since.
            answer = scene.preview(campaign="first", count=4, min_count=4)
            assert answer["decision"] == "grant"
            looked += 1
    assert looked > 100


def test_fifty_at_once_are_granted_among_dialers_that_ask_for_one(redis_sync):
    dialers = [Dialer(campaign=name) for name in ("a", "b", "c")]
    many = Dialer(campaign="many", count=50, min_count=50, obeys=True, busy=False)
    scene = make_scene(redis_sync, 100, [*dialers, many])
    for _ in range(3):
        scene.run(3 * CALL_MS)
        many.busy, many.next_ms, begun = True, 0, scene.now_ms
        while not scene.has["many"] and scene.now_ms < begun + MINUTE_MS:
            scene.tick()
        many.busy = False
        assert scene.now_ms - begun <= 2 * CALL_MS


def asked(n: int, count: int, min_count: int = 1):
    wish = {"count": count, "min_count": min_count}
    ask = {"op": "admit", "id": f"{n:011d}", "request_id": f"{n}", "campaign": "fast"}
    return ask | {"owner": "me", "body": "b"} | wish


@pytest.mark.parametrize(("rate", "burst"), [(0.5, 1), (3, 7), (33.3, 4), (333.5, 50)])
@pytest.mark.parametrize("whose", ["campaign", "zone"])
def test_no_window_contains_more_grants_than_its_rate_and_one_burst(redis_sync, rate, burst, whose):
    limited = {"rate_per_s": rate, "burst": burst}
    campaign, of_zone = (limited, {}) if whose == "campaign" else ({}, limited)
    zone = VirtualZone(redis_sync, compile_ports(1_000_000, {"fast": campaign}, **of_zone))
    zone.advance(10)
    rng, grants = Random(burst), []
    for n in range(400):
        zone.advance(rng.choice([0, 0.001, 0.999, 3, 1000 / rate * rng.random() * 3]))
        (answer,) = zone.call(asked(n, rng.choice([1, 1, 2, burst + 3])))
        if answer["granted"]:
            grants.append((zone.now_us, answer["granted"]))
    assert len(grants) > 20
    for first in range(len(grants)):
        units = 0
        for at_us, granted in grants[first:]:
            units += granted
            window_s = Fraction(at_us - grants[first][0], 1_000_000)
            assert units <= Fraction(str(rate)) * window_s + burst


def test_a_retry_is_granted_at_the_time_that_the_rate_gave_and_not_a_ms_earlier(redis_sync):
    fields = compile_ports(1_000_000, {"fast": {"rate_per_s": 7, "burst": 5}})
    zone = VirtualZone(redis_sync, fields)
    zone.advance(10)
    rng = Random(7)
    for n in range(0, 300, 3):
        units = rng.randint(1, 5)
        (answer,) = zone.call(asked(n, units, units))
        if answer["decision"] == "deny":
            wait_ms = answer["retry_after_ms"]
            zone.now_us = zone.now_us + 1000 * (wait_ms - 1) - 1000
            assert zone.call(asked(n + 1, units, units))[0]["decision"] == "deny"
            zone.advance(2)
            assert zone.call(asked(n + 2, units, units))[0]["decision"] == "grant"
