"""Foreign calls at the simulated call centre: licences and agents without an admission."""

from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeAlias

from admission.sim.huawei.counters import Counters
from admission.sim.huawei.values import CenterSettings, ForeignStream

After: TypeAlias = Callable[[int, Callable[[Any], None], Any], None]

STREAMS_MAX: Final = 100


class ForeignCalls:
    """Poisson streams of calls, and single calls.

    Args:
        settings: the units that a call of each channel takes.
        counters: the units.
        after: schedules a step some ms from now.
        clock: returns the simulated ms.
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
        self._streams: dict[str, ForeignStream] = {}

    def set(self, others: ForeignStream) -> None:
        """Start a stream, or replace the one of that name.

        Raises:
            KeyError: the channel has no licences.
            ValueError: there are too many streams.
        """
        for unit in self._settings.units(others.channel):
            _ = self._counters.capacity[unit]
        if others.name not in self._streams and len(self._streams) >= STREAMS_MAX:
            raise ValueError("too many streams")
        self._streams[others.name] = others
        self._schedule_arrival(others)

    def occupy(self, units: tuple[str, ...], hold_ms: int) -> bool:
        """Begin one call of `hold_ms` if all its units are free. Returns whether they were."""
        taken = self._counters.take(units, self._clock())
        if taken:
            self._after(hold_ms, self._leave, units)
        return taken

    def _schedule_arrival(self, others: ForeignStream) -> None:
        if others.rate_per_s:
            gap_ms = self._random.expovariate(others.rate_per_s) * 1000
            self._after(max(1, round(gap_ms)), self._arrive, others)

    def _arrive(self, others: ForeignStream) -> None:
        if self._streams[others.name] is not others:
            return  # replaced meanwhile; the new stream schedules its own arrivals
        units = self._settings.units(others.channel)
        if others.agents and (idle := self._counters.idle_agents()):
            units += (self._random.choice(idle),)
        self.occupy(units, others.hold.draw(self._random))
        self._schedule_arrival(others)

    def _leave(self, units: tuple[str, ...]) -> None:
        self._counters.give(units, self._clock())
