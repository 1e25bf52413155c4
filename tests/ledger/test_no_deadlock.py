"""Ports do not stay free for long while a campaign that may have them contends for them.

Dialers on the script in virtual time: each repeats one request and obeys its retry times; some
leave for good while they contend; some ask for more than there ever is. Policies are generated:
classes, weights, guarantees above what there is, reserves, headroom, limits, rates, MPPs, trunks.

A campaign that is denied `fair_share` yields to another that may take the ports, or may wait until
there are enough of them: that takes no longer than calls and contention last. No campaign that gets
nothing for longer than both yields while a pool (and the zone rate) always has enough free for it.
"""

import itertools
import os
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
import redis

from tests.support.virtual_dialers import Dialer, VirtualScene, compiled
from tests.support.virtual_zone import Answer, VirtualZone, ask

SEEDS = 40 * int(os.environ.get("ADMISSION_EXAMPLES", "1"))
TICK_MS = 50
RUN_MS = 20_000
CALL_MS_MAX = 800
CONTENTION_MS_MIN = 1_000
CAMPAIGNS = ["a", "b", "c", "d"]
SHAPES: list[dict[str, Any]] = [
    {},
    {},
    {"pools": ["trunk:x"]},
    {"pools": ["trunk:x", "trunk:y"]},
    {"pools": ["trunk:y"]},
    {"mpp": "m1"},
    {"mpp": "m1", "pools": ["trunk:x"]},
    {"mpp": "m2"},
]


@dataclass(slots=True)
class Bucket:
    """Launches that the zone's rate allows now."""

    per_s: float
    burst: int
    launches: float

    def fill(self) -> None:
        """A tick has passed."""
        self.launches = min(self.burst, self.launches + self.per_s * TICK_MS / 1000)


class YieldingScene(VirtualScene):
    """Asserts that no dialer yields without reason.

    Attributes:
        used: pool -> calls that are up in it.
        yielding: dialer -> the pool that denies it `fair_share`, and since when that has room.
        contention_ms: pool -> the longest that contention for it may last.
        demand: pool -> campaign -> when its demand for the pool ends, at the latest.
    """

    def __init__(self, client: redis.Redis, seed: int) -> None:
        rng = Random(seed)
        fields = generate_policy(rng)
        dialers = [generate_dialer(rng) for _ in range(rng.randint(4, 14))]
        super().__init__(
            client,
            fields,
            dialers,
            lambda rng: rng.randint(100, CALL_MS_MAX),
            rng=rng,
            tick_ms=TICK_MS,
            zone=f"zone{seed}",
        )
        per_s, burst = fields["zone"].get("rate_per_s"), fields["zone"].get("burst")
        self.rate = Bucket(per_s, burst, burst) if per_s else None
        self.limits = limits_of(fields)
        self.used = Counter[str]()
        self.yielding = dict[Dialer, tuple[str, int]]()
        self.contention_ms = dict[str, int]()
        self.demand = dict[str, dict[str, int]]()
        self.reasons = Counter[str]()

    def tick(self) -> None:
        """One tick; those stop yielding whose pool has no room."""
        if self.rate:
            self.rate.fill()
        super().tick()
        kept = self.yielding.items()
        self.yielding = {one: at for one, at in kept if self.has_enough(one, at[0])}

    def receive(self, dialer: Dialer, answer: Answer) -> None:
        """Note demand and contention; check that it yields with reason."""
        super().receive(dialer, answer)
        self.reasons[answer.get("reason", "granted")] += 1
        pool = answer.get("pool")
        if pool:
            lasts_ms = max(CONTENTION_MS_MIN, 2 * (answer.get("retry_after_ms") or 0))
            self.contention_ms[pool] = max(lasts_ms, self.contention_ms.get(pool, 0))
        if answer["decision"] == "deny" and answer["reason"] == "fair_share":
            self.check_yielding(dialer, answer["pool"])
        else:
            self.yielding.pop(dialer, None)
        if answer["granted"]:  # which of a campaign's requests gets the ports is chance
            kept = self.yielding.items()
            self.yielding = {one: at for one, at in kept if one.campaign != dialer.campaign}
        if pool:
            self.note_demand(dialer, pool, answer)

    def note_demand(self, dialer: Dialer, pool: str, answer: Answer) -> None:
        """Demand for the pool that denied lasts; for the others it is short from now on."""
        if pool == "zone":
            pool = "channel:sip"
        elif pool.startswith("mpp:") and pool.count(":") < 2:
            pool += ":sip"
        campaign, ends = dialer.campaign, self.now_ms + CONTENTION_MS_MIN
        if answer["decision"] == "deny":
            for other in {"channel:sip", *dialer.shape.get("pools", [])} - {pool}:
                known = self.demand.get(other, {})
                known[campaign] = min(known.get(campaign, 0), ends)
        lasts = max(CONTENTION_MS_MIN, 2 * (answer.get("retry_after_ms") or 0))
        known = self.demand.setdefault(pool, {})
        known[campaign] = max(known.get(campaign, 0), self.now_ms + lasts)

    def count_call(self, dialer: Dialer, reservation: Answer, change: int) -> None:
        super().count_call(dialer, reservation, change)
        pools = ["channel:sip", f"mpp:{reservation.get('mpp')}:sip"]
        for pool in [*pools, *dialer.shape.get("pools", [])]:
            self.used[pool] += change
        if self.rate and change > 0:
            self.rate.launches -= 1

    def has_enough(self, dialer: Dialer, pool: str) -> bool:
        """Whether the least that a dialer needs is free in a pool, and within the zone's rate."""
        free: float = self.limits[pool] - self.used[pool]
        if self.rate:
            free = min(free, self.rate.launches)
        return free >= dialer.min_count

    def check_yielding(self, dialer: Dialer, pool: str) -> None:
        """It leaves the ports to another campaign: one that has demand, and not for too long."""
        campaign = dialer.campaign
        ends = [at for other, at in self.demand.get(pool, {}).items() if other != campaign]
        assert max(ends, default=0) >= self.now_ms, f"{campaign} yields for {pool} to no demand"
        _, since = self.yielding.get(dialer, (pool, self.now_ms))
        self.yielding[dialer] = (pool, since)
        longest_ms = CALL_MS_MAX + self.contention_ms.get(pool, 0) + 2 * TICK_MS
        assert self.now_ms - since <= longest_ms, (
            f"{pool} has enough free for {self.now_ms - since} ms for {dialer}; all: {self.dialers}"
        )


def generate_policy(rng: Random) -> dict[str, Any]:
    """A zone of few ports and many rules."""
    campaigns = {name: generate_campaign(rng) for name in CAMPAIGNS}
    ports = rng.choice([2, 5, 9, 9])
    return compiled(
        capacity={"sip": ports},
        headroom=rng.choice([0, 0, 0, 1]),
        poll_interval_ms=100,
        poll_min_ms=20,
        placement=rng.choice(["platform", "controller"]),
        priority_reserve=rng.choice([{}, {}, {}, {"1": 1}, {"1": 2, "2": 3}]),
        mpps={"m1": {"sip": rng.choice([1, 2, 6])}, "m2": {"sip": rng.choice([2, 9])}},
        pools={"trunk:x": {"limit": rng.choice([1, 3, 6])}, "trunk:y": {"limit": 3}},
        campaigns=campaigns,
        **rng.choice([{}] * 5 + [{"rate_per_s": 9, "burst": 6}]),
    )


def generate_campaign(rng: Random) -> dict[str, Any]:
    """One campaign."""
    limits = [{}, {}, {}, {}, {"limit": 5}, {"rate_per_s": 2, "burst": 6}]
    guarantee = rng.choice([0] * 9 + [2, 5])
    return {
        "weight": rng.choice([1, 1, 2, 49, 49, 0.3]),
        "priority": rng.choice([0, 0, 0, 1, 2]),
        "guarantee": guarantee,
        **rng.choice(limits),
    }


def generate_dialer(rng: Random) -> Dialer:
    """Most ask for ever, some leave soon; few ask for more than there ever is."""
    count = rng.choice([1, 1, 1, 1, 2, 4, 6])
    return Dialer(
        campaign=rng.choice(CAMPAIGNS),
        count=count,
        shape=rng.choice(SHAPES),
        min_count=rng.choice([1, 1, count]),
        every_ms=0,
        obeys=True,
        requests_left=rng.choice([None, None, None, 1, 3]),
    )


def limits_of(fields: dict[str, Any]) -> dict[str, int]:
    """The limits of what is contended, by policy."""
    pools = {f"channel:{name}": n for name, n in fields["zone"]["capacity"].items()}
    kinds = ("mpp:", "trunk:")
    limited = {name: one["limit"] for name, one in fields.items() if one.get("limit") is not None}
    return pools | {name: n for name, n in limited.items() if name.startswith(kinds)}


@pytest.mark.parametrize("part", range(4))
def test_no_campaign_yields_for_long_while_ports_are_free(redis_sync, part):
    reasons: Counter[str] = Counter()
    for seed in range(part, SEEDS, 4):
        scene = YieldingScene(redis_sync, seed)
        scene.run(RUN_MS)
        reasons += scene.reasons
    assert reasons["fair_share"] > 100
    assert reasons["granted"] > 500


def test_two_campaigns_that_yield_to_each_other_do_so_for_two_seconds_at_most(redis_sync):
    """Each has more than the other of one of two trunks, and both trunks have units free."""
    trunks = {"trunk:x": {"limit": 4}, "trunk:y": {"limit": 4}}
    fields = compiled(capacity={"sip": 100}, pools=trunks, campaigns={"*": {}})
    zone = VirtualZone(redis_sync, fields)
    zone.advance(60_000)
    names = (f"r{n}" for n in itertools.count())

    def request(campaign: str, *pools: str, count: int = 1) -> Answer:
        units = {"count": count, "min_count": count}
        return zone.one(ask(next(names), campaign=campaign, pools=list(pools), **units))

    def end(answer: Answer) -> None:
        for one in answer["reservations"]:
            zone.one("end", id=one["id"], outcome="completed")

    for campaign, pool in HELD.items():
        assert request(campaign, pool, count=2)["decision"] == "grant"
    first = [request("c", pool, count=2) for pool in trunks]
    zone.advance(40_000)
    for answer in first:  # from long calls the ledger learns to answer long retries
        end(answer)
    second = [request("c", pool, count=2) for pool in trunks]
    for campaign, pool in (("b", "trunk:y"), ("a", "trunk:x")):
        denied = request(campaign, pool, count=2)
        assert (denied["reason"], denied["retry_after_ms"]) == ("pool_full", 20_000)
    for answer in second:
        end(answer)
    waited_ms = 0
    while not any(request(campaign, *trunks)["decision"] == "grant" for campaign in HELD):
        zone.advance(TICK_MS)
        waited_ms += TICK_MS
        assert waited_ms <= 2_000


HELD = {"a": "trunk:y", "b": "trunk:x"}
