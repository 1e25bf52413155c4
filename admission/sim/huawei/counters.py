"""Licences and agents of the simulated call centre, with a short history of their use."""

from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Final

AGENT: Final = "agent:"


class Counters:
    """Units that calls hold; a call takes all the units that it needs, or none.

    Args:
        capacity: unit (`voice`, `agent:1001`) -> calls that may hold it at once.
        lag_ms: greatest age of the answer of `used`.

    Attributes:
        capacity, free: the true state.
    """

    def __init__(self, capacity: Mapping[str, int], *, lag_ms: int) -> None:
        self.capacity = dict(capacity)
        self.free = dict(capacity)
        self._lag_ms = lag_ms
        self._history: deque[tuple[int, dict[str, int], dict[str, int]]] = deque()
        self._record(0)

    def take(self, units: tuple[str, ...], now: int) -> bool:
        """Take units for a call if all are free. Returns whether they were."""
        if any(self.free[unit] <= 0 for unit in units):
            return False
        self._shift(units, -1, now)
        return True

    def give(self, units: tuple[str, ...], now: int) -> None:
        """Release the units of a call."""
        self._shift(units, 1, now)

    def set_capacity(self, unit: str, calls: int, now: int) -> None:
        """Change the number of calls that may hold a unit.

        Raises:
            KeyError: the unit is unknown.
        """
        self.free[unit] += calls - self.capacity[unit]
        self.capacity = self.capacity | {unit: calls}
        self._record(now)

    def used(self, now: int, random: Random) -> dict[str, int]:
        """Return unit -> calls that held it at a random moment of the last `lag_ms`."""
        then = now - int(random.random() * (self._lag_ms + 1))
        candidates = (one for one in reversed(self._history) if one[0] <= then)
        _, capacity, free = next(candidates, self._history[0])
        return {unit: total - free[unit] for unit, total in capacity.items()}

    def idle_agents(self) -> list[str]:
        """Return the units of the agents without a call."""
        return [unit for unit, n in self.free.items() if n > 0 and unit.startswith(AGENT)]

    def _shift(self, units: tuple[str, ...], by: int, now: int) -> None:
        for unit in units:
            self.free[unit] += by
        self._record(now)

    def _record(self, now: int) -> None:
        """Keep the counts of the last `lag_ms`, and the newest older ones."""
        history = self._history
        if history and history[-1][0] == now:
            history.pop()
        history.append((now, self.capacity, dict(self.free)))
        while len(history) > 1 and history[1][0] <= now - self._lag_ms:
            history.popleft()
