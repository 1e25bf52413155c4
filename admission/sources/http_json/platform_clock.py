"""The platform's clock, as its answers show it: an upper bound, so that no count seems too young.

`Date` has whole seconds: the clock was below `Date` + 1 s when it was written, and since then it
ran as long as ours did since the request was sent, at most. Of several answers the lowest bound
holds for all of them; after some polls it is close to the truth. Only answers of the last two
minutes count, since clocks drift and are set.
"""

import time
from collections import deque
from email.utils import parsedate_to_datetime
from typing import Final

ANSWERS_MAX: Final = 64
ANSWER_AGE_S_MAX: Final = 120.0


class PlatformClock:
    """The clock of one platform.

    Example:
        now_ms = PlatformClock().read_ms("Sun, 29 Nov 2026 12:00:00 GMT", sent_s, received_s)
    """

    def __init__(self) -> None:
        # When a request was sent (monotonic, s), and the bound of Unix time minus monotonic time.
        self._bounds: deque[tuple[float, float]] = deque(maxlen=ANSWERS_MAX)

    def read_ms(self, date: str, sent_s: float, received_s: float) -> float:
        """Unix time of the platform when a request was sent, in ms; at most a second too late.

        Args:
            date: the `Date` of the answer; without one this machine's clock counts.
            sent_s, received_s: when the request was sent and the answer read, by `time.monotonic`.
        """
        stated_s = _parse(date)
        if stated_s is None:
            return 1000 * (time.time() - (time.monotonic() - sent_s))
        bound = stated_s + 1.0 - sent_s
        if self._bounds and bound > self._lowest() + 1.0 + (received_s - sent_s):
            self._bounds.clear()  # the platform's clock was set forward
        self._bounds.append((sent_s, bound))
        while self._bounds[0][0] < sent_s - ANSWER_AGE_S_MAX:
            self._bounds.popleft()
        return 1000 * (self._lowest() + sent_s)

    def _lowest(self) -> float:
        return min(bound for _, bound in self._bounds)


def _parse(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
