"""Everybody else's calls at the simulated call centre: they take licences and agents unasked."""

from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeAlias

from admission.sim.huawei.counters import Counters
from admission.sim.huawei.values import CenterSettings, OtherCalls

After: TypeAlias = Callable[[int, Callable[[Any], None], Any], None]

STREAMS_MAX: Final = 100


class Others:
    """Poisson streams of calls, and calls one by one.

    Args:
        settings: what each kind of call takes.
        counters: where they take it.
        after: schedules a step so many ms from now.
        clock: the simulated ms.
        random: for arrivals and holding times.
    """

    def __init__(
        self,
        settings: CenterSettings,
        counters: Counters,
        *,
        after: After,
        clock: Callable[[], int],
        random: Random,
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._after = after
        self._clock = clock
        self._random = random
        self._streams: dict[str, OtherCalls] = {}

    def set(self, others: OtherCalls) -> None:
        """Start a stream, or replace the one of that name.

        Errors: KeyError for a channel without licences, ValueError for too many streams.
        """
        for unit in self._settings.units(others.channel):
            _ = self._counters.capacity[unit]
        if others.name not in self._streams and len(self._streams) >= STREAMS_MAX:
            raise ValueError("too many streams")
        self._streams[others.name] = others
        self._await(others)

    def occupy(self, units: tuple[str, ...], hold_ms: int) -> bool:
        """One call takes these now, if all are free, for so long."""
        taken = self._counters.take(units, self._clock())
        if taken:
            self._after(hold_ms, self._leave, units)
        return taken

    def _await(self, others: OtherCalls) -> None:
        if others.rate_per_s:
            gap_ms = self._random.expovariate(others.rate_per_s) * 1000
            self._after(max(1, round(gap_ms)), self._arrive, others)

    def _arrive(self, others: OtherCalls) -> None:
        if self._streams[others.name] is not others:
            return  # replaced meanwhile: the new one has its own arrivals
        units = self._settings.units(others.channel)
        if others.agents and (idle := self._counters.idle_agents()):
            units += (self._random.choice(idle),)
        self.occupy(units, others.hold.draw(self._random))
        self._await(others)

    def _leave(self, units: tuple[str, ...]) -> None:
        self._counters.give(units, self._clock())
