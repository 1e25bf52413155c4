"""Dialers on a zone with virtual time: who asks how often, for how much, and what all of them have.

Time goes in ticks. In each, ended calls are told and due asks are made in one script call, in an
order drawn anew. Calls last an exponential time: what is left of one does not depend on its age.
"""

import itertools
from dataclasses import dataclass, field
from random import Random
from typing import Any

import redis

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import parse_policy
from tests.support.virtual_zone import Answer, Op, VirtualZone

TICK_MS = 20
CALL_MS_MIN = 2 * TICK_MS
STATIC = {
    "source": "static",
    "channels": ["sip"],
    "launch_within_ms": 1,
    "claim_within_ms": 0,
    "retention_ms": 100,
}


def compiled(**policy: Any) -> dict[str, Any]:
    """The compiled policy of a zone of static SIP ports."""
    return compile_policy(parse_policy(STATIC | policy))


@dataclass(slots=True, kw_only=True)
class Dialer:
    """Asks every so often for so many, or by chance with these odds in each tick.

    `obeys`: a denied one comes back when it was told to.
    """

    campaign: str
    every_ms: int = TICK_MS
    per_tick: int = 1
    count: int = 1
    min_count: int = 1
    obeys: bool = False
    busy: bool = True
    next_ms: int = 0
    odds: float = 1
    rng: Random = field(default_factory=Random)

    def asks(self, now_ms: int) -> list[Op]:
        """What it asks now."""
        if not self.busy or now_ms < self.next_ms or self.rng.random() >= self.odds:
            return []
        self.next_ms = now_ms + self.every_ms
        wish = {"count": self.count, "min_count": self.min_count, "campaign": self.campaign}
        return [{"op": "admit", "owner": "me", "body": "b", **wish}] * self.per_tick

    def hears(self, answer: Answer, now_ms: int) -> None:
        """When it asks again, if it does as it is told."""
        if self.obeys and answer["decision"] == "deny":
            self.next_ms = now_ms + answer["retry_after_ms"]


@dataclass
class Scene:
    """A zone, its dialers, and their calls."""

    client: redis.Redis
    fields: dict[str, Any]
    dialers: list[Dialer]
    call_ms: int
    seed: int = 1
    now_ms: int = 0
    grants: list[tuple[int, str, int]] = field(default_factory=list)
    has: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.zone = VirtualZone(self.client, self.fields)
        self.zone.advance(10)  # a new zone recovers for 1 ms
        self.rng = Random(self.seed)
        self.ids = (f"{n:011d}" for n in itertools.count())
        self.ends: list[tuple[int, str, str]] = []
        self.has = dict.fromkeys((one.campaign for one in self.dialers), 0)

    def run(self, ms: int) -> dict[str, float]:
        """Let time pass; answers the mean of what each campaign had in it."""
        sums = dict.fromkeys(self.has, 0)
        ticks = ms // TICK_MS
        for _ in range(ticks):
            self.tick()
            for campaign, units in self.has.items():
                sums[campaign] += units
        return {campaign: total / ticks for campaign, total in sums.items()}

    def tick(self) -> None:
        """One tick."""
        self.now_ms += TICK_MS
        self.zone.advance(TICK_MS)
        asks = [(one, ask) for one in self.dialers for ask in one.asks(self.now_ms)]
        self.rng.shuffle(asks)
        ended = self._ended()
        answers = self.zone.call(*ended, *[self._named(ask) for _, ask in asks])[len(ended) :]
        for (dialer, _), answer in zip(asks, answers, strict=True):
            dialer.hears(answer, self.now_ms)
            self._took(dialer.campaign, answer)

    def granted_now(self, campaign: str) -> bool:
        """Whether the campaign was granted anything in the last tick."""
        return any((at, who) == (self.now_ms, campaign) for at, who, _ in self.grants[-20:])

    def would_be_told(self, **wish: Any) -> Answer:
        """What an ask would be answered now; it changes nothing."""
        ask = self._named({"owner": "me", "body": "b", **wish})
        return self.zone.one("admit", **ask, dry_run=True)

    def _named(self, ask: Op) -> Op:
        id_ = next(self.ids)
        return {**ask, "id": id_, "request_id": id_}

    def _ended(self) -> list[Op]:
        due = [end for end in self.ends if end[0] <= self.now_ms]
        self.ends = [end for end in self.ends if end[0] > self.now_ms]
        for _, campaign, _ in due:
            self.has[campaign] -= 1
        return [{"op": "end", "id": id_, "outcome": "completed"} for _, _, id_ in due]

    def _took(self, campaign: str, answer: Answer) -> None:
        if not answer["granted"]:
            return
        self.grants.append((self.now_ms, campaign, answer["granted"]))
        self.has[campaign] += answer["granted"]
        for one in answer["reservations"]:
            lasts = max(CALL_MS_MIN, round(self.rng.expovariate(1 / self.call_ms)))
            self.ends.append((self.now_ms + lasts, campaign, one["id"]))
