"""Foreign calls on the simulated platform: inbound, other dialers, sudden waves."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final, TypeAlias

from admission.sim.experience_portal.truth import Truth
from admission.sim.experience_portal.values import ForeignUse
from admission.sim.experience_portal.zone import Call, Zone
from admission.sim.values import CallTiming, Delay

After: TypeAlias = Callable[[int, Callable[[Any], None], Any], None]
Clock: TypeAlias = Callable[[], int]

STREAMS_MAX: Final = 1_000
NAME_MAX: Final = 64


class ForeignCalls:
    """Poisson streams of calls that take ports without an admission.

    Args:
        after: schedules a step so many ms from now.
        clock: returns the simulated ms.
        random: for arrivals and holding times.
        truth: counts the arrivals.
    """

    def __init__(self, *, after: After, clock: Clock, random: Random, truth: Truth) -> None:
        self._after = after
        self._clock = clock
        self._random = random
        self._truth = truth
        self._streams: dict[tuple[str, str], tuple[Zone, ForeignUse]] = {}

    def set(self, zone: Zone, use: ForeignUse) -> None:
        """Start a stream, or replace the one of that zone and name.

        Raises:
            ValueError: there are `STREAMS_MAX` others already, or the name is too long.
        """
        new = (zone.name, use.name) not in self._streams
        if (new and len(self._streams) >= STREAMS_MAX) or len(use.name) > NAME_MAX:
            raise ValueError("too many streams, or too long a name")
        stream = (zone, use)
        self._streams[zone.name, use.name] = stream
        self._schedule_arrival(stream)

    def get(self, zone: Zone, name: str) -> ForeignUse:
        """Return the stream's present parameters; for an unknown stream, those without calls."""
        stream = self._streams.get((zone.name, name))
        return stream[1] if stream else ForeignUse(name=name)

    def occupy(self, zone: Zone, calls: int, *, hold: Delay, name: str) -> int:
        """Begin calls at once. Returns the number of those that found a port."""
        use = replace(self.get(zone, name), hold=hold)
        return sum(self._take(zone, use) for _ in range(calls))

    def _schedule_arrival(self, stream: tuple[Zone, ForeignUse]) -> None:
        if peak := stream[1].peak_per_s():
            gap_ms = self._random.expovariate(peak) * 1000
            self._after(max(1, round(gap_ms)), self._arrive, stream)

    def _arrive(self, stream: tuple[Zone, ForeignUse]) -> None:
        zone, use = stream
        if self._streams[zone.name, use.name] is not stream:
            return  # replaced meanwhile; the new stream schedules its own arrivals
        # Thinning (Lewis and Shedler, 1979): candidates arrive at the peak rate, and some are
        # accepted.
        if self._random.random() * use.peak_per_s() < use.rate_at(self._clock()):
            self._take(zone, use)
        self._schedule_arrival(stream)

    def _take(self, zone: Zone, use: ForeignUse) -> bool:
        call = Call(
            session="", zone=zone, channels=use.channels, timing=CallTiming(), foreign=use.name
        )
        found = zone.claim(call, zone.hunt(), self._clock()) > 0
        self._truth.count_arrival(use.name, found)
        if found:
            self._after(use.hold.draw(self._random), self._leave, call)
        return found

    def _leave(self, call: Call) -> None:
        call.zone.release(call, self._clock())
