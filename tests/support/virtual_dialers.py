"""Dialers on a zone of the real script, in virtual time: the model of the fairness tests.

Time advances in ticks. Each tick reports the calls that ended and sends the requests that are due,
in one script call and a random order. It has no network, no platform and no time of a dialer's
own: these belong to tests/support/simulation, whose runs are too slow for a minute of fairness.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import redis

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import parse_policy
from tests.support.virtual_zone import Answer, Op, VirtualZone

TICK_MS = 20
STATIC = {
    "source": "static",
    "channels": ["sip"],
    "launch_within_ms": 1,
    "claim_within_ms": 0,
    "retention_ms": 100,
}


def compiled(**policy: Any) -> dict[str, Any]:
    """Return the compiled policy of a zone of static SIP ports."""
    return compile_policy(parse_policy(STATIC | policy))


def compile_ports(ports: int, campaigns: dict[str, Any], **policy: Any) -> dict[str, Any]:
    """Return the compiled policy of a zone of so many SIP ports with these campaigns."""
    return compiled(capacity={"sip": ports}, campaigns=campaigns, **policy)


@dataclass(slots=True, kw_only=True, eq=False)
class Dialer:
    """Sends the same requests again and again.

    Args:
        every_ms: between two times of asking.
        per_tick: requests each time.
        shape: more fields of each request (pools, mpp).
        obeys: it waits for `retry_after_ms`.
        busy: it has calls to make.
        odds: the probability that it asks when it could.
        requests_left: after so many it asks no more; None: it never stops.
    """

    campaign: str
    every_ms: int = TICK_MS
    per_tick: int = 1
    count: int = 1
    min_count: int = 1
    shape: dict[str, Any] = field(default_factory=dict)
    obeys: bool = False
    busy: bool = True
    next_ms: int = 0
    odds: float = 1
    rng: Random = field(default_factory=Random)
    requests_left: int | None = None

    def make_requests(self, now_ms: int) -> list[Op]:
        """Return the requests that are due."""
        if not self.busy or now_ms < self.next_ms or self.rng.random() >= self.odds:
            return []
        self.next_ms = now_ms + self.every_ms
        if self.requests_left is not None:
            self.requests_left -= self.per_tick
            self.busy = self.requests_left > 0
        wish = {"count": self.count, "min_count": self.min_count, "campaign": self.campaign}
        return [{"op": "admit", "owner": "me", "body": "b", **wish, **self.shape}] * self.per_tick

    def receive(self, answer: Answer, now_ms: int) -> None:
        """Wait after a denial or a partial grant, if it obeys."""
        if self.obeys and answer.get("retry_after_ms"):
            self.next_ms = now_ms + answer["retry_after_ms"]


def exponential(mean_ms: int) -> Callable[[Random], int]:
    """Durations of calls in ms whose rest does not depend on their age."""
    return lambda rng: max(2 * TICK_MS, round(rng.expovariate(1 / mean_ms)))


class VirtualScene:
    """A zone, its dialers, and their calls.

    Args:
        client: the server; answers are bytes.
        fields: the compiled policy.
        call_ms: returns the duration of a call.
        rng: orders requests, and draws durations.
        zone: the zone's name, not used on this server before.

    Attributes:
        has: campaign -> calls that are up.
    """

    def __init__(
        self,
        client: redis.Redis,
        fields: dict[str, Any],
        dialers: Sequence[Dialer],
        call_ms: Callable[[Random], int],
        *,
        rng: Random | None = None,
        tick_ms: int = TICK_MS,
        zone: str = "east",
    ) -> None:
        self.zone = VirtualZone(client, fields, zone)
        self.zone.advance(10)  # a new zone recovers for 1 ms
        self.dialers = dialers
        self.rng = rng or Random(1)
        self.now_ms = 0
        self.granted_at = dict[str, int]()
        self.has = dict.fromkeys((one.campaign for one in dialers), 0)
        self._call_ms = call_ms
        self._tick_ms = tick_ms
        self._ids = (f"{n:011d}" for n in itertools.count())
        self._ends: list[tuple[int, Dialer, Answer]] = []

    def run(self, ms: int) -> dict[str, float]:
        """Let time pass. Returns the mean number of calls of each campaign."""
        sums = dict.fromkeys(self.has, 0)
        ticks = ms // self._tick_ms
        for _ in range(ticks):
            self.tick()
            for campaign, units in self.has.items():
                sums[campaign] += units
        return {campaign: total / ticks for campaign, total in sums.items()}

    def tick(self) -> None:
        """Advance the time by one tick."""
        self.now_ms += self._tick_ms
        self.zone.advance(self._tick_ms)
        requests = [(one, op) for one in self.dialers for op in one.make_requests(self.now_ms)]
        self.rng.shuffle(requests)
        ended = self._end_calls()
        ops = [*ended, *[self._with_id(op) for _, op in requests]]
        answers = self.zone.call(*ops)[len(ended) :]
        for (dialer, _), answer in zip(requests, answers, strict=True):
            self.receive(dialer, answer)

    def receive(self, dialer: Dialer, answer: Answer) -> None:
        """A dialer gets its answer; the calls of a grant begin."""
        dialer.receive(answer, self.now_ms)
        if answer["granted"]:
            self.granted_at[dialer.campaign] = self.now_ms
        for one in answer["reservations"]:
            self._ends.append((self.now_ms + self._call_ms(self.rng), dialer, one))
            self.count_call(dialer, one, 1)

    def count_call(self, dialer: Dialer, _reservation: Answer, change: int) -> None:
        """A call began (change 1) or ended (-1)."""
        self.has[dialer.campaign] += change

    def preview(self, **wish: Any) -> Answer:
        """Return the answer that a request would get now; it changes nothing."""
        op = self._with_id({"owner": "me", "body": "b", **wish})
        return self.zone.one("admit", **op, dry_run=True)

    def _with_id(self, op: Op) -> Op:
        id_ = next(self._ids)
        return {**op, "id": id_, "request_id": id_}

    def _end_calls(self) -> list[Op]:
        due = [end for end in self._ends if end[0] <= self.now_ms]
        self._ends = [end for end in self._ends if end[0] > self.now_ms]
        for _, dialer, reservation in due:
            self.count_call(dialer, reservation, -1)
        return [{"op": "end", "id": one["id"], "outcome": "completed"} for _, _, one in due]
