"""Long computations share the event loop."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from admission.tasks import SLICE_CPU_S, SLICE_ITEMS, Backoff, TimeSlices


async def test_slices_cover_the_items_in_order():
    items = list(range(2 * SLICE_ITEMS + 1))
    slices = await TimeSlices().run(items, list)
    assert [len(one) for one in slices] == [SLICE_ITEMS, SLICE_ITEMS, 1]
    assert [item for one in slices for item in one] == items


async def test_two_computations_take_turns_and_no_turn_of_the_loop_runs_two_slices():
    slices, done, turn = TimeSlices(), [], 0

    async def compute(name: str) -> None:
        await slices.run(range(3 * SLICE_ITEMS), lambda some: done.append((name, turn)))

    async def count_turns() -> None:
        nonlocal turn
        while len(done) < 6:
            turn += 1
            await asyncio.sleep(0)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(count_turns())
        group.create_task(compute("a"))
        group.create_task(compute("b"))
    assert [name for name, _ in done] == ["a", "b"] * 3
    assert len({turn for _, turn in done}) == 6


async def test_few_items_are_computed_at_once():
    slices = TimeSlices()
    blocked = asyncio.Event()

    async def block() -> None:
        await slices.run(range(2 * SLICE_ITEMS), lambda some: blocked.set())

    task = asyncio.create_task(block())
    await blocked.wait()
    assert await slices.run([1], list) == [[1]]
    assert not task.done()
    await task


async def test_a_computation_that_fails_ends_its_turn():
    slices = TimeSlices()

    def fail(some: Sequence[int]) -> None:
        raise ValueError(some[0])

    with pytest.raises(ValueError, match="0"):
        await slices.run(range(2 * SLICE_ITEMS), fail)
    async with asyncio.timeout(10):
        assert len(await slices.run(range(2 * SLICE_ITEMS), len)) == 2


def test_a_pause_doubles_with_each_failure_up_to_its_bound() -> None:
    backoff = Backoff(min_s=0.5, max_s=5.0, jitter=0)
    expected = [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert [backoff.pause_s(failures) for failures in range(1, 7)] == expected
    assert backoff.is_first  # the caller counted
    assert [backoff.next_s() for _ in range(3)] == expected[:3]
    assert not backoff.is_first
    backoff.reset()
    assert (backoff.is_first, backoff.next_s()) == (True, 0.5)
    assert backoff.pause_s(10**6) == 5.0


def test_the_random_part_of_a_pause_is_at_most_its_jitter() -> None:
    backoff = Backoff(min_s=1.0, max_s=8.0, jitter=0.25)
    drawn = [backoff.pause_s(3) for _ in range(500)]
    assert 3.0 <= min(drawn) < 3.3 < 3.7 < max(drawn) <= 4.0


async def test_slices_that_take_long_are_followed_by_smaller_ones():
    def work(some: Sequence[int]) -> int:
        until = time.thread_time() + 2 * SLICE_CPU_S
        while time.thread_time() < until:
            pass
        return len(some)

    sizes = await TimeSlices().run(range(2 * SLICE_ITEMS), work)
    halves = [SLICE_ITEMS // 2**n for n in range(4)]
    assert sizes[:4] == halves
    assert sum(sizes) == 2 * SLICE_ITEMS
