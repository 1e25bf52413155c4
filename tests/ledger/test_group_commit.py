"""Group commit, without Redis: a `send` that the test lets go when it likes."""

import asyncio
from typing import Any

import pytest

from admission.errors import Unavailable
from admission.ledger import group_commit
from admission.ledger.group_commit import HALF_FROM, GroupCommit, Overloaded


class Server:
    """Records calls; answers each when the test opens the gate."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[dict[str, Any]]]] = []
        self.gate = asyncio.Event()

    async def send(self, zone: str, ops: list[dict[str, Any]], waited_s: float) -> list[Any]:
        self.calls.append((zone, ops))
        await self.gate.wait()
        return [op["n"] * 10 for op in ops]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_operation_goes_at_once_and_the_next_ones_share_a_call():
    server = Server()
    commit = GroupCommit(server.send)
    first = commit.submit("East", {"n": 1})
    await settle()
    others = [commit.submit("East", {"n": n}) for n in (2, 3, 4)]
    await settle()
    assert [len(ops) for _, ops in server.calls] == [1]
    server.gate.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert [len(ops) for _, ops in server.calls] == [1, 3]


@pytest.mark.parametrize(
    ("many", "calls"),
    [
        (HALF_FROM - 1, [HALF_FROM - 1]),
        (HALF_FROM, [HALF_FROM // 2] * 2),
        (
            HALF_FROM + 1,
            [HALF_FROM // 2 + 1, HALF_FROM // 2],
        ),
    ],
)
async def test_operations_of_an_idle_zone_go_in_two_calls_and_keep_their_order(
    many: int, calls: list[int]
):
    server = Server()
    commit = GroupCommit(server.send)
    pending = [commit.submit("East", {"n": n}) for n in range(many)]
    await settle()
    server.gate.set()
    assert await asyncio.gather(*pending) == [10 * n for n in range(many)]
    assert [len(ops) for _, ops in server.calls] == calls


async def test_operations_that_go_together_are_answered_together():
    server = Server()
    commit = GroupCommit(server.send)
    server.gate.set()
    (together,) = commit.submit_parts("East", [([{"n": 1}, {"n": 2}], 2)])
    alone = commit.submit("East", {"n": 3})
    assert await asyncio.gather(together, alone) == [[10, 20], 30]
    assert [len(ops) for _, ops in server.calls] == [3]


async def test_zones_do_not_wait_for_each_other():
    server = Server()
    commit = GroupCommit(server.send)
    pending = [commit.submit(zone, {"n": 1}) for zone in ("East", "West")]
    await settle()
    assert {zone for zone, _ in server.calls} == {"East", "West"}
    server.gate.set()
    await asyncio.gather(*pending)


async def test_an_operation_whose_caller_left_is_dropped_from_the_queue():
    server = Server()
    commit = GroupCommit(server.send)
    first = commit.submit("East", {"n": 1})
    await settle()
    gone, stays = commit.submit("East", {"n": 2}), commit.submit("East", {"n": 3})
    gone.cancel()
    server.gate.set()
    assert [await first, await stays] == [10, 30]
    assert [op["n"] for _, ops in server.calls for op in ops] == [1, 3]


@pytest.mark.parametrize("fault", [None, Unavailable("away")])
async def test_a_caller_that_leaves_during_its_call_does_not_affect_the_others(
    fault: Exception | None,
) -> None:
    gate = asyncio.Event()

    async def send(zone: str, ops: list[dict[str, Any]], waited_s: float) -> list[Any]:
        await gate.wait()
        if fault:
            raise fault
        return [op["n"] for op in ops]

    commit = GroupCommit(send)
    gone, stays = commit.submit("East", {"n": 1}), commit.submit("East", {"n": 2})
    await settle()
    gone.cancel()
    gate.set()
    later = commit.submit("East", {"n": 3})
    async with asyncio.timeout(5):
        answers = await asyncio.gather(stays, later, return_exceptions=True)
    assert answers == ([fault, fault] if fault else [2, 3])


async def test_a_call_has_waited_since_the_first_of_its_own_operations_arrived(monkeypatch):
    """Each call leaves an operation behind, so the queue never empties."""
    monkeypatch.setattr(group_commit, "UNITS_MAX", 1)
    now, loop = 100.0, asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: now)
    waits: list[float] = []
    gates = [asyncio.Event() for _ in range(6)]

    async def send(zone: str, ops: list[dict[str, Any]], waited_s: float) -> list[Any]:
        waits.append(round(waited_s, 3))
        await gates[len(waits) - 1].wait()
        return ops

    commit = GroupCommit(send, wait_s_max=10.0)
    pending = [commit.submit("East", {}), commit.submit("East", {})]
    await settle()
    for gate in gates[:4]:
        now += 0.1
        pending.append(commit.submit("East", {}))
        gate.set()
        await settle()
    for gate in gates[4:]:
        gate.set()
    await asyncio.gather(*pending)
    assert waits[:5] == [0.0, 0.1, 0.1, 0.1, 0.1]


async def test_an_operation_that_waited_too_long_is_refused_before_it_is_sent(monkeypatch):
    now, loop = 100.0, asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: now)
    server = Server()
    commit = GroupCommit(server.send, wait_s_max=0.4)
    first = commit.submit("East", {"n": 1})
    await settle()
    late = commit.submit("East", {"n": 2})
    now = 100.3
    in_time = commit.submit("East", {"n": 3})
    now = 100.5
    server.gate.set()
    with pytest.raises(Overloaded, match="was not carried out") as refused:
        await late
    assert await asyncio.gather(first, in_time) == [10, 30]
    assert [op["n"] for _, ops in server.calls for op in ops] == [1, 3]
    assert refused.value.status == 503
    assert refused.value.retry_after_s > 0


async def test_an_operation_that_waits_too_long_is_refused_during_a_call():
    server = Server()
    commit = GroupCommit(server.send, wait_s_max=0.01)
    first = commit.submit("East", {"n": 1})
    await settle()
    waiting = [commit.submit("East", {"n": n}) for n in (2, 3)]
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in found] == [Overloaded, Overloaded]
    assert not first.done()
    server.gate.set()
    assert await first == 10
    await commit.close()


async def test_an_overloaded_zone_delays_and_refuses_no_other(monkeypatch):
    monkeypatch.setattr(group_commit, "QUEUE_UNITS_MAX", 2)
    server = Server()
    commit = GroupCommit(server.send)
    busy = [commit.submit("East", {"n": 0})]
    await settle()
    busy += [commit.submit("East", {"n": n}) for n in (1, 2)]
    with pytest.raises(Overloaded):
        commit.submit("East", {"n": 3})
    other = commit.submit("West", {"n": 7})
    await settle()
    assert [zone for zone, _ in server.calls] == ["East", "West"]
    server.gate.set()
    assert await other == 70
    await asyncio.gather(*busy)


async def test_a_call_is_bounded_in_units_but_takes_at_least_one_operation(monkeypatch):
    monkeypatch.setattr(group_commit, "UNITS_MAX", 10)
    server = Server()
    server.gate.set()
    commit = GroupCommit(server.send)
    pending = [commit.submit("East", {"n": n}, units) for n, units in enumerate((6, 4, 1, 50, 2))]
    await asyncio.gather(*pending)
    assert [len(ops) for _, ops in server.calls] == [2, 1, 1, 1]


async def test_calls_are_short_while_several_zones_are_in_use(monkeypatch):
    monkeypatch.setattr(group_commit, "UNITS_MAX", 4)
    monkeypatch.setattr(group_commit, "SHARED_UNITS_MAX", 2)
    monkeypatch.setattr(group_commit, "IN_USE_S", 3600)  # however slow the machine is
    server = Server()
    server.gate.set()
    commit = GroupCommit(server.send)
    await asyncio.gather(*(commit.submit("East", {"n": n}) for n in range(8)))
    assert [len(ops) for _, ops in server.calls] == [4, 4]

    await commit.submit("West", {"n": 1})
    server.calls.clear()
    await asyncio.gather(*(commit.submit("East", {"n": n}) for n in range(8)))
    assert [len(ops) for _, ops in server.calls] == [2, 2, 2, 2]

    monkeypatch.setattr(group_commit, "IN_USE_S", 0)
    server.calls.clear()
    await asyncio.gather(*(commit.submit("East", {"n": n}) for n in range(8)))
    assert [len(ops) for _, ops in server.calls] == [4, 4]


async def test_a_failed_call_fails_its_own_operations_and_no_others():
    calls = 0

    async def send(zone: str, ops: list[dict[str, Any]], waited_s: float) -> list[Any]:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if calls == 1:
            raise Unavailable("gone")
        return [op["n"] for op in ops]

    commit = GroupCommit(send)
    first = commit.submit("East", {"n": 1})
    await asyncio.sleep(0)
    second = commit.submit("East", {"n": 2})
    with pytest.raises(Unavailable):
        await first
    assert await second == 2


async def test_a_cancelled_call_is_not_mistaken_for_a_caller_that_left():
    async def send(zone: str, ops: list[dict[str, Any]], waited_s: float) -> list[Any]:
        raise asyncio.CancelledError

    with pytest.raises(Unavailable, match="shutting down"):
        await GroupCommit(send).submit("East", {"n": 1})


async def test_a_queue_of_too_many_units_refuses_at_once_and_loses_nothing(monkeypatch):
    monkeypatch.setattr(group_commit, "QUEUE_UNITS_MAX", 10)
    server = Server()
    commit = GroupCommit(server.send)
    first = commit.submit("East", {"n": 0})
    await settle()
    waiting = [commit.submit("East", {"n": n}, units) for n, units in ((1, 6), (2, 4))]
    with pytest.raises(Overloaded, match="overloaded"):
        commit.submit("East", {"n": 3})
    server.gate.set()
    assert await asyncio.gather(first, *waiting) == [0, 10, 20]
    assert await commit.submit("East", {"n": 4}, units=50) == 40  # an empty queue takes any


async def test_close_waits_for_calls_under_way():
    server = Server()
    commit = GroupCommit(server.send)
    pending = commit.submit("East", {"n": 7})
    await settle()
    closing = asyncio.create_task(commit.close())
    await settle()
    assert not closing.done()
    server.gate.set()
    await closing
    assert pending.result() == 70


async def test_a_hook_that_raises_fails_its_call_and_no_other():
    def hook(size: int) -> None:
        if not server.calls and size == 1:
            raise OSError("disk full")

    server = Server()
    server.gate.set()
    commit = GroupCommit(server.send, hook)
    with pytest.raises(OSError, match="disk full"):
        await commit.submit("East", {"n": 1})
    (together,) = commit.submit_parts("East", [([{"n": 1}, {"n": 2}], 2)])
    assert await together == [10, 20]


async def test_results_that_do_not_fit_fail_their_call_and_no_other(
    caplog: pytest.LogCaptureFixture,
):
    async def send(_zone: str, ops: list[dict[str, Any]], waited_s: float) -> list[Any]:
        return [op["n"] for op in ops if op["n"] > 0]

    commit = GroupCommit(send)
    with pytest.raises(IndexError):
        await commit.submit("East", {"n": 0})
    assert await commit.submit("East", {"n": 1}) == 1
    assert "a call of 1 operations failed" in caplog.text


async def test_a_failed_call_of_a_batch_leaves_the_other_answers(monkeypatch):
    fault = Unavailable("no answer")

    async def send(_zone: str, ops: list[dict[str, Any]], waited_s: float) -> list[Any]:
        if any(op["n"] == 3 for op in ops):
            raise fault
        return [op["n"] for op in ops]

    monkeypatch.setattr(group_commit, "QUEUE_UNITS_MAX", 3 * group_commit.UNITS_MAX)
    parts = [([{"n": n}, {"n": n}], group_commit.UNITS_MAX) for n in range(1, 4)]
    commit = GroupCommit(send)
    sent = commit.submit_parts("East", [*parts, ([{"n": 9}], 1)])
    *answered, refused, too_many = await asyncio.gather(*sent, return_exceptions=True)
    assert answered == [[1, 1], [2, 2]]
    assert refused is fault
    assert isinstance(too_many, Unavailable)


def part(n: int, units: int = group_commit.SHARED_UNITS_MAX) -> tuple[list[dict[str, Any]], int]:
    """A part of a batch."""
    return [{"n": n}], units


async def test_an_operation_does_not_wait_for_the_batches_of_another_caller():
    server = Server()
    commit = GroupCommit(server.send)
    begun = commit.submit("East", {"n": 0}, caller="greedy")
    await settle()
    batch = commit.submit_parts("East", [part(n) for n in range(1, 10)], "greedy")
    quiet = commit.submit("East", {"n": 99}, caller="quiet")
    server.gate.set()
    assert await asyncio.gather(begun, quiet) == [0, 990]
    assert [op["n"] for op in server.calls[1][1]] == [1, 99]
    assert await asyncio.gather(*batch) == [[10 * n] for n in range(1, 10)]
    sent = [op["n"] for _, ops in server.calls for op in ops]
    assert [n for n in sent if n != 99] == list(range(10))  # each caller's in their order


async def test_a_caller_alone_has_whole_calls():
    server = Server()
    commit = GroupCommit(server.send)
    begun = commit.submit("East", {"n": 0}, caller="alone")
    commit.submit("East", {"n": 0})  # the service's own operations are no other caller
    await settle()
    batch = commit.submit_parts("East", [part(n) for n in range(1, 4)], "alone")
    server.gate.set()
    await asyncio.gather(begun, *batch)
    assert [op["n"] for op in server.calls[-1][1]] == [1, 2, 3]


async def test_a_caller_leaves_room_in_the_queue_to_others(monkeypatch):
    monkeypatch.setattr(group_commit, "QUEUE_UNITS_MAX", 10)
    server = Server()
    commit = GroupCommit(server.send)
    begun = commit.submit("East", {"n": 0})
    await settle()
    greedy = [commit.submit("East", {"n": n}, caller="greedy") for n in range(8)]
    with pytest.raises(Overloaded):
        commit.submit("East", {"n": 8}, caller="greedy")
    quiet = commit.submit("East", {"n": 9}, caller="quiet")
    server.gate.set()
    assert await asyncio.gather(begun, *greedy, quiet) == [0, *range(0, 80, 10), 90]
