"""Warnings of what a client may cause at any rate: one line in an interval, with the number."""

import logging
import time
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 10.0


class RareLog:
    """Logs the first of many equal warnings, and how many came since the last line.

    Args:
        log: the logger.
        interval_s: between two lines, in seconds.
        clock: monotonic time in seconds.

    Example: `RareLog(log).warning("refused: %s", reason)`.
    """

    def __init__(
        self,
        log: logging.Logger,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._interval_s = interval_s
        self._clock = clock
        self._next_at = float("-inf")
        self._left_out = 0

    def warning(self, message: str, *values: object) -> None:
        """Log the warning, or count it until the next line."""
        now = self._clock()
        if now < self._next_at:
            self._left_out += 1
            return
        more = f" ({self._left_out} more since the last line)" if self._left_out else ""
        self._next_at, self._left_out = now + self._interval_s, 0
        self._log.warning("%s%s", message % values, more)
