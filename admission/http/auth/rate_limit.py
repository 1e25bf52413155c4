"""How fast one caller may ask: its own limit, never the platform's.

Each process counts by itself, in memory: nobody's request waits for the counting. With several
workers or replicas a caller that uses all of them gets as many times the rate.
"""

import time
from collections.abc import Callable
from typing import Final

from admission.errors import TooFast

KEYS_MAX: Final = 10_000


class RequestRate:
    """A rate for each caller (GCRA): one second's worth may come at once.

    Args:
        per_s: requests a second; 0: no limit.
        clock: ns, monotonic.
    """

    def __init__(self, per_s: float = 0, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._interval_ns = round(1e9 / per_s) if per_s else 0
        self._burst_ns = (max(1, round(per_s)) - 1) * self._interval_ns
        self._due_ns: dict[str, int] = {}  # when the caller will have used up what it took

    @property
    def is_limited(self) -> bool:
        """Is there a limit at all?"""
        return self._interval_ns > 0

    def take(self, caller: str) -> None:
        """Count one request; raises `TooFast` when it is one too many, which costs nothing."""
        if not self.is_limited:
            return
        now = self._clock()
        due = max(self._due_ns.get(caller, 0), now)
        too_early_ns = due - now - self._burst_ns
        if too_early_ns > 0:
            wait_s = too_early_ns / 1e9
            raise TooFast("You ask too fast; this is your own limit.", retry_after_s=wait_s)
        if len(self._due_ns) >= KEYS_MAX and caller not in self._due_ns:
            self._forget(now)
        self._due_ns[caller] = due + self._interval_ns

    def _forget(self, now: int) -> None:
        """Who has nothing to wait for needs no memory; if all have, those who came first go."""
        kept = [(name, due) for name, due in self._due_ns.items() if due > now]
        self._due_ns = dict(kept[-(KEYS_MAX // 2) :])
