"""Zone times by the stopwatch of this process: a lower bound, however long the network takes.

Every answer about a zone contains the zone time as `now`. The zone had that time when the service
wrote the answer, so the zone time is at least `now` plus the time since the answer *arrived*. The
wall clock of this machine is not used.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Stopwatch: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Observation:
    now: int
    arrived_at: float


class ZoneClock:
    """A lower bound of the time of each zone.

    Args: stopwatch: monotonic seconds.

    Example:
        `clock.observe("East", 1000, sent_at=0.0, arrived_at=0.1); clock.now("East")`
    """

    def __init__(self, stopwatch: Stopwatch = time.monotonic) -> None:
        self.stopwatch = stopwatch
        self._newest: dict[str, _Observation] = {}

    def observe(self, zone: str, now: int, *, sent_at: float, arrived_at: float) -> None:
        """Take the zone time from an answer, if the answer is newer than the last one.

        An answer is newer if its request was sent after the last answer had arrived. Of two
        concurrent requests the answer with the later `now` is newer.

        Args:
            now: of the answer, in ms.
            sent_at, arrived_at: of the stopwatch, in seconds.
        """
        last = self._newest.get(zone)
        if last is None or sent_at >= last.arrived_at or now > last.now:
            self._newest[zone] = _Observation(now, arrived_at)

    def now(self, zone: str) -> int | None:
        """Return a lower bound of the zone time in ms; None: no answer of the zone yet."""
        last = self._newest.get(zone)
        if last is None:
            return None
        return last.now + math.floor((self.stopwatch() - last.arrived_at) * 1000)
