"""A tiny zone whose every state can be visited: its scope, its values, its ledger states.

Time is a handful of ticks. States keep only what can still make a difference, and things without
a name of their own (calls, snapshots) are kept sorted: that is what makes the number of states
small, and the number of orders of events that lead through them huge.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tests.oracle import OracleLedger, Rules
from tests.oracle.state import Reservation, Snapshot

# One tick in ms: more than any drift of a stopwatch in these scopes, so that only order counts.
TICK_MS = 10
# Where the first tick lies, and how many ticks before it the ledger is born and recovers.
START_MS = 10_000
BIRTH = 10
FAR = 10**6
NEVER = -1
NEW = "new"
POOL = "channel:sip"

Op = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How much may happen. Durations in ticks; `losses` of the ledger's memory.

    `backup`: a loss brings back an older state instead of none. `adopts`: dialers restate their
    calls. `early_launched`: a launch is reported before, or without, any port being taken.
    `launch`: a grant is launched within this, and claims its port within `claim` of that; the
    launch is reported at once, late or never. `growth`: others take no more than one port in a
    tick, and the policy says so. `shortened`: just before a loss another policy replaced the
    first, by which calls claim their ports at once.
    """

    ports: int = 2
    calls: int = 3
    snapshots: int = 2
    ticks: int = 5
    claim: int = 1
    launch: int = 0
    lag: int = 1
    end_notice: int = 0
    max_age: int = FAR
    answer_within: int = FAR
    max_call: int = FAR
    foreign: int = 0
    arrivals: int = 0
    losses: int = 0
    backup: bool = False
    dedicated: bool = False
    growth: bool = False
    adopts: bool = False
    shortened: bool = False
    early_launched: bool = False

    def policy(self) -> dict[str, dict[str, Any]]:
        """The compiled policy of this scope."""
        ticks = {
            "launch_within": self.launch,
            "claim_within": self.claim,
            "claim_max": self.launch + self.claim,
            "visibility_lag": self.lag,
            "end_notice": self.end_notice,
            "poll_interval": 1,
            "max_age": self.max_age,
            "answer_within": self.answer_within,
            "max_call": self.max_call,
            "retention": FAR,
        }
        zone = {name: n * TICK_MS for name, n in ticks.items()}
        channels = {"channels": ["sip"], "any": ["sip"], "fed": ["sip"]}
        growth_per_s = 1000 // TICK_MS if self.growth else 0
        kept = {"dedicated": self.dedicated, "growth_per_s": growth_per_s}
        return {"zone": zone | channels | kept, "campaign:*": {}}

    def remembered(self) -> dict[str, dict[str, Any]]:
        """The policy that comes back after a loss."""
        first = self.policy()
        shorter = {"claim_within": 0, "claim_max": self.launch * TICK_MS}
        shorter["claim_before"] = first["zone"]["claim_max"]
        return first | {"zone": first["zone"] | shorter} if self.shortened else first


class Step(NamedTuple):
    """What one operation led to: the state, whether it said yes, each reservation's new place."""

    ledger: int
    yes: bool
    places: dict[str, int]


@dataclass(slots=True)
class Ledgers:
    """All ledger states that were reached, and every step between them, computed once.

    The reservations of a state have the names "0", "1" … in an order of what matters of them.
    """

    scope: Scope
    rules: Rules
    reached: list[OracleLedger] = field(default_factory=list)
    equal: list[list[int]] = field(default_factory=list)
    index: dict[Any, int] = field(default_factory=dict)
    steps: dict[Any, Step] = field(default_factory=dict)

    def ready(self) -> int:
        """A ledger past its recovery, with one exact snapshot."""
        ledger = OracleLedger(self.scope.policy(), self.rules)
        for tick in range(-BIRTH, 0):
            ledger.call([], ms(tick), "run")
        unused = self.scope.ports - self.scope.foreign
        ledger.call([ingest("", 0, self.scope.ports, unused)], ms(0), "run")
        return self._intern(ledger, yes=True).ledger

    def lost(self, tick: int, backup: int) -> Step:
        """Another server: with nothing, or with what an older state says."""
        step = (backup, tick, "lost")
        if step not in self.steps:
            ledger = OracleLedger(self.scope.remembered(), self.rules)
            if backup != NEVER:
                ledger = self.reached[backup].copy()
            ledger.call([], ms(tick), "another run")
            self.steps[step] = self._intern(ledger, yes=True)
        return self.steps[step]

    def step(self, index: int, tick: int, verb: str, id_: str = NEW, *args: Any) -> Step:
        """Apply one operation, `OPS[verb](id, *args)`."""
        step = (index, tick, verb, id_, args)
        known = self.steps.get(step)
        if known is None:
            ledger = self.reached[index].copy()
            op = OPS[verb](id_, *args)
            result = ledger.call([op], ms(tick), ledger.zone.run_id or "")["results"][0]
            yes = result.get("decision") == "grant" or result.get("accepted", False)
            known = self.steps[step] = self._intern(ledger, yes)
        return known

    def credit_from(self, index: int) -> int:
        """The tick of the oldest ingest against which an end may still earn a credit."""
        newest = self.reached[index].zone.snapshots.get(POOL)
        if newest is None:
            return FAR
        return (min(newest.t1, newest.best_t1 or newest.t1) - START_MS) // TICK_MS

    def _intern(self, ledger: OracleLedger, yes: bool) -> Step:
        """Find or keep a state; states that differ in nothing that matters are one."""
        zone = ledger.zone
        newest = zone.snapshots.get(POOL)
        live = [self._as_reported(one) for one in zone.reservations.values() if one.holds]
        zone.reservations = {one.id: one for one in live}
        what = sorted((self._of_call(one, newest), one.id) for one in live)
        recovery = (zone.run_id, zone.recovered_from, zone.recover_until)
        calls = tuple(matters for matters, _ in what)
        key = (zone.now, recovery, self._of_snapshot(newest, zone.now), calls)
        if key not in self.index:
            self.index[key] = len(self.reached)
            self.reached.append(renamed(ledger, [id_ for _, id_ in what]))
            self.equal.append([calls.index(one) for one in calls])
        return Step(self.index[key], yes, {id_: n for n, (_, id_) in enumerate(what)})

    def _as_reported(self, one: Reservation) -> Reservation:
        """Without `taken`, where a call with a port is reported `completed` in any case."""
        return one if self.scope.early_launched else replace(one, taken=False)

    def _of_call(self, one: Reservation, newest: Snapshot | None) -> tuple[Any, ...]:
        """What matters of a reservation. Windows only move on: once held, always held."""
        if newest and newest.best_w0 is not None:
            newest = replace(newest, w0=newest.best_w0)
        last = ms(self.scope.ticks)
        deadline = one.deadline if one.deadline <= last else FAR
        w0 = newest.w0 if newest else -FAR
        return (max(one.visible_by, w0 - 1), deadline, one.taken, one.adopted)

    def _of_snapshot(self, newest: Snapshot | None, now: int) -> Any:
        """What matters of a snapshot: a t1 so long ago that every end of now comes after it."""
        if newest is None or newest.best is not None:
            return newest
        long_ago = now - (self.scope.end_notice + 1) * TICK_MS
        return replace(newest, t1=max(newest.t1, long_ago), total=None, unused=None)


def renamed(ledger: OracleLedger, ids: list[str]) -> OracleLedger:
    """The ledger with live reservations by place, without records that only answer repeats."""
    known = ledger.zone.reservations
    ledger.zone.reservations = {str(n): replace(known[id_], id=str(n)) for n, id_ in enumerate(ids)}
    ledger.zone.requests.clear()
    return ledger


def ms(tick: int) -> int:
    """The raw clock in ms at a tick."""
    return START_MS + tick * TICK_MS


def ingest(_: str, asked: int, total: int, unused: int) -> Op:
    """A snapshot reaches the ledger; `asked`: the tick of the query."""
    return {"op": "ingest", "t0": ms(asked), "groups": [{"total": total, "unused": {POOL: unused}}]}


def ask(id_: str) -> Op:
    """An admission request for one launch."""
    names = {"id": id_, "request_id": id_, "body": "", "campaign": "c", "channel": "sip"}
    return {"op": "admit", "count": 1, "min_count": 1, **names}


def launched(id_: str, port_taken: bool) -> Op:
    """The call was launched, or has taken its port."""
    return {"op": "launched", "id": id_, "port_taken": port_taken}


def still_up(id_: str) -> Op:
    """A dialer restates its call."""
    adopt = {"campaign": "c", "channel": "sip", "pools": []}
    return {"op": "renew", "id": id_, "adopt": adopt}


def end(id_: str, outcome: str, learnt: int) -> Op:
    """The call is over; `learnt`: the tick at which its dialer knew."""
    return {"op": "end", "id": id_, "outcome": outcome, "ended_at": ms(learnt)}


OPS: dict[str, Callable[..., Op]] = {
    "ingest": ingest,
    "ask": ask,
    "launched": launched,
    "still_up": still_up,
    "end": end,
    "time": lambda _: {"op": "time"},
}
