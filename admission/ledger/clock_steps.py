"""Steps ahead of a zone's clock, which the store cannot see itself (docs/decisions/one-clock.md).

Between two calls of the script no more time passes at the store than here between sending the first
and hearing the answer to the second. A clock that says more has stepped: reservations look older
than they are, and a photograph would be thought to show launches that are still under way.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

DRIFT: Final = 2000  # clocks are trusted to one part in this many, as in lua/prelude.lua
SLACK_MS: Final = 100  # smaller steps are not told from the pace of two clocks


class Seen(NamedTuple):
    """An answer: what the zone's clock said (ms), and when its call was sent (s, by our own)."""

    now: int
    sent: float


class ClockStepDetector:
    """Compares each zone's clock with the one of this process.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, Seen] = {}

    def sending(self) -> float:
        """To be called before a call is sent; `stepped` wants what this returns."""
        return self._clock()

    def stepped(self, zone: str, now: int, sent: float) -> bool:
        """Whether the zone's clock ran ahead of ours since the last answer that was `noted`.

        Args:
            now: zone time in ms, of the answer that has just come.
            sent: when its call was sent.
        """
        last = self._seen.get(zone)
        if last is None:
            return False
        passed_ms = (self._clock() - last.sent) * 1000
        return now - last.now > passed_ms * (1 + 1 / DRIFT) + SLACK_MS

    def note(self, zone: str, now: int, sent: float) -> None:
        """The next answer is compared with this one. Not before a step was dealt with."""
        self._seen[zone] = Seen(now, sent)
