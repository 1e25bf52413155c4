"""Every order of events of a tiny zone, ledger and true platform together.

Inside a tick everything that may happen may happen in any order; then the tick ends. What may
happen: a dialer requests an admission; a granted call takes its port at any moment of its
window, or never; it ends; each report of it comes at once, late, or never; the platform counts
at any moment from `lag` before the query until the ingest; the snapshot is ingested late, after
a newer one, or never; a foreign call takes or frees a port; the ledger loses its state.

Two orders that lead to the same state are followed once from there. A count is not an event
of its own: a query under way collects every count that it may have seen, and its ingest tries
each of them.

Foreign use may grow at any time, but the promise holds only while it does not grow between a
snapshot and the claims that rely on it (docs/concepts.md): a call that would take
its port after such growth leads out of the assumptions and is not followed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.ledger.small_scope import FAR, NEVER, NEW, Ledgers, Scope, Step
from tests.oracle import Rules

# Free ports that a snapshot may contain: (free, whether foreign use grew since).
Seen = frozenset[tuple[int, bool]]
NOTHING: Seen = frozenset()


class Call(NamedTuple):
    """A call that can still make a difference, and its place in the ledger (`NEVER`: none).

    `granted`, `launched` (since a tick), `up` (it has a port), `down` (since a tick, not
    reported). Where a launch takes no time, `granted` is both.
    `doubtful`: foreign use grew since the snapshot that its grant relied on. `stored`: its
    place in the backup.
    """

    place: int
    phase: str
    since: int
    doubtful: bool
    stored: int


class Query(NamedTuple):
    """A query of the platform under way: its tick, and the counts that it may have seen."""

    asked: int
    seen: Seen


class State(NamedTuple):
    """Ledger (an index into `Ledgers`) and true platform at one moment."""

    tick: int
    ledger: int
    asks: int
    calls: tuple[Call, ...]
    questions: int
    queries: tuple[Query, ...]
    seen: tuple[Seen, ...]
    foreign: int
    arrivals: int
    arrived: int
    losses: int
    backup: int
    doubtful: bool


Event = tuple[str, State]


class OverLaunchError(AssertionError):
    """A granted call found no free port. The message is the way there."""


@dataclass(slots=True)
class Explorer:
    """Follows every order of one scope under some rules."""

    scope: Scope
    rules: Rules = field(default_factory=Rules)
    orders: dict[State, int] = field(default_factory=dict)
    way: list[str] = field(default_factory=list)
    claims: int = 0
    ledgers: Ledgers = field(init=False)
    settled: dict[Any, tuple[Call, ...]] = field(default_factory=dict)
    seeing: dict[Any, tuple[Query, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ledgers = Ledgers(self.scope, self.rules)

    def explore(self) -> int:
        """Follow every order; answers how many there are (calls have no names: at least).

        Raises:
            OverLaunchError: a granted call found no port, with the events that lead there.
        """
        first = State(
            tick=0,
            ledger=self.ledgers.ready(),
            asks=self.scope.calls,
            calls=(),
            questions=self.scope.snapshots,
            queries=(),
            seen=(NOTHING,) * (self.scope.lag + 1),
            foreign=self.scope.foreign,
            arrivals=self.scope.arrivals,
            arrived=NEVER,
            losses=self.scope.losses,
            backup=NEVER,
            doubtful=False,
        )
        return self._follow(self._settle(first))

    def _follow(self, state: State) -> int:
        known = self.orders.get(state)
        if known is not None:
            return known
        found = 0
        for event, after in self._events(state):
            self.way.append(event)
            found += self._follow(self._settle(after))
            self.way.pop()
        self.orders[state] = max(1, found)
        return self.orders[state]

    def _events(self, state: State) -> Iterator[Event]:
        if state.asks:
            yield from self._ask(state)
        for n, call in enumerate(state.calls):
            if call.phase == "granted" and self.scope.launch:
                yield from self._launch(state, n, call)
            elif call.phase in ("granted", "launched"):
                yield from self._claim(state, n, call)
            else:
                yield from self._life(state, n, call)
        yield from self._questions(state)
        yield from self._ingests(state)
        yield from self._others(state)
        if state.losses:
            yield self._loss(state)
        if state.tick < self.scope.ticks:
            yield self._tick(state)

    def _ask(self, state: State) -> Iterator[Event]:
        step = self._step(state, "ask")
        if step.yes:
            after = placed(state, step, asks=state.asks - 1)
            call = Call(step.places[NEW], "granted", state.tick, state.doubtful, NEVER)
            yield "grant", after._replace(calls=(*after.calls, call))

    def _launch(self, state: State, n: int, call: Call) -> Iterator[Event]:
        if state.tick <= call.since + self.scope.launch:
            launched = call._replace(phase="launched", since=state.tick)
            yield f"launch of call {n}", with_call(state, n, launched)
        yield self._end(state, n, call, "not_launched", state.tick)

    def _claim(self, state: State, n: int, call: Call) -> Iterator[Event]:
        if state.tick <= call.since + self._claim_within(state, call) and not call.doubtful:
            self.claims += 1
            if not self._free(state):
                raise OverLaunchError(" | ".join([*self.way, f"no port for call {n}"]))
            yield f"port for call {n}", with_call(state, n, call._replace(phase="up", since=0))
        yield self._end(state, n, call, "failed", state.tick)
        if self.scope.early_launched or call.phase == "launched":
            yield from self._report(state, n, call, "launched", False)

    def _claim_within(self, state: State, call: Call) -> int:
        is_of_shorter = self.scope.shortened and not state.losses and call.place != NEVER
        return 0 if is_of_shorter else self.scope.claim

    def _life(self, state: State, n: int, call: Call) -> Iterator[Event]:
        if call.phase == "up":
            ended = call._replace(phase="down", since=state.tick)
            yield f"end of call {n}", with_call(state, n, ended)
        else:
            learnt = min(state.tick, call.since + self.scope.end_notice)
            yield self._end(state, n, call, "completed", learnt)
        yield from self._report(state, n, call, "launched", True)
        if self.scope.adopts and call.phase == "up":
            yield from self._report(state, n, call, "still_up")

    def _report(self, state: State, n: int, call: Call, verb: str, *args: Any) -> Iterator[Event]:
        """The report of a call, if it changes the ledger."""
        step = self._step(state, verb, name(call), *args)
        if step.ledger != state.ledger:
            after = placed(state, step)
            moved = after.calls[n]._replace(place=step.places.get(name(call), NEVER))
            yield f"args: call {n} {verb} {args}", with_call(after, n, moved)

    def _end(self, state: State, n: int, call: Call, outcome: str, learnt: int) -> Event:
        step = self._step(state, "end", name(call), outcome, learnt)
        rest = state.calls[:n] + state.calls[n + 1 :]
        return f"args: call {n} {outcome}", placed(state, step, calls=rest)

    def _questions(self, state: State) -> Iterator[Event]:
        if state.questions:
            query = Query(state.tick, NOTHING.union(*state.seen))
            queries = (*state.queries, query)
            yield "question", state._replace(questions=state.questions - 1, queries=queries)

    def _ingests(self, state: State) -> Iterator[Event]:
        for n, query in enumerate(state.queries):
            rest = state.queries[:n] + state.queries[n + 1 :]
            for unused, doubtful in query.seen:
                step = self._step(state, "ingest", "", query.asked, self.scope.ports, unused)
                taken = step.ledger != state.ledger
                doubt = doubtful if taken else state.doubtful
                after = placed(state, step, queries=rest, doubtful=doubt)
                yield f"ingest: {unused} unused, asked at {query.asked}", after

    def _others(self, state: State) -> Iterator[Event]:
        if state.foreign:
            yield "foreign end", state._replace(foreign=state.foreign - 1)
        in_time = not self.scope.growth or state.arrived < state.tick
        if state.arrivals and in_time and self._free(state):
            yield "foreign start", with_foreign_call(state, foreseen=self.scope.growth)

    def _loss(self, state: State) -> Event:
        if self.scope.backup and state.backup == NEVER:
            calls = tuple(one._replace(stored=one.place) for one in state.calls)
            return "backup", state._replace(backup=state.ledger, calls=calls)
        step = self.ledgers.lost(state.tick, state.backup)
        calls = tuple(one._replace(place=one.stored, stored=NEVER) for one in state.calls)
        fresh = {"losses": 0, "backup": NEVER, "doubtful": False}
        return "loss", placed(state, step, calls=calls, **fresh)

    def _tick(self, state: State) -> Event:
        tick = state.tick + 1
        step = self.ledgers.step(state.ledger, tick, "time")
        return f"-- {tick}", placed(state, step, tick=tick, seen=(*state.seen[1:], NOTHING))

    def _step(self, state: State, verb: str, *args: Any) -> Step:
        return self.ledgers.step(state.ledger, state.tick, verb, *args)

    def _free(self, state: State) -> int:
        """Ports that are truly free."""
        free = self.scope.ports - state.foreign
        for call in state.calls:
            free -= call.phase == "up"
        return free

    def _settle(self, state: State) -> State:
        """The same moment without what can make no difference any more."""
        now = (self._free(state), False)
        seen = (*state.seen[:-1], with_count(state.seen[-1], now)) if state.questions else ()
        queries = self._settled_queries(state.queries, now) if state.queries else ()
        key = (state.calls, state.ledger, state.tick)
        calls = self.settled.get(key)
        if calls is None:
            calls = self.settled[key] = self._settled_calls(state)
        if calls == state.calls and seen == state.seen and queries == state.queries:
            return state
        return state._replace(calls=calls, seen=seen, queries=queries)

    def _settled_queries(
        self, queries: tuple[Query, ...], now: tuple[int, bool]
    ) -> tuple[Query, ...]:
        """Questions in flight see what is now; of many, the order makes no difference."""
        known = self.seeing.get((queries, now))
        if known is None:
            found = [Query(one.asked, with_count(one.seen, now)) for one in queries]
            found.sort(key=lambda one: (one.asked, sorted(one.seen)))
            known = self.seeing[queries, now] = tuple(found)
        return known

    def _settled_calls(self, state: State) -> tuple[Call, ...]:
        """The calls that matter, sorted; of equal reservations each gets its own place."""
        equal = self.ledgers.equal[state.ledger]
        oldest = self.ledgers.credit_from(state.ledger)
        kept = [self._settled_call(call, state.tick, oldest) for call in state.calls]
        kinds = sorted(
            one._replace(place=equal[one.place]) if one.place != NEVER else one
            for one in kept
            if one.phase == "up" or one.since >= 0 or (one.place, one.stored) != (NEVER, NEVER)
        )
        before = [[other.place for other in kinds[:n]] for n in range(len(kinds))]
        return tuple(
            one._replace(place=one.place + taken.count(one.place)) if one.place != NEVER else one
            for one, taken in zip(kinds, before, strict=True)
        )

    def _settled_call(self, call: Call, tick: int, oldest: int) -> Call:
        """A window that has passed, an end too old to earn a credit: no matter when."""
        within = self.scope.launch if call.phase == "granted" else 0
        within = within or self.scope.claim
        passed = call.phase in ("granted", "launched") and call.since + within < tick
        learnt = call.since + self.scope.end_notice
        too_old = call.phase == "down" and (learnt <= oldest or call.place == NEVER)
        may_return = call.stored != NEVER
        return call._replace(since=-FAR) if passed or (too_old and not may_return) else call


def name(call: Call) -> str:
    """The name of its reservation in the ledger state, or one that no reservation has."""
    return str(call.place) if call.place != NEVER else NEW


def with_count(seen: Seen, now: tuple[int, bool]) -> Seen:
    """What was seen and is seen now; what was seen in doubt and again without is not in doubt."""
    return seen if now in seen else (seen | {now}) - {(now[0], True)}


def placed(state: State, step: Step, **changed: Any) -> State:
    """The state after a change, with the ledger state of then and every call at its place there."""
    if step.ledger != state.ledger:
        calls = changed.get("calls", state.calls)
        changed["calls"] = tuple([at(step.places.get(str(one.place), NEVER), one) for one in calls])
        changed["ledger"] = step.ledger
    return state._replace(**changed) if changed else state


def at(place: int, call: Call) -> Call:
    """The call at its place in the ledger."""
    return call if call.place == place else call._replace(place=place)


def with_call(state: State, n: int, call: Call) -> State:
    """The state with one call changed."""
    return state._replace(calls=(*state.calls[:n], call, *state.calls[n + 1 :]))


def in_doubt(seen: Seen) -> Seen:
    """What was seen before foreign use grew."""
    return frozenset((free, True) for free, _ in seen)


def with_foreign_call(state: State, *, foreseen: bool) -> State:
    """Foreign use grew: what was counted before, or granted on it, is in doubt.

    `foreseen`: the ceiling counts on it until the grant; what was granted is in doubt all the same.
    """
    calls = [one._replace(doubtful=one.phase in ("granted", "launched")) for one in state.calls]
    fewer = {
        "foreign": state.foreign + 1,
        "arrivals": state.arrivals - 1,
        "arrived": state.tick if foreseen else NEVER,
    }
    if foreseen:
        return state._replace(calls=tuple(calls), **fewer)
    queries = [Query(one.asked, in_doubt(one.seen)) for one in state.queries]
    return state._replace(
        **fewer,
        calls=tuple(calls),
        queries=tuple(queries),
        seen=tuple(in_doubt(one) for one in state.seen),
        doubtful=True,
    )
