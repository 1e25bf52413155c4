"""Reports on their way: those of one reservation in order, in the background.

A service that cannot be reached must not delay a call, so the caller only hands a report over. The
outbox repeats it until the service answers or the time is up; then the reservation expires.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from admission.client.answers import Reported, read_report
from admission.client.transport import Call, Reply, Transport
from admission.client.zone_clock import Stopwatch
from admission.errors import AdmissionError, NotFound

log = logging.getLogger(__name__)

REPORTS_MAX: Final = 10_000
# Ended reservations answer repeats for `retention_ms`, 120 s by default. Later ones are futile.
PATIENCE_S: Final = 120.0
TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report.

    Args:
        id: of the reservation.
        verb: `launched` or `end`.
        on_answer: called with the answer of the service.
        until: of the stopwatch, in seconds; then the report is dropped.
        after: the report is sent when this event is set; None: at once.

    Example:
        `Report(id=id, verb="end", body={}, on_answer=print, until=120.0, after=None)`
    """

    id: str
    verb: str
    body: dict[str, Any]
    on_answer: Callable[[Reported], None]
    until: float
    after: asyncio.Event | None


class Outbox:
    """Sends reports in the background.

    Args:
        transport: to the service.
        stopwatch: monotonic seconds.
        on_reply: called with the id of the reservation and the answer.

    Example:
        `outbox.put("East~x7Yk2mPq0aZ", "end", {"outcome": "completed"}, print)`
    """

    def __init__(
        self, transport: Transport, stopwatch: Stopwatch, on_reply: Callable[[str, Reply], None]
    ) -> None:
        self._transport = transport
        self._stopwatch = stopwatch
        self._on_reply = on_reply
        self._queues: dict[str, deque[Report]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._waiting = 0

    def put(
        self,
        id: str,
        verb: str,
        body: dict[str, Any],
        on_answer: Callable[[Reported], None],
        after: asyncio.Event | None = None,
    ) -> None:
        """Send a report after the earlier reports of the reservation, when `after` is set."""
        if self._waiting >= REPORTS_MAX:
            log.warning("%s of %s is dropped: %d reports are waiting", verb, id, self._waiting)
            return
        self._waiting += 1
        until = self._stopwatch() + PATIENCE_S
        report = Report(id=id, verb=verb, body=body, on_answer=on_answer, until=until, after=after)
        self._queues.setdefault(id, deque()).append(report)
        if id not in self._workers:
            self._workers[id] = asyncio.create_task(self._send_all(id), name=f"reports of {id}")

    async def settled(self, id: str, timeout_s: float | None) -> bool:
        """Wait until all reports of a reservation are answered. Returns False after a time-out."""
        worker = self._workers.get(id)
        if worker is None:
            return True
        await asyncio.wait({worker}, timeout=timeout_s)
        return worker.done()

    async def close(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for reports on their way; then drop them."""
        if self._workers:
            await asyncio.wait(set(self._workers.values()), timeout=timeout_s)
        for id, worker in list(self._workers.items()):
            log.warning("the client closes: the reports of %s are dropped", id)
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    async def _send_all(self, id: str) -> None:
        queue = self._queues[id]
        try:
            while queue:
                await self._send(queue[0])
                queue.popleft()
                self._waiting -= 1
        finally:
            self._waiting -= len(queue)
            del self._queues[id], self._workers[id]

    async def _send(self, report: Report) -> None:
        if report.after:
            await report.after.wait()
        call = Call(
            method="POST",
            path=f"/v1/reservations/{report.id}/{report.verb}",
            timeout_s=TIMEOUT_S,
            patience_s=max(0.0, report.until - self._stopwatch()),
            body=report.body,
        )
        try:
            reply = await self._transport.call(call)
            answer = read_report(reply.body)
        except NotFound:
            # The reservation has ended long ago, or the service never had it: nothing to do.
            report.on_answer(Reported(id=report.id, state=None))
        except AdmissionError as fault:
            log.warning("%s of %s is not delivered: %s", report.verb, report.id, fault)
        else:
            self._on_reply(report.id, reply)
            report.on_answer(answer)
