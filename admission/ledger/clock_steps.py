"""Detection of forward steps of a zone's clock, which the store cannot see itself.

Between two script calls no more time passes at the store than passes here between the start of the
first call and the reply to the second. A clock that advanced by more has stepped: reservations look
older than they are, and a snapshot would be thought to show launches that are still under way.
docs/decisions/one-clock.md gives the reasons.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

DRIFT: Final = 2000  # clocks are trusted to one part in this many, as in lua/prelude.lua
SLACK_MS: Final = 100  # a smaller step is within drift and rounding of two clocks


class Observation(NamedTuple):
    """A reply: the time of the zone's clock (ms), and when its call was sent (s, own clock)."""

    now: int
    sent_s: float


class ClockStepDetector:
    """Compares each zone's clock with the clock of this process.

    Example:
        sent_s = detector.read_clock()
        reply = await call(zone)
        if detector.has_stepped(zone, reply["now"], sent_s):
            await recover(zone)
        detector.record(zone, reply["now"], sent_s)

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, Observation] = {}

    def read_clock(self) -> float:
        """The time at which a call is sent, seconds, for `has_stepped` and `record`."""
        return self._clock()

    def has_stepped(self, zone: str, now: int, sent_s: float) -> bool:
        """Whether the zone's clock ran ahead of the own clock since the last recorded reply.

        Args:
            now: zone time in ms, of the reply that has just come.
            sent_s: when its call was sent.
        """
        last = self._last.get(zone)
        if last is None:
            return False
        passed_ms = (self._clock() - last.sent_s) * 1000
        return now - last.now > passed_ms * (1 + 1 / DRIFT) + SLACK_MS

    def describe_step(self, zone: str, now: int) -> dict[str, int]:
        """Return the fields of the operation `stepped`: which step, so that it is handled once.

        Args:
            now: zone time in ms of the reply that stepped.
        """
        last = self._last[zone]
        passed_ms = (self._clock() - last.sent_s) * 1000
        return {"since": last.now, "ahead_ms": max(1, int(now - last.now - passed_ms))}

    def record(self, zone: str, now: int, sent_s: float) -> None:
        """Compare the next reply with this one. Call it after a step was dealt with."""
        self._last[zone] = Observation(now, sent_s)
