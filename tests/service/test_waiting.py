"""Waiting in one process: when it asks again, and for whom. The ledger is a fake."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from admission.domain.types import Answer
from admission.errors import NotFound, Unavailable
from admission.service.waiting.coordinator import WaitCoordinator
from admission.service.waiting.queue import Waiter, WaitQueues

Op = dict[str, Any]
LONG_MS = 30_000
NEVER_S = 3600.0  # between beats, where a test counts what is asked
SHORT_MS = 500  # more than opening takes, on a busy machine too


class FakeLedger:
    """Grants while `free`, to the first in its queue; every call is noted."""

    def __init__(self) -> None:
        self.free = 0
        self.asked: list[str] = []
        self.ops: list[Op] = []
        self.withdrawn: list[Op] = []
        self.queue: list[str] = []
        self.granted: dict[str, bool] = {}  # request -> whether a repeat was answered
        self.again_ms: int | None = None
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.beaten = asyncio.Event()

    async def admit(self, zone: str, op: Op) -> Answer:
        self.asked.append(op["request_id"])
        self.ops.append(op)
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.fault:
            raise self.fault
        return self._decide(op["request_id"], op.get("waits"), op["campaign"])

    def _decide(self, request: str, waits: int | None, campaign: str) -> Answer:
        if request in self.granted:
            self.granted[request] = True
            return {"decision": "grant", "now": 1, "repeated": True}
        first = self.queue[0] if self.queue else request
        if request in self.queue and (waits == 0 or (self.free and first == request)):
            self.queue.remove(request)
        if self.free and first == request:
            self.free -= 1
            self.granted[request] = False
            return {"decision": "grant", "now": 1}
        deny: Answer = {"decision": "deny", "now": 1}
        if waits:
            self.queue += [] if request in self.queue else [request]
            deny["waiting"] = {"group": campaign} | (
                {"again_ms": self.again_ms} if self.again_ms else {}
            )
        return deny

    async def withdraw(self, zone: str, op: Op) -> str | None:
        self.withdrawn.append(op)
        await self.gate.wait()  # calls of a zone are answered in their order
        await asyncio.sleep(0)
        if "replica" in op and op["request_id"] in self.queue:
            self.queue.remove(op["request_id"])
        if self.granted.get(op["request_id"]) is False:
            del self.granted[op["request_id"]]
        return str(op["campaign"])

    async def send_heartbeat(self, zone: str, replica: str) -> None:
        self.beaten.set()


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
async def waiting(ledger: FakeLedger) -> AsyncIterator[WaitCoordinator]:
    waiting = WaitCoordinator(ledger, replica="A", limit=10, heartbeat_s=NEVER_S)
    yield waiting
    ledger.gate.set()
    await waiting.stop()


def ask(request: str, wait_ms: int = LONG_MS, **more: Any) -> Op:
    op = {"id": f"id-{request}", "request_id": request, "campaign": "c", "wait_ms": wait_ms}
    return op | more


async def settle() -> None:
    """Let every task run until it waits, without time passing."""
    for _ in range(100):
        await asyncio.sleep(0)


async def request(waiting: WaitCoordinator, op: Op) -> Answer:
    """As the HTTP side does it: a grant whose client hung up is withdrawn."""
    operation = {name: value for name, value in op.items() if name != "wait_ms"}
    try:
        return await waiting.admit("East", operation, op["wait_ms"])
    except asyncio.CancelledError:
        waiting.withdraw("East", operation)
        raise


async def opened(waiting: WaitCoordinator, *ops: Op) -> list[asyncio.Task[Answer]]:
    tasks = [asyncio.create_task(request(waiting, op)) for op in ops]
    await settle()
    return tasks


async def soon(task: asyncio.Task[Answer]) -> str:
    async with asyncio.timeout(5):
        return str((await task)["decision"])


async def test_a_request_with_room_is_answered_at_once(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    ledger.free = 1
    assert await request(waiting, ask("a")) == {"decision": "grant", "now": 1}
    assert ledger.ops[0] == {
        "id": "id-a", "request_id": "a", "campaign": "c", "replica": "A", "waits": LONG_MS,
    }  # fmt: skip
    assert waiting.open == 0


@pytest.mark.parametrize("op", [ask("a", 0), ask("a", dry_run=True)])
async def test_a_request_that_does_not_wait_is_passed_on(
    ledger: FakeLedger, waiting: WaitCoordinator, op: Op
) -> None:
    assert (await request(waiting, op))["decision"] == "deny"
    assert not {"replica", "waits", "wait_ms"} & set(ledger.ops[0])


async def test_no_request_is_repeated_without_a_notification(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    await opened(waiting, *(ask(str(n)) for n in range(10)))
    ledger.asked.clear()
    await settle()
    assert ledger.asked == []


async def test_a_notification_repeats_the_first_of_each_queue_and_the_next_after_a_grant(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    tasks = await opened(waiting, ask("a"), ask("b"), ask("c"), ask("d", campaign="d"))
    ledger.asked.clear()
    ledger.free = 1
    waiting.on_notification("room East")
    await settle()
    assert ledger.asked == ["a", "d", "b"]
    assert await soon(tasks[0]) == "grant"
    assert [task.done() for task in tasks] == [True, False, False, False]


async def test_a_repeat_carries_the_time_of_the_first_try(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    await opened(waiting, ask("a"))
    waiting.on_notification("room East")
    await settle()
    assert (ledger.ops[-1]["seen"], ledger.ops[-1]["replica"]) == (1, "A")
    assert 1 < ledger.ops[-1]["waits"] <= LONG_MS


async def test_a_notification_during_a_try_causes_another(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    [task] = await opened(waiting, ask("a"))
    ledger.gate.clear()
    waiting.on_notification("room East")
    await settle()
    waiting.on_notification("room East")
    waiting.on_notification("room East")
    ledger.asked.clear()
    ledger.gate.set()
    await settle()
    assert ledger.asked == ["a"]
    assert not task.done()


@pytest.mark.parametrize("text", ["poll East", "room West"])
async def test_other_notifications_repeat_nothing(
    ledger: FakeLedger, waiting: WaitCoordinator, text: str
) -> None:
    await opened(waiting, ask("a"))
    waiting.on_notification(text)
    await settle()
    assert ledger.asked == ["a"]


async def test_a_notification_that_overtakes_the_first_answer_is_not_missed(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    for ring in (waiting.on_notifications_lost, lambda: waiting.on_notification("room East")):
        ledger.asked.clear()
        ledger.gate.clear()
        [task] = await opened(waiting, ask("a"))
        ring()
        ledger.gate.set()
        await settle()
        assert ledger.asked == ["a", "a"]
        task.cancel()
        await settle()


async def test_after_a_lost_connection_all_queues_are_repeated(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    await opened(waiting, ask("a"), ask("b", campaign="d"))
    ledger.asked.clear()
    waiting.on_notifications_lost()
    await settle()
    assert ledger.asked == ["a", "b"]


async def test_a_notification_with_a_delay_repeats_later(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    [task] = await opened(waiting, ask("a"))
    ledger.free = 1
    waiting.on_notification("room East 1")
    await settle()
    assert await soon(task) == "grant"


async def test_a_denial_that_time_ends_is_repeated_in_time(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    ledger.again_ms = 1
    [task] = await opened(waiting, ask("a"))
    ledger.free = 1
    assert await soon(task) == "grant"


async def test_a_wait_ends_with_a_last_try_that_gives_up_its_place(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    [task] = await opened(waiting, ask("a", SHORT_MS))
    assert await soon(task) == "deny"
    assert ledger.ops[-1] | {"replica": "A", "waits": 0, "seen": 1} == ledger.ops[-1]
    assert ledger.queue == []
    assert "waiting" not in task.result()


async def test_an_ended_wait_leaves_the_place_to_its_repeat(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    first, second = await opened(waiting, ask("a", SHORT_MS), ask("a", id="again"))
    assert await soon(first) == "deny"
    assert ledger.queue == ["a"]
    ledger.free = 1
    waiting.on_notification("room East")
    assert await soon(second) == "grant"


async def test_the_next_request_is_repeated_when_the_first_gave_up(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    first, _ = await opened(waiting, ask("a", SHORT_MS), ask("b"))
    await soon(first)
    await settle()
    assert ledger.asked[-2:] == ["a", "b"]


async def test_a_client_that_hangs_up_leaves_nothing_and_the_next_is_repeated(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    first, _ = await opened(waiting, ask("a"), ask("b"))
    ledger.asked.clear()
    first.cancel()
    await settle()
    withdrawal = {"campaign": "c", "request_id": "a", "id": "id-a", "replica": "A"}
    assert (ledger.withdrawn, ledger.queue, ledger.asked) == ([withdrawal], ["b"], ["b"])
    assert waiting.open == 1


@pytest.mark.parametrize("wait_ms", [0, LONG_MS])
async def test_a_client_that_hangs_up_during_its_first_try_is_withdrawn(
    ledger: FakeLedger, waiting: WaitCoordinator, wait_ms: int
) -> None:
    ledger.gate.clear()
    [task] = await opened(waiting, ask("a", wait_ms))
    task.cancel()
    await settle()
    assert [op["id"] for op in ledger.withdrawn] == ["id-a"]


@pytest.mark.parametrize("fault", [None, NotFound("campaign c is gone")])
async def test_a_client_that_hangs_up_at_its_answer_leaves_the_grant_to_its_repeat(
    ledger: FakeLedger, waiting: WaitCoordinator, fault: NotFound | None
) -> None:
    first, second = await opened(waiting, ask("a"), ask("a", id="again"))
    ledger.free = 1
    ledger.gate.clear()
    waiting.on_notification("room East")
    await settle()
    ledger.gate.set()
    await asyncio.sleep(0)
    ledger.fault = fault
    first.cancel()  # between the answer and its reader
    await settle()
    assert first.cancelled()
    if fault:
        assert second.exception() is fault
    else:
        assert second.result()["decision"] == "grant"


async def test_a_grant_for_a_client_that_is_gone_is_withdrawn_after_it(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    [task] = await opened(waiting, ask("a"))
    ledger.free = 1
    ledger.gate.clear()
    waiting.on_notification("room East")
    await settle()
    task.cancel()
    ledger.gate.set()
    await settle()
    assert task.cancelled()
    assert [op["id"] for op in ledger.withdrawn] == ["id-a"]


async def test_a_grant_for_a_client_that_is_gone_does_not_end_the_wait_of_its_repeat(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    first, second = await opened(waiting, ask("a"), ask("a", id="again"))
    ledger.free = 1
    ledger.gate.clear()
    waiting.on_notification("room East")
    await settle()
    first.cancel()  # its try is under way
    ledger.gate.set()
    await settle()
    assert [op["id"] for op in ledger.withdrawn] == ["id-a"]
    assert not second.done()
    assert ledger.queue == ["a"]
    ledger.free = 1
    waiting.on_notification("room East")
    assert await soon(second) == "grant"


async def test_a_repeat_joins_its_first_and_both_get_the_grant(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    first, second = await opened(waiting, ask("a"), ask("a", id="again"))
    assert ledger.queue == ["a"]
    ledger.free = 1
    waiting.on_notification("room East")
    assert [await soon(first), await soon(second)] == ["grant", "grant"]
    assert [op["id"] for op in ledger.ops[-2:]] == ["id-a", "again"]
    assert second.result()["repeated"] is True


async def test_a_place_is_kept_as_long_as_the_last_of_its_repeats_waits(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    await opened(waiting, ask("a", SHORT_MS), ask("a", LONG_MS, id="again"))
    waiting.on_notification("room East")
    await settle()
    assert ledger.ops[-1]["waits"] > SHORT_MS


async def test_a_repeat_keeps_the_place_of_a_first_that_hung_up(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    first, second, other = await opened(waiting, ask("a"), ask("a", id="again"), ask("b"))
    first.cancel()
    await settle()
    assert "replica" not in ledger.withdrawn[0]
    assert ledger.queue == ["a", "b"]
    ledger.free = 1
    waiting.on_notification("room East")
    assert await soon(second) == "grant"
    assert not other.done()


async def test_more_than_the_limit_do_not_wait(ledger: FakeLedger) -> None:
    waiting = WaitCoordinator(ledger, replica="A", limit=2, heartbeat_s=NEVER_S)
    *waiters, third = await opened(waiting, ask("a"), ask("b"), ask("c"))
    assert await soon(third) == "deny"
    assert waiting.open == 2
    waiters[0].cancel()
    [fourth] = await opened(waiting, ask("d"))
    assert not fourth.done()
    await waiting.stop()


async def test_a_caller_leaves_places_to_others(ledger: FakeLedger) -> None:
    waiting = WaitCoordinator(ledger, replica="A", limit=10, heartbeat_s=NEVER_S)

    async def count_waiting(caller: str) -> int:
        before = waiting.open
        asks = [waiting.admit("East", ask(f"{caller}{n}"), LONG_MS, caller) for n in range(12)]
        tasks = [asyncio.create_task(one) for one in asks]
        for denied in asyncio.as_completed(tasks):
            await denied
            if sum(task.done() for task in tasks) == len(tasks) - (waiting.open - before):
                break
        return waiting.open - before

    assert await count_waiting("greedy") == 8
    assert await count_waiting("late") == 2
    await waiting.stop()


async def test_an_outage_is_waited_out(ledger: FakeLedger, waiting: WaitCoordinator) -> None:
    [task] = await opened(waiting, ask("a"))
    ledger.fault = Unavailable("away")
    waiting.on_notification("room East")
    await settle()
    ledger.fault, ledger.free = None, 1
    waiting.on_notifications_lost()
    assert await soon(task) == "grant"


async def test_an_outage_that_lasts_is_an_error_and_no_denial(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    [task] = await opened(waiting, ask("a", SHORT_MS))
    ledger.fault = Unavailable("away")
    with pytest.raises(Unavailable):
        await soon(task)


async def test_an_outage_at_the_first_try_is_an_error_at_once(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    ledger.fault = Unavailable("away")
    with pytest.raises(Unavailable):
        await request(waiting, ask("a"))
    await settle()
    assert [op["id"] for op in ledger.withdrawn] == ["id-a"]  # its reply may have been lost


async def test_a_fault_of_the_caller_ends_the_wait(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    first, second = await opened(waiting, ask("a"), ask("b"))
    ledger.fault = NotFound("campaign c is gone")
    waiting.on_notification("room East")
    for task in (first, second):
        with pytest.raises(NotFound):
            await soon(task)


async def test_stop_answers_every_waiter_with_its_denial_and_ends_waiting(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    tasks = await opened(waiting, ask("a"), ask("b", campaign="d"))
    await waiting.stop()
    assert [await soon(task) for task in tasks] == ["deny", "deny"]
    assert ledger.queue == []
    assert (await request(waiting, ask("c")))["decision"] == "deny"
    assert "waits" not in ledger.ops[-1]


async def test_a_first_try_during_the_stop_does_not_wait(
    ledger: FakeLedger, waiting: WaitCoordinator
) -> None:
    ledger.gate.clear()
    [task] = await opened(waiting, ask("a"))
    stopping = asyncio.create_task(waiting.stop())
    await settle()
    ledger.gate.set()
    await stopping
    assert await soon(task) == "deny"
    await settle()
    assert ledger.queue == []


async def test_a_zone_with_waiters_sends_heartbeats_and_repeats_without_notifications(
    ledger: FakeLedger,
) -> None:
    waiting = WaitCoordinator(ledger, replica="A", limit=10, heartbeat_s=0.001)
    [task] = await opened(waiting, ask("a"))
    ledger.free = 1
    async with asyncio.timeout(5):
        await ledger.beaten.wait()
    assert await soon(task) == "grant"
    await waiting.stop()


async def test_a_zone_without_waiters_sends_no_heartbeats(ledger: FakeLedger) -> None:
    waiting = WaitCoordinator(ledger, replica="A", limit=10, heartbeat_s=0.001)
    [task] = await opened(waiting, ask("a"))
    task.cancel()
    await asyncio.gather(*waiting._heartbeats.values())
    assert waiting._heartbeats == {}
    await waiting.stop()


async def test_queues_take_turns_and_end_with_their_last_place() -> None:
    lines = WaitQueues()
    places = []
    for name in "abcde":
        waiter = Waiter(ask(name, campaign=name), NEVER_S)
        places.append((lines.join("East", name, waiter, {"decision": "deny"}), waiter))
    turns = [[line.group for line in lines.rotate("East", 2)] for _ in range(5)]
    assert turns == [["a", "b"], ["c", "d"], ["e", "a"], ["b", "c"], ["d", "e"]]
    for place, waiter in places:
        lines.leave(place, waiter)
    assert (lines.list_zones(), lines.list_queues("East"), list(lines.iterate_entries())) == (
        [],
        [],
        [],
    )
