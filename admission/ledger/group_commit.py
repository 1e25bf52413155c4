"""Group commit: operations of one zone that arrive during a script call share the next one.

One caller pays the round trip alone and at once: no timer, no added latency when idle. Under load
the script takes many operations in one call, in their order of arrival. Zones do not wait for each
other.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from admission.errors import AdmissionError, Unavailable

log = logging.getLogger(__name__)

UNITS_MAX: Final = 1000  # reservations and reports that one script call may touch
HALF_FROM: Final = 16  # so many entries that find a lane idle go in two calls
QUEUE_MAX: Final = 20_000  # operations that wait for one zone

Operation = dict[str, Any]
Taker = tuple[asyncio.Future[Any], int | None]  # how many results it takes; None: one, by itself
Part = tuple[list[Operation], int]
Send = Callable[[str, list[Operation]], Awaitable[list[Any]]]


class _Lane:
    """What waits for one zone, and whether a call is under way.

    `since`: when the first of those who wait came; `oldest`: of those in the call (loop time).
    """

    __slots__ = ("busy", "oldest", "since", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[list[Operation], int, Taker]] = deque()
        self.busy = False
        self.since = self.oldest = 0.0

    def left_at_first(self) -> int:
        """Entries that stay for the second call when many come at once to an idle lane: half.

        From then on Redis works on one half while this process reads and answers the other. Else
        they would take turns: all requests are read, all wait, all are answered, and of two
        processors one is always idle.
        """
        n = len(self.waiting)
        return n // 2 if n >= HALF_FROM else 0

    def next_batch(self, left: int = 0) -> tuple[list[Operation], list[Taker]]:
        """Operations up to UNITS_MAX, without those whose caller has gone.

        Args:
            left: entries that stay for the call after this one.
        """
        ops: list[Operation] = []
        takers: list[Taker] = []
        units = 0
        while len(self.waiting) > left and (not ops or units + self.waiting[0][1] <= UNITS_MAX):
            more, size, taker = self.waiting.popleft()
            if taker[0].done():
                continue
            ops += more
            takers.append(taker)
            units += size
        return ops, takers


class GroupCommit:
    """Sends operations to a zone's script, many in one call.

    Args:
        send: applies a list of operations to a zone and gives one result for each, in order.
        on_batch: told the number of operations of each call, for metrics.
    """

    def __init__(self, send: Send, on_batch: Callable[[int], None] = lambda size: None) -> None:
        self._send = send
        self._on_batch = on_batch
        self._lanes: dict[str, _Lane] = {}
        self._running: set[asyncio.Task[None]] = set()

    def submit(self, zone: str, op: Operation, units: int = 1) -> asyncio.Future[Any]:
        """Queue an operation; the future gets its result, or the exception of its call.

        Cancelling the future before the call drops the operation; after that it takes place.

        Args:
            units: reservations that it may touch.

        Raises:
            Unavailable: too many operations wait for that zone.
        """
        return self._queue(zone, [op], units, None)

    async def submit_parts(self, zone: str, parts: Iterable[Part]) -> list[Any]:
        """Queue operations of which each part goes together.

        Args:
            parts: operations, and reservations that they may touch, at most UNITS_MAX.

        Returns:
            The results of all, in order. Where the call of a part failed, its fault stands in the
            place of each of its operations: what others were granted is not lost with it.
        """
        parts = list(parts)
        sent = [self._queue_part(zone, ops, units) for ops, units in parts]
        results: list[Any] = []
        found = await asyncio.gather(*sent, return_exceptions=True)
        for (ops, _), one in zip(parts, found, strict=True):
            results += [one] * len(ops) if isinstance(one, BaseException) else one
        return results

    def _queue_part(self, zone: str, ops: list[Operation], units: int) -> asyncio.Future[list[Any]]:
        try:
            return self._queue(zone, ops, units, len(ops))
        except Unavailable as fault:
            refused: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
            refused.set_exception(fault)
            return refused

    def _queue(
        self, zone: str, ops: list[Operation], units: int, taken: int | None
    ) -> asyncio.Future[Any]:
        lane = self._lanes.get(zone)
        if lane is None:
            lane = self._lanes[zone] = _Lane()
        if len(lane.waiting) >= QUEUE_MAX:
            raise Unavailable(f"too many requests wait for zone {zone}")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not lane.waiting:
            lane.since = loop.time()
        lane.waiting.append((ops, units, (future, taken)))
        if not lane.busy:
            lane.busy = True
            task = asyncio.create_task(self._drain(zone, lane), name=f"ledger {zone}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return future

    def waited_s(self, zone: str) -> float:
        """How long the first operation of the zone's present call has waited, by now."""
        return asyncio.get_running_loop().time() - self._lanes[zone].oldest

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _drain(self, zone: str, lane: _Lane) -> None:
        left = lane.left_at_first()
        try:
            while lane.waiting:
                lane.oldest = lane.since
                ops, takers = lane.next_batch(left)
                left = 0
                if ops:
                    await self._commit(zone, ops, takers)
        finally:
            lane.busy = False

    async def _commit(self, zone: str, ops: list[Operation], takers: list[Taker]) -> None:
        """One call. Whatever goes wrong, all takers are answered and the lane goes on."""
        try:
            self._on_batch(len(ops))
            self._hand_out(await self._send(zone, ops), takers)
        except BaseException as exc:
            self._fail(takers, exc)
            if not isinstance(exc, Exception):
                raise
            if not isinstance(exc, AdmissionError):
                log.exception("ledger %s: a call of %d operations failed", zone, len(ops))

    @staticmethod
    def _hand_out(results: list[Any], takers: list[Taker]) -> None:
        at = 0
        for future, taken in takers:
            n = 1 if taken is None else taken
            if not future.done():
                future.set_result(results[at] if taken is None else results[at : at + n])
            at += n

    @staticmethod
    def _fail(takers: list[Taker], exc: BaseException) -> None:
        # A cancelled drain must not look like a cancelled caller.
        told = exc if isinstance(exc, Exception) else Unavailable("shutting down")
        for future, _ in takers:
            if not future.done():
                future.set_exception(told)
