"""A watchdog of the event loop: a callback that takes too much CPU time delays every answer.

CPU time of the thread, not wall time: the work of a busy machine beside it does not count.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Of one callback, in seconds of CPU time. Generous: machines differ in speed, a busy neighbour on
# the same core makes it slower, and a collection of all garbage of a test run falls into it too.
BOUND_S = 1.0


@contextmanager
def watch_callbacks(bound_s: float = BOUND_S) -> Iterator[list[str]]:
    """Time each callback of asyncio's event loops inside the block; list those over the bound.

    Steps of the test itself are left out: it may prepare large inputs.
    """
    slow: list[str] = []
    original = asyncio.Handle._run  # type: ignore[attr-defined]

    def run(handle: Any) -> None:
        began = time.thread_time()
        original(handle)
        took_s = time.thread_time() - began
        if took_s > bound_s and not _is_of_test(handle):
            slow.append(f"{took_s:.2f} s of CPU time: {handle!r}"[:400])

    asyncio.Handle._run = run  # type: ignore[attr-defined]
    try:
        yield slow
    finally:
        asyncio.Handle._run = original  # type: ignore[attr-defined]


def _is_of_test(handle: Any) -> bool:
    task = getattr(getattr(handle, "_callback", None), "__self__", None)
    coro = task.get_coro() if isinstance(task, asyncio.Task) else None
    code = getattr(coro, "cr_code", None)
    return code is not None and "/tests/" in code.co_filename
