"""Every order of events of a tiny zone, ledger and true platform together.

Inside a tick everything that may happen may happen in any order; then the tick ends. What may
happen: a dialer asks; a granted call takes its port at any moment of its window, or never; it
ends; each report of it comes at once, late, or never; the platform is photographed at any moment
from `lag` before the question until the ingest; the photograph is ingested late, after a newer
one, or never; somebody else takes or frees a port; the ledger loses its memory.

Two orders that lead to the same state are followed once from there. A photograph is not an event
of its own: a question in flight collects every count that it may have seen, and its ingest tries
each of them.

Foreign use may grow at any time, but the promise holds only while it does not grow between a
photograph and the claims that rely on it (docs/concepts.md): a call that would take
its port after such growth leads out of the assumptions and is not followed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.ledger.small_scope import FAR, NEVER, NEW, Ledgers, Scope, Step
from tests.oracle import Rules

# Free ports that may have been photographed: (free, whether foreign use grew since).
Seen = frozenset[tuple[int, bool]]
NOTHING: Seen = frozenset()


class Call(NamedTuple):
    """A call that can still make a difference, and its place in the ledger (`NEVER`: none).

    `granted`, `launched` (since a tick), `up` (it has a port), `down` (since a tick, and nobody
    was told). Where a launch takes no time, `granted` is both.
    `doubtful`: foreign use grew since the photograph that its grant relied on. `stored`: its
    place in the backup.
    """

    place: int
    phase: str
    since: int
    doubtful: bool
    stored: int


class Query(NamedTuple):
    """A question to the platform under way: tick of the question, what it may have seen."""

    asked: int
    seen: Seen


class World(NamedTuple):
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


Event = tuple[str, World]


class OverLaunchError(AssertionError):
    """A granted call found no free port. The message is the way there."""


@dataclass(slots=True)
class Explorer:
    """Follows every order of one scope under some rules."""

    scope: Scope
    rules: Rules = field(default_factory=Rules)
    orders: dict[World, int] = field(default_factory=dict)
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
        first = World(
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

    def _follow(self, world: World) -> int:
        known = self.orders.get(world)
        if known is not None:
            return known
        found = 0
        for event, after in self._events(world):
            self.way.append(event)
            found += self._follow(self._settle(after))
            self.way.pop()
        self.orders[world] = max(1, found)
        return self.orders[world]

    def _events(self, world: World) -> Iterator[Event]:
        if world.asks:
            yield from self._ask(world)
        for n, call in enumerate(world.calls):
            if call.phase == "granted" and self.scope.launch:
                yield from self._launch(world, n, call)
            elif call.phase in ("granted", "launched"):
                yield from self._claim(world, n, call)
            else:
                yield from self._life(world, n, call)
        yield from self._questions(world)
        yield from self._ingests(world)
        yield from self._others(world)
        if world.losses:
            yield self._loss(world)
        if world.tick < self.scope.ticks:
            yield self._tick(world)

    def _ask(self, world: World) -> Iterator[Event]:
        step = self._step(world, "ask")
        if step.yes:
            after = placed(world, step, asks=world.asks - 1)
            call = Call(step.places[NEW], "granted", world.tick, world.doubtful, NEVER)
            yield "grant", after._replace(calls=(*after.calls, call))

    def _launch(self, world: World, n: int, call: Call) -> Iterator[Event]:
        if world.tick <= call.since + self.scope.launch:
            launched = call._replace(phase="launched", since=world.tick)
            yield f"launch of call {n}", with_call(world, n, launched)
        yield self._end(world, n, call, "not_launched", world.tick)

    def _claim(self, world: World, n: int, call: Call) -> Iterator[Event]:
        if world.tick <= call.since + self._claim_within(world, call) and not call.doubtful:
            self.claims += 1
            if not self._free(world):
                raise OverLaunchError(" | ".join([*self.way, f"no port for call {n}"]))
            yield f"port for call {n}", with_call(world, n, call._replace(phase="up", since=0))
        yield self._end(world, n, call, "failed", world.tick)
        if self.scope.early_launched or call.phase == "launched":
            yield from self._told(world, n, call, "launched", False)

    def _claim_within(self, world: World, call: Call) -> int:
        is_of_shorter = self.scope.shortened and not world.losses and call.place != NEVER
        return 0 if is_of_shorter else self.scope.claim

    def _life(self, world: World, n: int, call: Call) -> Iterator[Event]:
        if call.phase == "up":
            ended = call._replace(phase="down", since=world.tick)
            yield f"end of call {n}", with_call(world, n, ended)
        else:
            learnt = min(world.tick, call.since + self.scope.end_notice)
            yield self._end(world, n, call, "completed", learnt)
        yield from self._told(world, n, call, "launched", True)
        if self.scope.adopts and call.phase == "up":
            yield from self._told(world, n, call, "still_up")

    def _told(self, world: World, n: int, call: Call, verb: str, *told: Any) -> Iterator[Event]:
        """A report, if it changes anything."""
        step = self._step(world, verb, name(call), *told)
        if step.ledger != world.ledger:
            after = placed(world, step)
            moved = after.calls[n]._replace(place=step.places.get(name(call), NEVER))
            yield f"told: call {n} {verb} {told}", with_call(after, n, moved)

    def _end(self, world: World, n: int, call: Call, outcome: str, learnt: int) -> Event:
        step = self._step(world, "end", name(call), outcome, learnt)
        rest = world.calls[:n] + world.calls[n + 1 :]
        return f"told: call {n} {outcome}", placed(world, step, calls=rest)

    def _questions(self, world: World) -> Iterator[Event]:
        if world.questions:
            query = Query(world.tick, NOTHING.union(*world.seen))
            queries = (*world.queries, query)
            yield "question", world._replace(questions=world.questions - 1, queries=queries)

    def _ingests(self, world: World) -> Iterator[Event]:
        for n, query in enumerate(world.queries):
            rest = world.queries[:n] + world.queries[n + 1 :]
            for unused, doubtful in query.seen:
                step = self._step(world, "ingest", "", query.asked, self.scope.ports, unused)
                taken = step.ledger != world.ledger
                doubt = doubtful if taken else world.doubtful
                after = placed(world, step, queries=rest, doubtful=doubt)
                yield f"ingest: {unused} unused, asked at {query.asked}", after

    def _others(self, world: World) -> Iterator[Event]:
        if world.foreign:
            yield "foreign end", world._replace(foreign=world.foreign - 1)
        in_time = not self.scope.growth or world.arrived < world.tick
        if world.arrivals and in_time and self._free(world):
            yield "foreign start", with_foreign_call(world, foreseen=self.scope.growth)

    def _loss(self, world: World) -> Event:
        if self.scope.backup and world.backup == NEVER:
            calls = tuple(one._replace(stored=one.place) for one in world.calls)
            return "backup", world._replace(backup=world.ledger, calls=calls)
        step = self.ledgers.lost(world.tick, world.backup)
        calls = tuple(one._replace(place=one.stored, stored=NEVER) for one in world.calls)
        fresh = {"losses": 0, "backup": NEVER, "doubtful": False}
        return "loss", placed(world, step, calls=calls, **fresh)

    def _tick(self, world: World) -> Event:
        tick = world.tick + 1
        step = self.ledgers.step(world.ledger, tick, "time")
        return f"-- {tick}", placed(world, step, tick=tick, seen=(*world.seen[1:], NOTHING))

    def _step(self, world: World, verb: str, *told: Any) -> Step:
        return self.ledgers.step(world.ledger, world.tick, verb, *told)

    def _free(self, world: World) -> int:
        """Ports that are truly free."""
        free = self.scope.ports - world.foreign
        for call in world.calls:
            free -= call.phase == "up"
        return free

    def _settle(self, world: World) -> World:
        """The same moment without what can make no difference any more."""
        now = (self._free(world), False)
        seen = (*world.seen[:-1], with_count(world.seen[-1], now)) if world.questions else ()
        queries = self._settled_queries(world.queries, now) if world.queries else ()
        key = (world.calls, world.ledger, world.tick)
        calls = self.settled.get(key)
        if calls is None:
            calls = self.settled[key] = self._settled_calls(world)
        if calls == world.calls and seen == world.seen and queries == world.queries:
            return world
        return world._replace(calls=calls, seen=seen, queries=queries)

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

    def _settled_calls(self, world: World) -> tuple[Call, ...]:
        """The calls that matter, sorted; of reservations that are alike each gets its own place."""
        alike = self.ledgers.alike[world.ledger]
        oldest = self.ledgers.credit_from(world.ledger)
        kept = [self._settled_call(call, world.tick, oldest) for call in world.calls]
        kinds = sorted(
            one._replace(place=alike[one.place]) if one.place != NEVER else one
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


def placed(world: World, step: Step, **changed: Any) -> World:
    """The world after a change, with the ledger state of then and every call at its place there."""
    if step.ledger != world.ledger:
        calls = changed.get("calls", world.calls)
        changed["calls"] = tuple([at(step.places.get(str(one.place), NEVER), one) for one in calls])
        changed["ledger"] = step.ledger
    return world._replace(**changed) if changed else world


def at(place: int, call: Call) -> Call:
    """The call at its place in the ledger."""
    return call if call.place == place else call._replace(place=place)


def with_call(world: World, n: int, call: Call) -> World:
    """The world with one call changed."""
    return world._replace(calls=(*world.calls[:n], call, *world.calls[n + 1 :]))


def in_doubt(seen: Seen) -> Seen:
    """What was seen before foreign use grew."""
    return frozenset((free, True) for free, _ in seen)


def with_foreign_call(world: World, *, foreseen: bool) -> World:
    """Foreign use grew: what was photographed before, or granted on it, is in doubt.

    `foreseen`: the ceiling counts on it until the grant; what was granted is in doubt all the same.
    """
    calls = [one._replace(doubtful=one.phase in ("granted", "launched")) for one in world.calls]
    fewer = {
        "foreign": world.foreign + 1,
        "arrivals": world.arrivals - 1,
        "arrived": world.tick if foreseen else NEVER,
    }
    if foreseen:
        return world._replace(calls=tuple(calls), **fewer)
    queries = [Query(one.asked, in_doubt(one.seen)) for one in world.queries]
    return world._replace(
        **fewer,
        calls=tuple(calls),
        queries=tuple(queries),
        seen=tuple(in_doubt(one) for one in world.seen),
        doubtful=True,
    )
