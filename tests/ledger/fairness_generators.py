"""What the random driver of fairness draws: who asks for how much, and what else happens."""

from random import Random
from typing import Any

from tests.ledger.fairness_rules import CAMPAIGNS, TOTAL, Fields, policy, stated

Op = dict[str, Any]

NAMES = [*CAMPAIGNS, *CAMPAIGNS, *CAMPAIGNS, "not-in-policy"]
POOLS = ["channel:sip", "channel:h323", "trunk:x", "trunk:y", "agent:1", "campaign:a", "campaign:b"]
OUTCOMES = ["completed"] * 5 + ["busy", "failed", "failed", "no_resource", "not_launched"]
STEPS_US = [0, 0, 1, 999, 1_000, 20_000, 20_000, 100_000, 333_334, 500_000, 999_999, 1_000_000]
EASY_ASKS = 20  # at first, and now and then: else hardly any ask is one for which nothing is scarce
SELDOM_US = [2_000_001, 7_000_000, 31_000_000]


def step_us(rng: Random) -> int:
    """How much time passes before the next call."""
    return rng.choice(STEPS_US if rng.random() < 0.97 else SELDOM_US)


class FairDraws:
    """Draws operations that have to do with what was granted before."""

    def __init__(self, rng: Random, fields: Fields) -> None:
        self.rng = rng
        self.mpps: list[str] = fields["zone"]["mpps"]
        self.fed: list[str] = fields["zone"]["fed"]
        self.live: list[str] = []
        self.paused: list[str | None] = []
        self.asks: list[Op] = []
        self.asked = 0
        self.policies = 0

    def learn(self, ops: list[Op], results: list[dict[str, Any]]) -> None:
        """Remember what is up, and what may be asked again."""
        for op, result in zip(ops, results, strict=True):
            if op["op"] == "admit":
                self.asks = [*self.asks[-5:], op]
                self.live += [one["id"] for one in result.get("reservations") or []]
            if op["op"] == "end" and op["id"] in self.live:
                self.live.remove(op["id"])

    def some(self, now: int) -> list[Op]:
        """The operations of one call: mostly asks and ends, so that ports are scarce."""
        drawn = [self.ask(now) for _ in range(self.rng.choice([0, 1, 1, 2, 4]))]
        if self.asked < EASY_ASKS or self.rng.random() < 0.05:
            drawn = self.easy_asks(now)
        kinds = [(self.end, 14), (self.snapshot, 5), (self.launched, 2), (self.odd_ask, 3)]
        seldom = [(self.pause, 1), (self.go_on, 2), (self.limit, 2), (self.another_policy, 1)]
        draws, weights = zip(*kinds, *seldom, strict=True)
        for draw in self.rng.choices(draws, weights, k=self.rng.choice([0, 1, 1, 2])):
            drawn.insert(self.rng.randint(0, len(drawn)), draw(now))
        return drawn

    def ask(self, now: int) -> Op:
        """May I launch so many?"""
        self.asked += 1
        count = self.rng.choice([1, 1, 1, 2, 3, 5, 9])
        return {
            "op": "admit",
            "id": f"{self.asked:011d}",
            "request_id": f"r{self.asked}",
            "campaign": self.rng.choice(NAMES),
            "channel": self.rng.choice(["sip", "sip", "sip", "any"]),
            "count": count,
            "min_count": self.rng.choice([1, 1, 1, count]),
            "pools": self.rng.choice([[], [], [], ["trunk:x"], ["trunk:y"], ["agent:1"]]),
            "owner": "me",
            "body": "same",
            **stated(mpp=self.rng.choice([None, *self.mpps])),
        }

    def easy_asks(self, now: int) -> list[Op]:
        """One dialer's asks in one call, for a port each: all but the first may be easy."""
        one = {"campaign": self.rng.choice(NAMES), "channel": "sip", "pools": []}
        one |= {"count": 1, "min_count": 1}
        return [self.ask(now) | one for _ in range(self.rng.choice([3, 6]))]

    def odd_ask(self, now: int) -> Op:
        """A dry run, an explanation, or an ask once more."""
        again = self.rng.choice(self.asks) if self.asks else self.ask(now)
        self.asked += 1
        how = self.rng.choice([{}, {"dry_run": True}, {"dry_run": True, "explain": True}])
        return {**again, "id": f"{self.asked:011d}", **how}

    def _any_id(self) -> str:
        return self.rng.choice(self.live or ["no-such-id"])

    def end(self, now: int) -> Op:
        """A call ended."""
        outcome = self.rng.choice(OUTCOMES)
        return {"op": "end", "id": self._any_id(), "outcome": outcome, "ended_at": now}

    def launched(self, now: int) -> Op:
        """A call has its port."""
        mpp = stated(mpp=self.rng.choice([None, *self.mpps]))
        return {"op": "launched", "id": self._any_id(), "port_taken": True, **mpp}

    def snapshot(self, now: int) -> Op:
        """A snapshot of both channels, taken now; the time if the source takes none."""
        if not self.fed:
            return {"op": "time"}
        unused = {"channel:sip": self.rng.randint(0, 6), "channel:h323": self.rng.randint(0, 3)}
        return {"op": "ingest", "t0": now, "groups": [{"total": TOTAL, "unused": unused}]}

    def pause(self, now: int) -> Op:
        """Stop something."""
        whole = [f"mpp:{mpp}" for mpp in self.mpps]
        pool = self.rng.choice([None, *POOLS, *whole, "mpp:m1:sip", "trunk:unheard"])
        self.paused.append(pool)
        return {"op": "pause", "on": True} | stated(pool=pool)

    def go_on(self, now: int) -> Op:
        """Let something go on that was paused, as a rule."""
        pool = self.paused.pop() if self.paused else "trunk:y"
        return {"op": "pause", "on": False} | stated(pool=pool)

    def limit(self, now: int) -> Op:
        """A limit for a while."""
        others = ["mpp:m1", "mpp:m1:sip", "mpp:m2:sip", "trunk:unheard"]
        return {
            "op": "limit",
            "pool": self.rng.choice(POOLS + others),
            "limit": self.rng.choice([0, 1, 2, 4, 20]),
            "ttl_ms": self.rng.choice([1, 500, 5_000]),
            **stated(scope=self.rng.choice([None, None, ["a"]])),
        }

    def another_policy(self, now: int) -> Op:
        """All rules anew, or what is live once more."""
        self.policies += self.rng.random() < 0.8 or not self.policies
        is_fed, has_mpps = self._still(bool(self.fed)), self._still(bool(self.mpps))
        fields = policy(self.rng, is_fed, has_mpps, self.rng.choice([200, 200, 0, 900]))
        self.fed, self.mpps = fields["zone"]["fed"], fields["zone"]["mpps"]
        digest = f"another {self.policies}"
        return {"op": "policy", "mode": "apply", "source": "{}", "digest": digest, "fields": fields}

    def _still(self, was: bool) -> bool:
        return was if self.rng.random() < 0.7 else not was
