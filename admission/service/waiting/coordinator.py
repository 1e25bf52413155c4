"""Asks that stay open until there is room: `wait_ms`.

Theory of operation. The ledger decides who is next: a denied ask that waits has a place in its
queue, one queue for each campaign and pool set (a *group*), over all replicas
(lua/commands/wait.lua). This side keeps the clients' requests open, in one *line* for each group
(queue.py), and asks again for the first of a line (retrier.py), and for the next one when that one
was granted. It asks when

* the bell rings `room ZONE`: somewhere something got better for waiters (after a lost connection:
  perhaps);
* the time has come that the ledger named: a rate, a pause of a breaker, an end of hunger;
* a place before it was given up here: its time was up, or its client hung up;
* a few seconds passed, a few lines at each beat, in case that a ring was lost.

A zone with waiters has one beat a second: without it their places would block nobody after a while.
All that is asked because of one ring goes to the ledger in one call.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final

from admission.domain.types import Answer
from admission.errors import AdmissionError
from admission.service.waiting.queue import QueueEntry, Waiter, WaitQueues
from admission.service.waiting.retrier import AdmissionLedger, Op, Retrier

log = logging.getLogger(__name__)

BEAT_S: Final = 1.0
LOOKS: Final = 20  # lines of a zone that ask again at each beat, in turn, though nothing rang

_EVERYWHERE: Final = ""  # no zone is called that


class WaitCoordinator:
    """Asks the ledger, and keeps asks open that may wait.

    Args:
        ledger: who decides.
        replica: this process, by a name that no other has.
        limit: requests that may be kept open at once; more are answered as if they did not wait.
        beat_s: seconds between signs of life of a zone that has waiters.
    """

    def __init__(
        self, ledger: AdmissionLedger, *, replica: str, limit: int, beat_s: float = BEAT_S
    ) -> None:
        self._ledger = ledger
        self._replica = replica
        self._limit = limit
        self._beat_s = beat_s
        self._lines = WaitQueues()
        self._again = Retrier(ledger, self._lines, replica=replica, spawn=self._spawn)
        self._beats: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = 0
        self._rings: Counter[str] = Counter()
        self._stopped = False

    @property
    def open(self) -> int:
        """Requests that are kept open now."""
        return self._open

    async def admit(self, zone: str, op: Op, wait_ms: int) -> Answer:
        """Decide an admission request that may wait for room.

        A caller that cancels this calls `withdraw` afterwards: the request may have been granted.

        Args:
            op: the ledger's `admit`.
            wait_ms: how long the answer may take.
        """
        if wait_ms and self._may_wait(op):
            return await self._admit_open(zone, op, wait_ms)
        return await self._ledger.admit(zone, op)

    def _may_wait(self, op: Op) -> bool:
        is_full = self._stopped or self._open >= self._limit
        return not (is_full or op.get("dry_run"))

    def withdraw(self, zone: str, op: Op) -> None:
        """Nobody heard the answer to that ask: take back what it was granted, in the background."""
        self._spawn(self._withdraw(zone, op), f"withdraw {zone}")

    def hear(self, text: str) -> None:
        """What the bell rang: `room ZONE [MS ...]`, each a delay after which to ask again."""
        verb, zone, *delays = text.split(" ")
        if verb != "room":
            return
        loop = asyncio.get_running_loop()
        for ms in map(int, delays or ["0"]):
            if ms:
                loop.call_later(ms / 1000, self._ring, zone)
            else:
                self._ring(zone)

    def lost(self) -> None:
        """Rings may have been lost: everybody asks again."""
        self._rings[_EVERYWHERE] += 1
        for zone in self._lines.zones():
            self._ring(zone)

    async def stop(self) -> None:
        """Answer everybody with their last deny; from now on nobody waits."""
        self._stopped = True
        for place in self._lines.places():
            for waiter in place.waiters:
                waiter.give(place.deny)
                self.withdraw(place.line.zone, waiter.op)
            self._lines.drop(place)
        for beat in self._beats.values():
            beat.cancel()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _admit_open(self, zone: str, op: Op, wait_ms: int) -> Answer:
        self._open += 1
        try:
            return await self._wait(zone, op, wait_ms)
        except AdmissionError:
            self.withdraw(zone, op)  # a lost reply may have been that it has a place
            raise
        finally:
            self._open -= 1

    async def _wait(self, zone: str, op: Op, wait_ms: int) -> Answer:
        until = asyncio.get_running_loop().time() + wait_ms / 1000
        rings = self._heard(zone)
        waits = {"replica": self._replica, "waits": wait_ms}
        answer = await self._ledger.admit(zone, op | waits)
        waiting = answer.pop("waiting", None)
        if waiting is None:
            return answer
        if self._stopped:
            self.withdraw(zone, op)
            return answer
        waiter = Waiter(op | {"seen": answer["now"]}, until)
        place = self._lines.join(zone, waiting["group"], waiter, answer)
        self._again.note(place.line, waiting)
        self._keep_beating(zone)
        if rings != self._heard(zone):
            self._again.ring(place.line)  # a ring may have overtaken the answer
        return await self._answer(place, waiter)

    async def _answer(self, place: QueueEntry, waiter: Waiter) -> Answer:
        try:
            async with asyncio.timeout_at(waiter.until):
                return await waiter.answer
        except TimeoutError:
            self._lines.leave(place, waiter)
            return await self._last_try(place, waiter)
        finally:
            self._lines.leave(place, waiter)

    async def _last_try(self, place: QueueEntry, waiter: Waiter) -> Answer:
        """The time is up. The place is given up with it, unless a repeat still waits there."""
        zone, op = place.line.zone, waiter.op
        if not self._lines.has(zone, op):
            op = op | {"replica": self._replica, "waits": 0}
        answer = await self._ledger.admit(zone, op)
        self._again.ring(place.line)
        return answer

    def _heard(self, zone: str) -> int:
        return self._rings[zone] + self._rings[_EVERYWHERE]

    def _ring(self, zone: str) -> None:
        self._rings[zone] += 1
        for line in self._lines.of(zone):
            self._again.ring(line)

    async def _withdraw(self, zone: str, op: Op) -> None:
        told = {name: op[name] for name in ("campaign", "request_id", "id")}
        if not self._lines.has(zone, op):
            told["replica"] = self._replica
        try:
            group = await self._ledger.withdraw(zone, told)
        except AdmissionError as fault:
            # As with a process that dies: deadlines and the next snapshots make up for it.
            log.info("zone %s: not withdrawn: %s", zone, fault.detail)
            return
        line = self._lines.find(zone, group)
        if line:
            self._again.ring(line)

    def _keep_beating(self, zone: str) -> None:
        if zone not in self._beats:
            self._beats[zone] = self._spawn(self._beat(zone), f"beat {zone}")

    async def _beat(self, zone: str) -> None:
        try:
            while True:
                await asyncio.sleep(self._beat_s)
                if not self._lines.of(zone):
                    return
                for line in self._lines.next_of(zone, LOOKS):
                    self._again.ring(line)
                with contextlib.suppress(AdmissionError):
                    await self._ledger.send_heartbeat(zone, self._replica)
        finally:
            del self._beats[zone]

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
