"""The alternatives to this service, each as good as it can be, and the oracle."""

import itertools
from collections.abc import Callable
from typing import Final

from admission.domain.outcomes import Outcome
from admission.sim.experience_portal.values import Counts
from benchmarks.race.contestant import Contestant, Sight
from benchmarks.race.scenarios import Scenario

TTL_MS: Final = 3_000  # launch_within_ms + claim_within_ms, the defaults of this service
LEASE_MS: Final = 60_000


class Oracle(Contestant):
    """Knows the state of the platform and all granted calls at any moment: the upper bound."""

    sees_all = True

    def __init__(self, _scenario: Scenario, sight: Sight) -> None:
        self._sight = sight
        self._names = map(str, itertools.count())

    def ask(self, dialer: int) -> str | None:
        return next(self._names) if self._sight.truly_free() > 0 else None


class CachedSnapshot(Contestant):
    """Every dialer launches as many calls as the newest snapshot had free ports."""

    own_views = True

    def __init__(self, _scenario: Scenario, _sight: Sight) -> None:
        self._names = map(str, itertools.count())
        self._unused = 0
        self._launched: dict[int, int] = {}

    def receive_snapshot(self, asked_at: int, counts: Counts) -> None:
        self._unused, self._launched = counts.unused_sip, {}

    def ask(self, dialer: int) -> str | None:
        launched = self._launched.get(dialer, 0)
        if launched >= self._unused:
            return None
        self._launched[dialer] = launched + 1
        return next(self._names)


class QueryEach(Contestant):
    """Every dialer calls QueryResources before every launch, and has the answer at once."""

    own_views = True

    def __init__(self, _scenario: Scenario, sight: Sight) -> None:
        self._sight = sight
        self._names = map(str, itertools.count())

    def ask(self, dialer: int) -> str | None:
        return next(self._names) if self._sight.query().unused_sip > 0 else None


class Semaphore(Contestant):
    """A shared counter limited by the number of ports; a lost end report leaks a port."""

    def __init__(self, scenario: Scenario, _sight: Sight) -> None:
        self._limit = scenario.ports
        self._names = map(str, itertools.count())
        self._held: set[str] = set()

    def ask(self, dialer: int) -> str | None:
        if len(self._held) >= self._limit:
            return None
        name = next(self._names)
        self._held.add(name)
        return name

    def ended(self, call: str, outcome: Outcome, learnt_at: int) -> None:
        self._held.discard(call)


class LeasedSemaphore(Contestant):
    """A semaphore whose slots expire after a minute without renewal."""

    renews = True

    def __init__(self, scenario: Scenario, sight: Sight) -> None:
        self._limit = scenario.ports
        self._sight = sight
        self._names = map(str, itertools.count())
        self._until: dict[str, int] = {}

    def ask(self, dialer: int) -> str | None:
        now = self._sight.now
        self._until = {call: until for call, until in self._until.items() if until > now}
        if len(self._until) >= self._limit:
            return None
        name = next(self._names)
        self._until[name] = now + LEASE_MS
        return name

    def renew(self, call: str) -> None:
        self._until[call] = self._sight.now + LEASE_MS

    def ended(self, call: str, outcome: Outcome, learnt_at: int) -> None:
        self._until.pop(call, None)


class SnapshotMinusTtl(Contestant):
    """The usual workaround: unused ports of the newest snapshot less the recent grants."""

    def __init__(self, _scenario: Scenario, sight: Sight) -> None:
        self._sight = sight
        self._names = map(str, itertools.count())
        self._unused = 0
        self._granted: dict[str, int] = {}

    def receive_snapshot(self, asked_at: int, counts: Counts) -> None:
        self._unused = counts.unused_sip

    def ask(self, dialer: int) -> str | None:
        now = self._sight.now
        self._granted = {call: at for call, at in self._granted.items() if at > now - TTL_MS}
        if self._unused - len(self._granted) <= 0:
            return None
        name = next(self._names)
        self._granted[name] = now
        return name

    def ended(self, call: str, outcome: Outcome, learnt_at: int) -> None:
        self._granted.pop(call, None)


Maker = Callable[[Scenario, Sight], Contestant]

ORACLE: Final = "oracle"
ALTERNATIVES: Final[dict[str, Maker]] = {
    ORACLE: Oracle,
    "cached snapshot": CachedSnapshot,
    "QueryResources by each": QueryEach,
    "semaphore": Semaphore,
    "semaphore with lease": LeasedSemaphore,
    "snapshot - TTL": SnapshotMinusTtl,
}
