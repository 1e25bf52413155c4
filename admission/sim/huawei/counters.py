"""Licences and agents of the simulated call centre: how many calls have them, now and lately."""

from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Final

AGENT: Final = "agent:"


class Counters:
    """Units that calls take, all that one needs or none.

    Args:
        capacity: unit (`voice`, `agent:1001`) -> how many calls can have it at once.
        lag_ms: how far back `used` may look.

    Attributes:
        capacity, free: the true state.
    """

    def __init__(self, capacity: Mapping[str, int], *, lag_ms: int) -> None:
        self.capacity = dict(capacity)
        self.free = dict(capacity)
        self._lag_ms = lag_ms
        self._history: deque[tuple[int, dict[str, int], dict[str, int]]] = deque()
        self._remember(0)

    def take(self, units: tuple[str, ...], now: int) -> bool:
        """A call takes these, if all of them are free."""
        if any(self.free[unit] <= 0 for unit in units):
            return False
        self._shift(units, -1, now)
        return True

    def give(self, units: tuple[str, ...], now: int) -> None:
        """A call gives these back."""
        self._shift(units, 1, now)

    def limit(self, unit: str, calls: int, now: int) -> None:
        """Another number of calls can have it from now on.

        Errors: KeyError for a unit that there is not.
        """
        self.free[unit] += calls - self.capacity[unit]
        self.capacity = self.capacity | {unit: calls}
        self._remember(now)

    def used(self, now: int, random: Random) -> dict[str, int]:
        """Unit -> calls that had it at a random moment of the last `lag_ms`."""
        then = now - int(random.random() * (self._lag_ms + 1))
        lately = (one for one in reversed(self._history) if one[0] <= then)
        _, capacity, free = next(lately, self._history[0])
        return {unit: total - free[unit] for unit, total in capacity.items()}

    def idle_agents(self) -> list[str]:
        """The agents who have no call."""
        return [unit for unit, n in self.free.items() if n > 0 and unit.startswith(AGENT)]

    def _shift(self, units: tuple[str, ...], by: int, now: int) -> None:
        for unit in units:
            self.free[unit] += by
        self._remember(now)

    def _remember(self, now: int) -> None:
        """Keep the counts of the last `lag_ms`, and the newest that are older than that."""
        history = self._history
        if history and history[-1][0] == now:
            history.pop()
        history.append((now, self.capacity, dict(self.free)))
        while len(history) > 1 and history[1][0] <= now - self._lag_ms:
            history.popleft()
