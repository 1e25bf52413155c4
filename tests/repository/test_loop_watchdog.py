"""The watchdog of the event loop finds what blocks it."""

import asyncio
import gc
import time

from tests.support.loop_watchdog import BOUND_S, watch_callbacks


def burn(cpu_s: float) -> None:
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


async def test_a_callback_over_the_bound_is_found() -> None:
    with watch_callbacks(0.01) as slow:
        asyncio.get_running_loop().call_soon(burn, 0.02)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(slow) == 1
    assert "burn" in slow[0]


async def test_waiting_and_the_steps_of_a_test_do_not_count() -> None:
    with watch_callbacks(0.01) as slow:
        asyncio.get_running_loop().call_soon(time.sleep, 0.02)
        await asyncio.sleep(0)
        burn(0.02)
        await asyncio.sleep(0)
    assert slow == []


async def test_every_test_is_watched(callbacks_are_quick: list[str]) -> None:
    asyncio.get_running_loop().call_soon(burn, BOUND_S + 0.01)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(callbacks_are_quick) == 1
    callbacks_are_quick.clear()


async def test_a_collection_of_garbage_does_not_count() -> None:
    with watch_callbacks(0.01) as slow:
        kept = [[] for _ in range(1_000_000)]  # type: ignore[var-annotated]
        asyncio.get_running_loop().call_soon(gc.collect)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(kept) == 1_000_000
    assert slow == []
