"""Group commit: operations of one zone that arrive during a script call share the next call.

An operation that finds its zone idle is sent at once: no timer, no added latency. Under load one
call carries many operations, in their order of arrival. Zones do not wait for each other.

    submit --> queue of the zone --> call (at most UNITS_MAX units) --> results

Callers (tokens, addresses) take turns: a call has one operation, or one part of a batch, of each
caller that waits before it has two of any (round robin, as in Nagle, "On Packet Switches With
Infinite Storage", RFC 970). While several callers use a zone, each gets SHARED_UNITS_MAX units of a
call at most, so that an operation that just missed a call waits for a short one. The operations of
one caller keep their order. A caller may have as many times as many units in the queue as are free
(CALLER_SHARE), so that others always find room.

Two bounds keep the queue short. It holds QUEUE_UNITS_MAX units; an operation beyond that is refused
at once. An operation that waited for `wait_s_max` is refused before it is sent, so a refused
operation was never carried out, and the call of the others has its full time. Neither refusal says
anything about Redis, so neither opens a circuit.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from admission.errors import AdmissionError, Unavailable

log = logging.getLogger(__name__)

UNITS_MAX: Final = 250  # of one call: 8 to 20 ms of script time at 32 to 82 us each
# Of one call while other zones are in use, which wait for it (2 to 5 ms), and of a part of a batch.
SHARED_UNITS_MAX: Final = 64
IN_USE_S: Final = 1.0  # since the last operation of a zone
HALF_FROM: Final = 16  # as many calls that find a queue idle are sent in two halves
CALLER_SHARE: Final = 4
QUEUE_UNITS_MAX: Final = 20_000  # of one zone: 0.3 s of script time at 15 us for each unit
WAIT_S_MAX: Final = 0.4  # see `RedisConnection.queue_wait_s_max`

Operation = dict[str, Any]
Part = tuple[list[Operation], int]
Send = Callable[[str, list[Operation], float], Awaitable[list[Any]]]


class Overloaded(Unavailable):
    """More operations arrive for a zone than its script takes; this one was not carried out."""


@dataclass(slots=True, eq=False)
class PendingCall:
    """Operations that one caller submitted together.

    Args:
        operations: in order; they are sent in one call.
        units: reservations that they may touch.
        arrived_s: when they were submitted, in the loop's time.
        caller: takes turns with others.
        future: gets the results.
        is_single: the future gets one result instead of a list.
    """

    operations: list[Operation]
    units: int
    arrived_s: float
    caller: str
    future: asyncio.Future[Any]
    is_single: bool


class ZoneQueue:
    """The operations that wait for one zone: of each caller in order of arrival.

    Example:
        queue.add(pending)
        batch = queue.take_batch(UNITS_MAX)
    """

    __slots__ = (
        "_alternated_s", "_callers", "_calls", "_newest_caller", "_units_of", "expiry",
        "is_sending", "units",
    )  # fmt: skip

    def __init__(self) -> None:
        self._callers: dict[str, deque[PendingCall]] = {}  # in the order of their turns
        self._units_of: dict[str, int] = {}
        self._calls = 0
        self._newest_caller = ""
        self._alternated_s: float | None = None  # when an operation of another caller came
        self.units = 0
        self.is_sending = False
        self.expiry: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._calls

    def add(self, pending: PendingCall) -> None:
        """Append a call."""
        caller, units = pending.caller, pending.units
        calls = self._callers.get(caller)
        if calls is None:
            self._callers[caller], self._units_of[caller] = deque((pending,)), units
        else:
            calls.append(pending)
            self._units_of[caller] += units
        self._calls += 1
        self.units += units

    def has_room(self, units: int, caller: str) -> bool:
        """Whether so many units more of a caller may wait; an empty queue takes any call."""
        free = QUEUE_UNITS_MAX - self.units
        if not self._calls:
            return True
        share = CALLER_SHARE * free
        return units <= free and (not caller or self._units_of.get(caller, 0) < share)

    def count_first_half(self) -> int:
        """Calls that stay for the second script call when many arrive at an idle queue at once.

        Redis then works on one half while this process parses and renders the other. Otherwise the
        two would take turns, and one of two processors would always be idle.
        """
        n = self._calls
        return n // 2 if n >= HALF_FROM else 0

    def take_batch(
        self, units_max: int, left: int = 0, units_each: int = UNITS_MAX
    ) -> list[PendingCall]:
        """Remove and return calls of up to `units_max` units, without those that were cancelled.

        Args:
            left: calls that stay for the batch after this one.
            units_each: units of one caller beyond which it waits for the next batch.
        """
        batch: list[PendingCall] = []
        taken: dict[str, int] = {}
        units = 0
        while self._calls > left:
            for caller in self._callers:  # nearly always the first
                if taken.get(caller, 0) < units_each:
                    break
            else:
                break
            if batch and units + self._callers[caller][0].units > units_max:
                break
            pending = self._pop(caller)
            if not pending.future.done():
                batch.append(pending)
                taken[caller] = taken.get(caller, 0) + pending.units
                units += pending.units
        return batch

    def note_caller(self, caller: str, now_s: float) -> None:
        """Remember when callers alternated; the service's own operations have none."""
        if caller and caller != self._newest_caller:
            self._alternated_s = now_s if self._newest_caller else None
            self._newest_caller = caller

    def units_each(self, now_s: float) -> int:
        """Units of one caller in the next call: few while several callers are there."""
        is_shared = self._alternated_s is not None and now_s - self._alternated_s < IN_USE_S
        return SHARED_UNITS_MAX if is_shared else UNITS_MAX

    def refuse_before(self, arrived_s: float, zone: str) -> None:
        """Refuse the calls that arrived at that time or before."""
        for caller in list(self._callers):
            while caller in self._callers and self._callers[caller][0].arrived_s <= arrived_s:
                pending = self._pop(caller)
                if not pending.future.done():
                    pending.future.set_exception(_make_overloaded(zone))

    def oldest_s(self) -> float | None:
        """When the first call in the queue arrived, in the loop's time."""
        return min((calls[0].arrived_s for calls in self._callers.values()), default=None)

    def _pop(self, caller: str) -> PendingCall:
        """The caller's first call; it is the turn of the others then."""
        calls = self._callers[caller]
        pending = calls.popleft()
        self._calls -= 1
        self.units -= pending.units
        if not calls:
            del self._callers[caller], self._units_of[caller]
            return pending
        self._units_of[caller] -= pending.units
        if len(self._callers) > 1:  # to the end
            del self._callers[caller]
            self._callers[caller] = calls
        return pending


class GroupCommit:
    """Sends operations to a zone's script, many in one call.

    Example:
        commit = GroupCommit(send)
        result = await commit.submit("East", {"op": "time"})

    Args:
        send: applies a list of operations to a zone, given the seconds that the first of them
            waited, and returns one result for each, in order.
        on_batch: called with the number of operations of each call, for metrics.
        wait_s_max: seconds after which a waiting operation is refused.
    """

    def __init__(
        self,
        send: Send,
        on_batch: Callable[[int], None] = lambda size: None,
        *,
        wait_s_max: float = WAIT_S_MAX,
    ) -> None:
        self._send = send
        self._on_batch = on_batch
        self._wait_s_max = wait_s_max
        self._queues: dict[str, ZoneQueue] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._newest_zone = ""
        self._alternated_s: float | None = (
            None  # when an operation came for another zone than before
        )

    def submit(
        self, zone: str, operation: Operation, units: int = 1, caller: str = ""
    ) -> asyncio.Future[Any]:
        """Queue an operation; the future gets its result, or the exception of its call.

        A cancelled future drops its operation if it was not sent yet.

        Args:
            units: reservations that it may touch.
            caller: who asks: callers take turns. Empty: the service itself.

        Raises:
            Overloaded: too many operations wait for that zone, or too many of this caller.
        """
        return self._add(zone, [operation], units, caller, is_single=True)

    def submit_parts(
        self, zone: str, parts: Iterable[Part], caller: str = ""
    ) -> list[asyncio.Future[list[Any]]]:
        """Queue operations of which each part is sent in one call.

        Args:
            parts: operations, and reservations that they may touch, at most SHARED_UNITS_MAX.
            caller: who asks.

        Returns:
            For each part a future of its results, in order. A part that is refused or whose call
            fails has its fault in its own future, so that the grants of the others are not lost.
        """
        return [self._add_part(zone, operations, units, caller) for operations, units in parts]

    async def close(self) -> None:
        """Wait for the calls under way."""
        # Not gather(): from Python 3.12 on it does not yield where all tasks are done, and then the
        # callbacks that remove them never run.
        while self._running:
            await asyncio.wait(self._running)
        for queue in self._queues.values():
            if queue.expiry:
                queue.expiry.cancel()

    def _add_part(
        self, zone: str, operations: list[Operation], units: int, caller: str
    ) -> asyncio.Future[list[Any]]:
        try:
            return self._add(zone, operations, units, caller, is_single=False)
        except Overloaded as fault:
            refused: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
            refused.set_exception(fault)
            return refused

    def _add(
        self, zone: str, operations: list[Operation], units: int, caller: str, *, is_single: bool
    ) -> asyncio.Future[Any]:
        queue = self._queues.get(zone)
        if queue is None:
            queue = self._queues[zone] = ZoneQueue()
        if not queue.has_room(units, caller):
            raise _make_overloaded(zone)
        loop = asyncio.get_running_loop()
        if zone != self._newest_zone:
            self._alternated_s = loop.time() if self._newest_zone else None
            self._newest_zone = zone
        future: asyncio.Future[Any] = loop.create_future()
        queue.note_caller(caller, loop.time())
        queue.add(PendingCall(operations, units, loop.time(), caller, future, is_single))
        if not queue.is_sending:
            queue.is_sending = True
            task = asyncio.create_task(self._drain(zone, queue), name=f"ledger {zone}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        elif queue.expiry is None:
            queue.expiry = loop.call_later(self._wait_s_max, self._expire, zone, queue)
        return future

    def _units_max(self) -> int:
        """Units of the next call: few while several zones take turns at Redis."""
        if self._alternated_s is None:
            return UNITS_MAX
        since_s = asyncio.get_running_loop().time() - self._alternated_s
        return SHARED_UNITS_MAX if since_s < IN_USE_S else UNITS_MAX

    async def _drain(self, zone: str, queue: ZoneQueue) -> None:
        left = queue.count_first_half()
        try:
            while len(queue):
                self._refuse_expired(zone, queue)
                units_each = queue.units_each(asyncio.get_running_loop().time())
                batch = queue.take_batch(self._units_max(), left, units_each)
                left = 0
                if batch:
                    await self._commit(zone, batch)
        finally:
            queue.is_sending = False

    def _expire(self, zone: str, queue: ZoneQueue) -> None:
        """Refuse what waits too long while a call is under way, not only after it."""
        queue.expiry = None
        self._refuse_expired(zone, queue)
        oldest_s = queue.oldest_s()
        if oldest_s is not None:
            loop = asyncio.get_running_loop()
            queue.expiry = loop.call_at(oldest_s + self._wait_s_max, self._expire, zone, queue)

    def _refuse_expired(self, zone: str, queue: ZoneQueue) -> None:
        latest_s = asyncio.get_running_loop().time() - self._wait_s_max
        oldest_s = queue.oldest_s()
        if oldest_s is not None and oldest_s <= latest_s:
            queue.refuse_before(latest_s, zone)

    async def _commit(self, zone: str, batch: list[PendingCall]) -> None:
        """One call. Whatever fails, all callers are answered and the queue is drained further."""
        operations = [operation for pending in batch for operation in pending.operations]
        waited_s = asyncio.get_running_loop().time() - batch[0].arrived_s
        try:
            self._on_batch(len(operations))
            _distribute(await self._send(zone, operations, waited_s), batch)
        except BaseException as exc:
            _fail(batch, exc)
            if not isinstance(exc, Exception):
                raise
            if not isinstance(exc, AdmissionError):
                log.exception("ledger %s: a call of %d operations failed", zone, len(operations))


def _make_overloaded(zone: str) -> Overloaded:
    return Overloaded(f"zone {zone} is overloaded: this request was not carried out")


def _distribute(results: list[Any], batch: list[PendingCall]) -> None:
    at = 0
    for pending in batch:
        n = len(pending.operations)
        if not pending.future.done():
            pending.future.set_result(results[at] if pending.is_single else results[at : at + n])
        at += n


def _fail(batch: list[PendingCall], exc: BaseException) -> None:
    # A cancelled drain must not look like a cancelled caller.
    fault = exc if isinstance(exc, Exception) else Unavailable("shutting down")
    for pending in batch:
        if not pending.future.done():
            pending.future.set_exception(fault)
