# ruff: noqa: E501 - a rule and its mutation stand side by side
"""The rules of who gets the next port, for the random driver: what is drawn of each, each broken once.

A new rule has its setting drawn here, with the values that matter to it, and a row in `MUTATIONS`.
"""

from random import Random
from typing import Any

from tests.support.lua_mutations import LuaMutation

Fields = dict[str, Any]

CAMPAIGNS = ["a", "b", "c", "d"]
MPPS = ["m1", "m2"]
TOTAL = 12
MAX_AGE_MS = 60_000
LAUNCH_MS = 100
# 49 is a number for which n / 49 * 49 is not always n.
WEIGHTS = [1, 1, 1, 2, 5, 0.5, 3, 49, 0.01]
MUTATIONS = (
    LuaMutation(name="classes are ignored", tag="priority-classes", becomes="if true then"),
    LuaMutation(
        name="weights are ignored",
        tag="weights",
        becomes="local weight, mine = 1, shares.get(pool, me)",
    ),
    LuaMutation(
        name="contention ends at once", tag="contention-lasts", becomes="local DEMAND_MS_MIN = 0"
    ),
    LuaMutation(
        name="nothing is left for rivals", tag="rivals-keep-units", becomes="local left = free"
    ),
    LuaMutation(
        name="all is left for rivals",
        tag="spare-units-granted",
        becomes="return min(wish.units, by_ratio)",
    ),
    LuaMutation(
        name="reserved makes no campaign contend",
        tag="reserved-contends",
        becomes="{ name = 'reserved', by_snapshot = true },",
    ),
    LuaMutation(
        name="what is unattainable makes a campaign contend", tag="unattainable-does-not-contend"
    ),
    LuaMutation(
        name="guarantees are not kept",
        tag="reserves",
        becomes="return limits.get_room(pool) - (zone.priority_reserve[class] or 0)",
    ),
    LuaMutation(
        name="no trunk reservation", tag="reserves", becomes="return limits.get_room(pool) - others"
    ),
    LuaMutation(
        name="rates have one more",
        tag="rate-burst",
        becomes="return max(0, floor(((pool.rules.burst + 1) * each - get_backlog(pool)) / each))",
    ),
    LuaMutation(name="a breaker never opens", tag="breaker-opens"),
    LuaMutation(
        name="a probe closes it whatever came",
        tag="failed-probe-opens",
        becomes="pools.change(pool, { open_until = false })",
    ),
    LuaMutation(
        name="the fast path grants one too many",
        tag="fast-path-room",
        becomes="if room < kept then return nil end",
    ),
    LuaMutation(
        name="the fast path takes what is reserved",
        tag="fast-path-room",
        becomes="if room <= 0 then return nil end",
    ),
    LuaMutation(
        name="the fast path does not yield",
        tag="fast-path-contention",
    ),
    LuaMutation(name="demand elsewhere lasts", tag="demand-elsewhere-shortens"),
    LuaMutation(name="the fast path passes every rate", tag="fast-path-rate"),
    LuaMutation(
        name="the fast path needs no early checks",
        tag="fast-path-valid",
        becomes="if ask.count ~= 1 or not plan.is_simple then return nil end",
    ),
    LuaMutation(
        name="the early checks forget what changed",
        tag="early-checks-valid",
        becomes="local has_passed = plan.shared.early_passed_at and #plan.breakers == 0",
    ),
)


def stated(**optional: Any) -> Fields:
    """The fields that have a value."""
    return {name: value for name, value in optional.items() if value is not None}


def rates(rng: Random) -> Fields:
    """None as a rule, else a rate with a burst."""
    rate = rng.choice([0] * 8 + [0.5, 3, 10, 333.5])
    strict = {"rate_strict": True} if rate and rng.random() < 0.3 else {}
    return {"rate_per_s": rate, "burst": rng.choice([2, 5, 5, 9]) if rate else 0} | strict


def breaker(rng: Random) -> Fields | None:
    """None as a rule, else a nervous one."""
    if rng.random() < 0.85:
        return None
    return {
        "failures_percent": rng.choice([20, 50, 100]),
        "window": rng.choice([1_200, 12_000]),
        "min_calls": rng.choice([1, 2, 3]),
        "pause": rng.choice([50, 1_000, 3_000]),
    }


def counted(rng: Random, limits: list[int | None]) -> Fields:
    """What campaigns and named pools have in common."""
    return rates(rng) | stated(limit=rng.choice(limits), breaker=breaker(rng))


def campaign(rng: Random) -> Fields:
    """One campaign."""
    own = {
        "guarantee": rng.choice([0, 0, 0, 1, 3, 7]),
        "weight": rng.choice(WEIGHTS),
        "priority": rng.choice([0, 0, 0, 1, 2]),
        "pools": rng.choice([[], [], ["trunk:x"]]),
    }
    return own | counted(rng, [None, None, None, None, 3, 8])


def policy(rng: Random, is_fed: bool, has_mpps: bool, claim_within: int = 200) -> Fields:
    """A compiled policy."""
    fields: Fields = {f"campaign:{name}": campaign(rng) for name in CAMPAIGNS}
    fields["campaign:*"] = campaign(rng) | {"guarantee": 0}
    fields["trunk:x"] = counted(rng, [None, 2, 4, 6])
    fields["trunk:y"] = counted(rng, [None, 1, 5])
    fields["agent:*"] = counted(rng, [None, 1, 2])
    for mpp in MPPS if has_mpps else []:
        fields[f"mpp:{mpp}:sip"] = {"limit": rng.choice([1, 3, 6, 6])}
        fields[f"mpp:{mpp}"] = rates(rng)
    ports = [one["limit"] for name, one in fields.items() if name.endswith(":sip")]
    own = {name: fields[f"campaign:{name}"]["guarantee"] for name in CAMPAIGNS}
    guarantees = {name: n for name, n in own.items() if n}
    total = sum(guarantees.values())
    more = stated(guaranteed="channel:sip" if total else None)
    more |= {"mpp_total": sum(ports), "guarantee_total": total}
    more |= {"claim_within": claim_within, "claim_max": LAUNCH_MS + claim_within}
    return fields | {"zone": zone(rng, is_fed, has_mpps) | more, "guarantees": guarantees}


def zone(rng: Random, is_fed: bool, has_mpps: bool) -> Fields:
    """The zone part of a policy."""
    ports = [1, 3, 5, 8, 8, TOTAL]
    capacity = {"sip": rng.choice(ports), "h323": rng.choice(ports)}
    return {
        "launch_within": LAUNCH_MS,
        "visibility_lag": 50,
        "end_notice": 0,
        "release_within": rng.choice([0, 0, 0, 150]),
        "poll_interval": 100,
        "poll_min": 20,
        "max_age": MAX_AGE_MS,
        "answer_within": rng.choice([3_000, 100_000, 100_000]),
        "max_call": 200_000,
        "retention": 500,
        "channels": ["sip", "h323"],
        "any": ["h323", "sip"],
        "fed": ["sip", "h323"] if is_fed else [],
        "takes": {},
        "capacity": {} if is_fed else capacity,
        "headroom": rng.choice([0, 0, 0, 1, 2]),
        "headroom_percent": 0,
        "growth_per_s": 0,
        "dedicated": False,
        "placement": rng.choice(["platform", "controller"]) if has_mpps else "platform",
        "mpps": MPPS if has_mpps else [],
        "source": "test",
        "shadow": rng.random() < 0.1,
        "priority_reserve": rng.choice([{}, {}, {"1": 1}, {"1": 2, "2": 3}, {"0": 1}]),
        **rates(rng),
    }
