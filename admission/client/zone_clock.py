"""The zones' time by our own stopwatch: a lower bound that no network delay can spoil.

Every answer about a zone carries the zone's time as `now`. It was that time when the answer was
written, so it is at least `now` plus what our stopwatch has counted since the answer *arrived*.
The wall clock of this machine is never looked at.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Stopwatch: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Heard:
    now: int
    arrived_at: float


class ZoneClock:
    """What each zone's time is at least.

    Args: stopwatch: monotonic seconds, from whenever.
    """

    def __init__(self, stopwatch: Stopwatch = time.monotonic) -> None:
        self.stopwatch = stopwatch
        self._heard: dict[str, _Heard] = {}

    def heard(self, zone: str, now: int, *, sent_at: float, arrived_at: float) -> None:
        """An answer of this zone came.

        The newest counts. One whose request was sent after the last answer had arrived is newer
        for sure; of two that were on their way at once, the one with the later `now` is.

        Args:
            now: of the answer, in ms.
            sent_at, arrived_at: of the stopwatch.
        """
        last = self._heard.get(zone)
        if last is None or sent_at >= last.arrived_at or now > last.now:
            self._heard[zone] = _Heard(now, arrived_at)

    def now(self, zone: str) -> int | None:
        """The zone's time in ms is at least this; None: nothing was heard of the zone yet."""
        last = self._heard.get(zone)
        if last is None:
            return None
        return last.now + math.floor((self.stopwatch() - last.arrived_at) * 1000)
