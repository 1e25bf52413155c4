"""The request rate of each caller of the API; launch rates of the platform are rules of the ledger.

Each process counts in its own memory, so that counting delays no request. A caller that uses
several workers or replicas gets the rate from each of them.
"""

import time
from collections.abc import Callable
from typing import Final

from admission.errors import TooFast

CALLERS_MAX: Final = 10_000


class RequestRate:
    """A rate for each caller (GCRA, ITU-T I.371), with a burst of one second's requests.

    Args:
        per_s: requests a second; 0: no limit.
        clock: monotonic time in ns.

    Example: `RequestRate(100).take("token dialer-1")`.
    """

    def __init__(self, per_s: float = 0, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._interval_ns = round(1e9 / per_s) if per_s else 0
        self._burst_ns = (max(1, round(per_s)) - 1) * self._interval_ns
        # Theoretical arrival time (TAT) of each caller's next request.
        self._arrival_ns: dict[str, int] = {}

    @property
    def is_limited(self) -> bool:
        """Is a limit configured?"""
        return self._interval_ns > 0

    def take(self, caller: str) -> None:
        """Count one request; raises `TooFast`, and counts nothing, if it exceeds the rate."""
        if not self.is_limited:
            return
        now = self._clock()
        arrival = max(self._arrival_ns.get(caller, 0), now)
        too_early_ns = arrival - now - self._burst_ns
        if too_early_ns > 0:
            wait_s = too_early_ns / 1e9
            raise TooFast("The request rate of this caller is exceeded.", retry_after_s=wait_s)
        if len(self._arrival_ns) >= CALLERS_MAX and caller not in self._arrival_ns:
            self._evict(now)
        self._arrival_ns[caller] = arrival + self._interval_ns

    def charge(self, caller: str, units: int) -> None:
        """Count further requests without a refusal: they delay the caller's next ones."""
        if self.is_limited and caller in self._arrival_ns:
            self._arrival_ns[caller] += units * self._interval_ns

    def _evict(self, now: int) -> None:
        """Drop callers within their rate; if none is, the half that was seen first."""
        kept = [(name, arrival) for name, arrival in self._arrival_ns.items() if arrival > now]
        self._arrival_ns = dict(kept[-(CALLERS_MAX // 2) :])
