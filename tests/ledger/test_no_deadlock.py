"""Ports never stay free for long while somebody who may have them asks.

Greedy dialers on the script in virtual time: each asks when it was told to, for always the same;
some go away for good while they are hungry; some ask for more than there ever is. Policies are
drawn: classes, weights, guarantees above what there is, reserves, headroom, own limits, rates,
MPPs, trunks.

Who is denied `fair_share` steps back for somebody who may take the ports, or may wait until there
are enough of them: that takes no longer than calls last and hunger does. A campaign that gets
nothing for longer than both, while a pool (and the zone's rate) always has enough free for it,
steps back for nobody.
"""

import itertools
import os
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
import redis

from tests.support.virtual_dialers import compiled
from tests.support.virtual_zone import Answer, Op, VirtualZone

SEEDS = 40 * int(os.environ.get("ADMISSION_EXAMPLES", "1"))
TICK_MS = 50
RUN_MS = 20_000
CALL_MS_MAX = 800
HUNGER_MS_MIN = 1_000
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
class AdmissionLedger:
    """Asks for always the same, when it was told to; gone after so many asks."""

    wish: dict[str, Any]
    asks_left: int
    next_ms: int = 0


@dataclass(slots=True)
class Bucket:
    """Launches that the zone's rate allows now."""

    per_s: float
    burst: int
    launches: float

    def fill(self) -> None:
        """A tick has passed."""
        self.launches = min(self.burst, self.launches + self.per_s * TICK_MS / 1000)


@dataclass(slots=True)
class World:
    """The zone, who asks, and since when each of them steps back though there is enough free."""

    zone: VirtualZone
    rng: Random
    askers: list[AdmissionLedger]
    limits: dict[str, int]
    now_ms: int = 0
    used: Counter[str] = field(default_factory=Counter)
    ends: list[tuple[int, str, list[str]]] = field(default_factory=list)
    # asker -> the pool that denies it fair_share, and since when that has enough free
    stepped_back: dict[int, tuple[str, int]] = field(default_factory=dict)
    # pool -> the longest that demand for it lasted
    hunger_ms: dict[str, int] = field(default_factory=dict)
    # pool -> campaign -> when its demand for the pool ends, at the latest
    demand: dict[str, dict[str, int]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    rate: Bucket | None = None

    def tick(self) -> None:
        """Time passes, calls end, and everybody whose time has come asks."""
        self.now_ms += TICK_MS
        self.zone.advance(TICK_MS)
        if self.rate:
            self.rate.fill()
        self.zone.call(*[self.end(call) for call in self.ends if call[0] <= self.now_ms])
        self.ends = [call for call in self.ends if call[0] > self.now_ms]
        due = [n for n, one in enumerate(self.askers) if one.next_ms <= self.now_ms]
        self.rng.shuffle(due)
        for n, answer in zip(due, self.zone.call(*[self.ask(n) for n in due]), strict=True):
            self.hear(n, answer)
        kept = self.stepped_back.items()
        self.stepped_back = {n: at for n, at in kept if self.has_enough(n, at[0])}

    def end(self, call: tuple[int, str, list[str]]) -> Op:
        """A call is over."""
        self.used.subtract(call[2])
        return {"op": "end", "id": call[1], "outcome": "completed"}

    def ask(self, n: int) -> Op:
        """The next ask of one of them."""
        asker = self.askers[n]
        asker.asks_left -= 1
        id_ = f"{next(IDS):011d}"
        given = {"op": "admit", "id": id_, "request_id": id_, "owner": "me", "body": "b"}
        return given | asker.wish

    def hear(self, n: int, answer: Answer) -> None:
        """It comes back when it was told to, or at once for more."""
        asker = self.askers[n]
        wait_ms = answer.get("retry_after_ms") or 0
        self.reasons[answer.get("reason", "granted")] += 1
        asker.next_ms = self.now_ms + (wait_ms if asker.asks_left else 10 * RUN_MS)
        if answer.get("pool"):
            hunger_ms = max(HUNGER_MS_MIN, 2 * wait_ms, self.hunger_ms.get(answer["pool"], 0))
            self.hunger_ms[answer["pool"]] = hunger_ms
        if answer.get("decision") == "deny" and answer["reason"] == "fair_share":
            self.step_back(n, answer["pool"])
        else:
            self.stepped_back.pop(n, None)
        if answer.get("granted"):
            self.served(asker)
        self.note_demand(asker.wish, answer)
        for one in answer.get("reservations") or []:
            self.take(asker, one)

    def note_demand(self, wish: dict[str, Any], answer: Answer) -> None:
        """Demand for the pool that denied lasts; for the others it is short from now on."""
        pool = answer.get("pool")
        if pool is None:
            return
        pool = {"zone": "channel:sip"}.get(
            pool, f"{pool}:sip" if pool.count(":") < 2 and pool.startswith("mpp:") else pool
        )
        campaign, ends = wish["campaign"], self.now_ms + HUNGER_MS_MIN
        if answer["decision"] == "deny":
            for other in {"channel:sip", *wish.get("pools", [])} - {pool}:
                known = self.demand.get(other, {})
                known[campaign] = min(known.get(campaign, 0), ends)
        lasts = max(HUNGER_MS_MIN, 2 * (answer.get("retry_after_ms") or 0))
        known = self.demand.setdefault(pool, {})
        known[campaign] = max(known.get(campaign, 0), self.now_ms + lasts)

    def served(self, asker: AdmissionLedger) -> None:
        """Its campaign got ports: which of a campaign's asks gets them is luck."""
        campaign = asker.wish["campaign"]
        kept = self.stepped_back.items()
        self.stepped_back = {n: at for n, at in kept if self.askers[n].wish["campaign"] != campaign}

    def take(self, asker: AdmissionLedger, one: Answer) -> None:
        """A call begins."""
        pools = ["channel:sip", f"mpp:{one.get('mpp')}:sip", *asker.wish.get("pools", [])]
        self.used.update(pools)
        if self.rate:
            self.rate.launches -= 1
        self.ends.append((self.now_ms + self.rng.randint(100, CALL_MS_MAX), one["id"], pools))

    def has_enough(self, n: int, pool: str) -> bool:
        """Whether what one of them needs at least is free in a pool, and of the zone's rate."""
        free = self.limits[pool] - self.used[pool]
        if self.rate:
            free = min(free, self.rate.launches)
        return bool(free >= self.askers[n].wish["min_count"])

    def step_back(self, n: int, pool: str) -> None:
        """It leaves the ports to somebody. To whom?"""
        campaign = self.askers[n].wish["campaign"]
        ends = [at for other, at in self.demand.get(pool, {}).items() if other != campaign]
        assert max(ends, default=0) >= self.now_ms, f"{campaign} yields for {pool} to no demand"
        _, since = self.stepped_back.get(n, (pool, self.now_ms))
        self.stepped_back[n] = (pool, since)
        longest_ms = CALL_MS_MAX + self.hunger_ms.get(pool, 0) + 2 * TICK_MS
        assert self.now_ms - since <= longest_ms, (
            f"{pool} has enough free for {self.now_ms - since} ms for {self.askers[n].wish}; "
            f"all: {[(one.wish, one.asks_left) for one in self.askers]}"
        )


IDS = itertools.count()


def drawn_policy(rng: Random) -> dict[str, Any]:
    """A zone of few ports and many rules."""
    campaigns = {name: drawn_campaign(rng) for name in CAMPAIGNS}
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


def drawn_campaign(rng: Random) -> dict[str, Any]:
    """One campaign."""
    limits = [{}, {}, {}, {}, {"limit": 5}, {"rate_per_s": 2, "burst": 6}]
    guarantee = rng.choice([0] * 9 + [2, 5])
    return {
        "weight": rng.choice([1, 1, 2, 49, 49, 0.3]),
        "priority": rng.choice([0, 0, 0, 1, 2]),
        "guarantee": guarantee,
        **rng.choice(limits),
    }


def drawn_asker(rng: Random) -> AdmissionLedger:
    """Most ask for ever, some are gone soon; few ask for more than there ever is."""
    count = rng.choice([1, 1, 1, 1, 2, 4, 6])
    wish = {"campaign": rng.choice(CAMPAIGNS), "count": count, **rng.choice(SHAPES)}
    wish["min_count"] = rng.choice([1, 1, count])
    return AdmissionLedger(wish=wish, asks_left=rng.choice([10**9, 10**9, 10**9, 1, 3]))


def limits_of(fields: dict[str, Any]) -> dict[str, int]:
    """The limits of what is contended, by policy."""
    pools = {f"channel:{name}": n for name, n in fields["zone"]["capacity"].items()}
    kinds = ("mpp:", "trunk:")
    limited = {name: one["limit"] for name, one in fields.items() if one.get("limit") is not None}
    return pools | {name: n for name, n in limited.items() if name.startswith(kinds)}


def drawn_world(client: redis.Redis, seed: int) -> World:
    rng = Random(seed)
    fields = drawn_policy(rng)
    zone = VirtualZone(client, fields, f"zone{seed}")
    zone.advance(TICK_MS)
    askers = [drawn_asker(rng) for _ in range(rng.randint(4, 14))]
    per_s, burst = fields["zone"].get("rate_per_s"), fields["zone"].get("burst")
    rate = Bucket(per_s, burst, burst) if per_s else None
    return World(zone, rng, askers, limits_of(fields), rate=rate)


@pytest.mark.parametrize("part", range(4))
def test_no_port_is_kept_for_nobody(redis_sync, part):
    reasons: Counter[str] = Counter()
    for seed in range(part, SEEDS, 4):
        world = drawn_world(redis_sync, seed)
        for _ in range(RUN_MS // TICK_MS):
            world.tick()
        reasons += world.reasons
    assert reasons["fair_share"] > 100
    assert reasons["granted"] > 500


def test_two_campaigns_that_yield_to_each_other_do_so_for_two_seconds_at_most(redis_sync):
    """Each has more than the other of one of two trunks, and both trunks have units free."""
    trunks = {"trunk:x": {"limit": 4}, "trunk:y": {"limit": 4}}
    fields = compiled(capacity={"sip": 100}, pools=trunks, campaigns={"*": {}})
    zone = VirtualZone(redis_sync, fields)
    zone.advance(60_000)

    def ask(campaign: str, *pools: str, count: int = 1) -> Answer:
        id_ = f"{next(IDS):011d}"
        op = {"op": "admit", "id": id_, "request_id": id_, "owner": "me", "body": "b"}
        op |= {"campaign": campaign, "count": count, "min_count": count, "pools": list(pools)}
        return zone.call(op)[0]

    def end(answer: Answer) -> None:
        for one in answer["reservations"]:
            zone.one("end", id=one["id"], outcome="completed")

    for campaign, pool in HELD.items():
        assert ask(campaign, pool, count=2)["decision"] == "grant"
    first = [ask("c", pool, count=2) for pool in trunks]
    zone.advance(40_000)
    for answer in first:  # from long calls the ledger learns to answer long retries
        end(answer)
    second = [ask("c", pool, count=2) for pool in trunks]
    for campaign, pool in (("b", "trunk:y"), ("a", "trunk:x")):
        denied = ask(campaign, pool, count=2)
        assert (denied["reason"], denied["retry_after_ms"]) == ("pool_full", 20_000)
    for answer in second:
        end(answer)
    waited_ms = 0
    while not any(ask(campaign, *trunks)["decision"] == "grant" for campaign in HELD):
        zone.advance(TICK_MS)
        waited_ms += TICK_MS
        assert waited_ms <= 2_000


HELD = {"a": "trunk:y", "b": "trunk:x"}
