"""An event loop in virtual time: a heap of events in ms, interleaved with the platform's events."""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from admission.sim.experience_portal.platform import Portal


class Loop:
    """Runs events in order of time; within one ms in random order.

    Args:
        portal: the platform, whose events are interleaved.
        random: for the order within a ms.
    """

    def __init__(self, portal: Portal, random: Random) -> None:
        self.now = 0
        self._portal = portal
        self._random = random.random
        self._heap: list[tuple[int, float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0

    def after(self, delay_ms: int, what: Callable[..., None], *args: Any) -> None:
        """Schedule a call `delay_ms` from now."""
        self._order += 1
        entry = (self.now + delay_ms, self._random(), self._order, what, args)
        heappush(self._heap, entry)

    def run(self, until: int) -> None:
        """Process all events up to `until`."""
        self._add_sentinel(until)
        heap, portal = self._heap, self._portal
        while True:
            when, platform_at = heap[0][0], portal.next_at
            if platform_at is not None and (
                platform_at < when or (platform_at == when and self._random() < 0.5)
            ):
                if platform_at > until:
                    break
                self.now = platform_at
                portal.advance(platform_at)
                continue
            if when > until:
                break
            _, _, _, what, args = heappop(heap)
            self.now = when
            what(*args)
        self.now = until

    def platform(self) -> Portal:
        """Return the platform, advanced to the present."""
        self._portal.advance(self.now)
        return self._portal

    def _add_sentinel(self, until: int) -> None:
        heappush(self._heap, (until + 1, 0.0, 0, lambda: None, ()))
