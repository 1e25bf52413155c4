"""Admission requests that stay open until there is room: `wait_ms`.

Theory of operation. The ledger decides which request is next: a denied request that waits has an
entry in the ledger's queue, one queue for each campaign and set of pools (a *group*), over all
replicas (lua/commands/wait.lua). This process keeps the clients' requests open, in one queue for
each group (queue.py), calls `admit` again for the first entry of a queue (retrier.py), and for the
next one when that entry was granted. It calls again when

* the script published `room ZONE`: there may be room for a waiter (after a lost connection:
  perhaps);
* the time has come that a denial named: a rate, a pause of a breaker, an end of contention;
* an entry before it left the queue of this process: its time was up, or its client hung up;
* a few seconds passed, for a few queues at each heartbeat, in case a notification was lost.

Callers share the places: one caller may keep at most SHARE times as many requests open as there are
places free. So a caller alone gets SHARE / (SHARE + 1) of all places, several greedy ones get equal
parts, and a caller that keeps none open always finds one (the dynamic threshold of Choudhury and
Hahne, IEEE/ACM Transactions on Networking 6, 1998). The ledger shares its places in the same way
over all replicas (lua/state/wait_queue.lua).

A zone with waiters has one heartbeat a second: without it the ledger soon passes over their
entries. All calls that one notification causes go to the ledger in one script call.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final

from admission.domain import Answer
from admission.errors import AdmissionError
from admission.service.waiting.queue import QueueEntry, Waiter, WaitQueues
from admission.service.waiting.retrier import AdmissionLedger, Operation, Retrier

log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 1.0
RETRIES_PER_HEARTBEAT: Final = 20  # queues of a zone that are tried in turn, without a notification
SHARE: Final = 4

_ALL_ZONES: Final = ""  # no zone has this name


class WaitCoordinator:
    """Keeps admission requests open that may wait.

    Example:
        waiting = WaitCoordinator(ledger, replica="host:1", limit=2000)
        answer = await waiting.admit("East", operation, wait_ms=10_000)

    Args:
        ledger: decides.
        replica: name of this process, unique among all replicas.
        limit: requests that may be kept open at once; others are answered as if they did not wait.
        heartbeat_s: seconds between heartbeats of a zone that has waiters.
    """

    def __init__(
        self,
        ledger: AdmissionLedger,
        *,
        replica: str,
        limit: int,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._ledger = ledger
        self._replica = replica
        self._limit = limit
        self._heartbeat_s = heartbeat_s
        self._queues = WaitQueues()
        self._retrier = Retrier(ledger, self._queues, replica=replica, spawn=self._spawn)
        self._heartbeats: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open_of: Counter[str] = Counter()
        self._notifications: Counter[str] = Counter()
        self._is_stopped = False

    @property
    def open(self) -> int:
        """Requests that are kept open now."""
        return self._open_of.total()

    async def admit(
        self, zone: str, operation: Operation, wait_ms: int, caller: str = ""
    ) -> Answer:
        """Decide an admission request that may wait for room.

        A caller that cancels this calls `withdraw` afterwards: the request may have been granted.

        Args:
            operation: the ledger's `admit`.
            wait_ms: how long the answer may take.
            caller: who asks: a token or an address.
        """
        if wait_ms and self._may_wait(operation, caller):
            return await self._admit_open(zone, operation, wait_ms, caller)
        return await self._ledger.admit(zone, operation)

    def _may_wait(self, operation: Operation, caller: str) -> bool:
        free = self._limit - self.open
        has_place = self._open_of[caller] < SHARE * free
        return has_place and not (self._is_stopped or operation.get("dry_run"))

    def withdraw(self, zone: str, operation: Operation) -> None:
        """Take back in the background what that `admit` was granted: no client receives it."""
        self._spawn(self._withdraw(zone, operation), f"withdraw {zone}")

    def on_notification(self, text: str) -> None:
        """Handle `room ZONE [MS ...]`; each number is a delay after which to call again."""
        verb, zone, *delays = text.split(" ")
        if verb != "room":
            return
        loop = asyncio.get_running_loop()
        for ms in map(int, delays or ["0"]):
            if ms:
                loop.call_later(ms / 1000, self._notify, zone)
            else:
                self._notify(zone)

    def on_notifications_lost(self) -> None:
        """Call again for all queues: notifications may have been lost."""
        self._notifications[_ALL_ZONES] += 1
        for zone in self._queues.list_zones():
            self._notify(zone)

    async def stop(self) -> None:
        """Answer every request with its last denial; from now on none waits."""
        self._is_stopped = True
        for entry in self._queues.iterate_entries():
            for waiter in entry.waiters:
                waiter.resolve(entry.denial)
                self.withdraw(entry.queue.zone, waiter.operation)
            self._queues.drop(entry)
        for heartbeat in self._heartbeats.values():
            heartbeat.cancel()
        while self._tasks:  # wait() yields even where all are done; gather() does not
            await asyncio.wait(self._tasks)

    async def _admit_open(
        self, zone: str, operation: Operation, wait_ms: int, caller: str
    ) -> Answer:
        self._open_of[caller] += 1
        try:
            named = {"caller": caller} if caller else {}
            return await self._wait(zone, operation | named, wait_ms)
        except AdmissionError:
            self.withdraw(zone, operation)  # the lost reply may have been that it has an entry
            raise
        finally:
            self._open_of[caller] -= 1
            if not self._open_of[caller]:
                del self._open_of[caller]

    async def _wait(self, zone: str, operation: Operation, wait_ms: int) -> Answer:
        until = asyncio.get_running_loop().time() + wait_ms / 1000
        notifications = self._count_notifications(zone)
        waits = {"replica": self._replica, "waits": wait_ms}
        answer = await self._ledger.admit(zone, operation | waits)
        waiting = answer.pop("waiting", None)
        if waiting is None:
            return answer
        if self._is_stopped:
            self.withdraw(zone, operation)
            return answer
        waiter = Waiter(operation | {"seen": answer["now"]}, until)
        entry = self._queues.join(zone, waiting["group"], waiter, answer)
        self._retrier.schedule(entry.queue, waiting)
        self._start_heartbeat(zone)
        if notifications != self._count_notifications(zone):
            self._retrier.notify(entry.queue)  # a notification may have overtaken the answer
        return await self._await_answer(entry, waiter)

    async def _await_answer(self, entry: QueueEntry, waiter: Waiter) -> Answer:
        try:
            async with asyncio.timeout_at(waiter.until):
                return await waiter.answer
        except TimeoutError:
            self._queues.leave(entry, waiter)
            return await self._try_last(entry, waiter)
        finally:
            self._queues.leave(entry, waiter)

    async def _try_last(self, entry: QueueEntry, waiter: Waiter) -> Answer:
        """Call `admit` at the end of the wait. It gives the entry up, unless a repeat waits."""
        zone, operation = entry.queue.zone, waiter.operation
        if not self._queues.contains(zone, operation):
            operation = operation | {"replica": self._replica, "waits": 0}
        answer = await self._ledger.admit(zone, operation)
        self._retrier.notify(entry.queue)
        return answer

    def _count_notifications(self, zone: str) -> int:
        return self._notifications[zone] + self._notifications[_ALL_ZONES]

    def _notify(self, zone: str) -> None:
        self._notifications[zone] += 1
        for queue in self._queues.list_queues(zone):
            self._retrier.notify(queue)

    async def _withdraw(self, zone: str, operation: Operation) -> None:
        fields = {name: operation[name] for name in ("campaign", "request_id", "id")}
        if not self._queues.contains(zone, operation):
            fields["replica"] = self._replica
        try:
            group = await self._ledger.withdraw(zone, fields)
        except AdmissionError as fault:
            # As after a crash of this process: deadlines and the next snapshots free the ports.
            log.info("zone %s: not withdrawn: %s", zone, fault.detail)
            return
        queue = self._queues.find(zone, group)
        if queue:
            self._retrier.notify(queue)

    def _start_heartbeat(self, zone: str) -> None:
        if zone not in self._heartbeats:
            self._heartbeats[zone] = self._spawn(self._send_heartbeats(zone), f"heartbeat {zone}")

    async def _send_heartbeats(self, zone: str) -> None:
        try:
            while True:
                await asyncio.sleep(self._heartbeat_s)
                if not self._queues.list_queues(zone):
                    return
                for queue in self._queues.rotate(zone, RETRIES_PER_HEARTBEAT):
                    self._retrier.notify(queue)
                with contextlib.suppress(AdmissionError):
                    await self._ledger.send_heartbeat(zone, self._replica)
        finally:
            del self._heartbeats[zone]

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
