"""Helpers for tasks: cancellation that ends, pauses between attempts, work in slices."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

CANCEL_AGAIN_S: Final = 0.2
DOUBLINGS_MAX: Final = 64  # of a pause: more than any bound needs, and no overflow
SLICE_ITEMS: Final = 50  # 0.2 to 0.4 ms of work at the 3 to 7 us that an item of a batch takes
SLICE_CPU_S: Final = 0.002  # items that take longer are fewer in the next slice

T = TypeVar("T")
R = TypeVar("R")


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until all have ended; their exceptions are not raised here.

    One cancellation is not enough: redis-py may swallow a cancellation that arrives just as it
    connects or as its reply comes (redis-py 8.1 on CPython 3.11: 14 of 400).
    """
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


class Backoff:
    """Pauses between attempts: each is twice as long as the one before, up to a bound.

    Counts the pauses itself, or takes the number of failures that its caller counts.

    Example:
        backoff = Backoff(min_s=0.1, max_s=10.0)
        while not await attempt():
            await asyncio.sleep(backoff.next_s())
        backoff.pause_s(3)  # 0.2 to 0.4

    Args:
        min_s: the first pause, seconds.
        max_s: the longest pause, seconds.
        jitter: part of a pause that is random, so that clients of one server spread their attempts
            ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """

    def __init__(self, *, min_s: float, max_s: float, jitter: float = 0.5) -> None:
        self.max_s = max_s
        self._min_s = min_s
        self._jitter = jitter
        self._pauses = 0

    @property
    def is_first(self) -> bool:
        """Whether no pause was taken since the start or the last `reset`."""
        return self._pauses == 0

    def reset(self) -> None:
        """Begin with the shortest pause again, after a success."""
        self._pauses = 0

    def next_s(self) -> float:
        """The next pause, seconds."""
        self._pauses += 1
        return self.pause_s(self._pauses)

    def pause_s(self, failures: int) -> float:
        """The pause after this many failures in a row (at least 1), seconds."""
        doublings = min(failures - 1, DOUBLINGS_MAX)
        return min(self._min_s * 2.0**doublings, self.max_s) * random.uniform(1 - self._jitter, 1)


class TimeSlices:
    """Long computations of several requests share the event loop: each turn of it runs one slice.

    A batch of 1000 takes some 20 ms of the loop. In one piece, and with several batches at once, a
    single request would wait for all of them at every step of its way.

    Example:
        texts = await slices.run(items, encode)  # `encode` gets up to SLICE_ITEMS items
    """

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = asyncio.Lock()  # fair: the computations take turns

    async def run(self, items: Sequence[T], work: Callable[[Sequence[T]], R]) -> list[R]:
        """Apply `work` to the items slice by slice, in order. Returns: one result for each slice.

        Up to SLICE_ITEMS items are one slice, which runs at once. Slices that take long are
        followed by smaller ones: an item of nothing but wrong fields takes 20 times as long as
        another.
        """
        if len(items) <= SLICE_ITEMS:
            return [work(items)]
        results, start, size = [], 0, SLICE_ITEMS
        while start < len(items):
            some = items[start : start + size]
            result, cpu_s = await self.run_alone(partial(_measure, work, some))
            results.append(result)
            start += len(some)
            if cpu_s > SLICE_CPU_S:
                size = max(1, size // 2)
        return results

    async def run_alone(self, work: Callable[[], R]) -> R:
        """Do work that is one slice. Returns: its result."""
        async with self._turn:
            result = work()
            await asyncio.sleep(0)  # within the turn: no other slice runs in this turn of the loop
            return result


def _measure(work: Callable[[Sequence[T]], R], items: Sequence[T]) -> tuple[R, float]:
    began_s = time.thread_time()
    result = work(items)
    return result, time.thread_time() - began_s
