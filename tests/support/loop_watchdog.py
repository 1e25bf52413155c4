"""A watchdog of the event loop: a callback that takes too much CPU time delays every answer.

CPU time of the thread, not wall time: the work of a busy machine beside it does not count. Nor does
the collection of garbage: a test run has millions of objects, and production has frozen most of its
own (`tune_gc` in admission/runtime/process.py).
"""

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Of one callback, in seconds of CPU time. The longest of the service takes 0.01 s, 0.04 s beside
# two busy loops on two processors, which share their caches. Several times that, for machines
# differ in speed; what blocks a loop by mistake, such as a loop over all reservations, takes longer
# on its first large input. The fuzz tests are watched too: they serve the application themselves.
BOUND_S = 0.15


class _GarbageClock:
    """CPU time of this thread that went into collections of garbage, in seconds."""

    def __init__(self) -> None:
        self.spent_s = self._began_s = 0.0

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began_s = time.thread_time()
        else:
            self.spent_s += time.thread_time() - self._began_s


@contextmanager
def watch_callbacks(bound_s: float = BOUND_S) -> Iterator[list[str]]:
    """Time each callback of asyncio's event loops inside the block; list those over the bound.

    Steps of the test itself are left out: it may prepare large inputs.
    """
    slow: list[str] = []
    garbage = _GarbageClock()
    original = asyncio.Handle._run  # type: ignore[attr-defined]

    def run(handle: Any) -> None:
        began = time.thread_time() - garbage.spent_s
        original(handle)
        took_s = time.thread_time() - garbage.spent_s - began
        if took_s > bound_s and not _is_of_test(handle):
            slow.append(f"{took_s:.2f} s of CPU time: {handle!r}"[:400])

    asyncio.Handle._run = run  # type: ignore[attr-defined]
    gc.callbacks.append(garbage)
    try:
        yield slow
    finally:
        gc.callbacks.remove(garbage)
        asyncio.Handle._run = original  # type: ignore[attr-defined]


def _is_of_test(handle: Any) -> bool:
    task = getattr(getattr(handle, "_callback", None), "__self__", None)
    coro = task.get_coro() if isinstance(task, asyncio.Task) else None
    code = getattr(coro, "cr_code", None)
    return code is not None and "/tests/" in code.co_filename
