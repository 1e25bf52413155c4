"""Virtual time: one heap of events in ms, and the platform's own events between them."""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from admission.sim.experience_portal.platform import Portal


class Loop:
    """Runs what is due in the order of time; in one ms in a random order.

    Args:
        portal: the platform, whose events are due too.
        random: for the order within a ms.
    """

    def __init__(self, portal: Portal, random: Random) -> None:
        self.now = 0
        self._portal = portal
        self._random = random.random
        self._heap: list[tuple[int, float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0

    def after(self, delay_ms: int, what: Callable[..., None], *args: Any) -> None:
        """Do something so many ms from now."""
        self._order += 1
        entry = (self.now + delay_ms, self._random(), self._order, what, args)
        heappush(self._heap, entry)

    def run(self, until: int) -> None:
        """Let everything happen that is due until then."""
        self._heap_is_never_empty(until)
        heap, portal = self._heap, self._portal
        while True:
            when, due = heap[0][0], portal.next_at
            if due is not None and (due < when or (due == when and self._random() < 0.5)):
                if due > until:
                    break
                self.now = due
                portal.advance(due)
                continue
            if when > until:
                break
            _, _, _, what, args = heappop(heap)
            self.now = when
            what(*args)
        self.now = until

    def platform(self) -> Portal:
        """The platform at this very moment."""
        self._portal.advance(self.now)
        return self._portal

    def _heap_is_never_empty(self, until: int) -> None:
        heappush(self._heap, (until + 1, 0.0, 0, lambda: None, ()))
