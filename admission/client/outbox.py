"""Reports on their way: those of one reservation in order, and nobody waits who does not want to.

A service that cannot be reached must never hold up a call, so a report is only handed over here.
It is repeated until it is answered or its time is up; then the ledger heals by itself.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from admission.client.answers import Reported, reported_of
from admission.client.transport import Call, Reply, Transport
from admission.client.zone_clock import Stopwatch
from admission.errors import AdmissionError, NotFound

log = logging.getLogger(__name__)

REPORTS_MAX: Final = 10_000
# Ended reservations answer repeats for `retention_ms`, by default 120 s: later a report is moot.
PATIENCE_S: Final = 120.0
TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report.

    Args:
        id: of the reservation.
        verb: launched or end.
        told: hears what the service said to it.
        until: of the stopwatch; then its time is up.
        after: it is not sent before this is set.
    """

    id: str
    verb: str
    body: dict[str, Any]
    told: Callable[[Reported], None]
    until: float
    after: asyncio.Event | None


class Outbox:
    """Sends reports in the background.

    Args:
        transport: to the service.
        stopwatch: monotonic seconds.
        on_reply: told every answer, and of which reservation it is.
    """

    def __init__(
        self, transport: Transport, stopwatch: Stopwatch, on_reply: Callable[[str, Reply], None]
    ) -> None:
        self._transport = transport
        self._stopwatch = stopwatch
        self._on_reply = on_reply
        self._lanes: dict[str, deque[Report]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._waiting = 0

    def put(
        self,
        id: str,
        verb: str,
        body: dict[str, Any],
        told: Callable[[Reported], None],
        after: asyncio.Event | None = None,
    ) -> None:
        """Send it as soon as those before it of its reservation are through, and `after` is set."""
        if self._waiting >= REPORTS_MAX:
            log.warning("%s of %s is given up: %d reports wait", verb, id, self._waiting)
            return
        self._waiting += 1
        until = self._stopwatch() + PATIENCE_S
        report = Report(id=id, verb=verb, body=body, told=told, until=until, after=after)
        self._lanes.setdefault(id, deque()).append(report)
        if id not in self._workers:
            self._workers[id] = asyncio.create_task(self._work(id), name=f"reports of {id}")

    async def settled(self, id: str, timeout_s: float | None) -> bool:
        """Wait until all reports of a reservation are through. False: the time was up first."""
        worker = self._workers.get(id)
        if worker is None:
            return True
        await asyncio.wait({worker}, timeout=timeout_s)
        return worker.done()

    async def close(self, timeout_s: float) -> None:
        """Wait so long for what is under way; then give it up."""
        if self._workers:
            await asyncio.wait(set(self._workers.values()), timeout=timeout_s)
        for id, worker in list(self._workers.items()):
            log.warning("the reports of %s are given up: the client closes", id)
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    async def _work(self, id: str) -> None:
        lane = self._lanes[id]
        try:
            while lane:
                await self._send(lane[0])
                lane.popleft()
                self._waiting -= 1
        finally:
            self._waiting -= len(lane)
            del self._lanes[id], self._workers[id]

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
            answer = reported_of(reply.body)
        except NotFound:
            # For an end that means: done, forget it. For a launched: it was never of that service.
            report.told(Reported(id=report.id, state=None))
        except AdmissionError as fault:
            log.warning("%s of %s is lost: %s", report.verb, report.id, fault)
        else:
            self._on_reply(report.id, reply)
            report.told(answer)
