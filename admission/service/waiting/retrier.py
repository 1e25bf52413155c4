"""Repeated `admit` calls for requests that wait: one at a time for each queue, for its first entry.

A notification during a call is not lost: the reply under way may have been decided before it, so
one more call follows. After a grant the next entry is tried at once, because there may be room for
both.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from admission.domain import Answer
from admission.errors import AdmissionError, Unavailable
from admission.service.waiting.queue import GroupQueue, QueueEntry, Waiter, WaitQueues

Operation = dict[str, Any]
Spawn = Callable[[Coroutine[Any, Any, None], str], object]


class AdmissionLedger(Protocol):
    """The methods of the ledger that waiting uses (`admission.ledger.ledger.Ledger`)."""

    async def admit(self, zone: str, operation: Operation) -> Answer:
        """Decide; a denial that has an entry in the queue comes with `waiting`."""
        ...

    async def withdraw(self, zone: str, operation: Operation) -> str | None:
        """Take back whatever an `admit` was granted."""
        ...

    async def send_heartbeat(self, zone: str, replica: str) -> None:
        """Keep the queue entries of this replica alive."""
        ...


class Retrier:
    """Calls `admit` for the first entry of a queue after each notification.

    Args:
        ledger: decides.
        queues: the requests that wait here.
        replica: name of this process, unique among all replicas.
        spawn: starts a task under a name; its owner ends it.
    """

    def __init__(
        self, ledger: AdmissionLedger, queues: WaitQueues, *, replica: str, spawn: Spawn
    ) -> None:
        self._ledger = ledger
        self._queues = queues
        self._replica = replica
        self._spawn = spawn

    def notify(self, queue: GroupQueue) -> None:
        """Try the first entry of a queue: there may be room for it now."""
        if queue.is_asking:
            queue.ask_again = True  # the call under way may have been decided before
        elif queue.entries:
            queue.is_asking = True
            self._spawn(self._retry(queue), f"wait {queue.zone}")

    def schedule(self, queue: GroupQueue, waiting: dict[str, Any]) -> None:
        """Try again after `again_ms` of a denial, when time alone may end the wait."""
        queue.cancel_timer()
        if again_ms := waiting.get("again_ms"):
            loop = asyncio.get_running_loop()
            queue.timer = loop.call_later(again_ms / 1000, self.notify, queue)

    async def _retry(self, queue: GroupQueue) -> None:
        """Try the first entry, and the next ones as long as entries leave the queue."""
        try:
            go_on = True
            while queue.entries and (go_on or queue.ask_again):
                queue.ask_again = False
                go_on = await self._try(queue.first())
        finally:
            queue.is_asking = False

    async def _try(self, entry: QueueEntry) -> bool:
        """Call `admit` for one entry. Returns: whether it left the queue."""
        waiter, zone = entry.waiters[0], entry.queue.zone
        operation = waiter.operation | {"replica": self._replica, "waits": entry.left_ms()}
        try:
            answer = await self._ledger.admit(zone, operation)
        except Unavailable:
            return False  # an outage may pass; if not, the last try of each request reports it
        except AdmissionError as fault:
            return self._reject(entry, fault)
        waiting = answer.pop("waiting", None)
        if waiting is not None:
            entry.denial = answer
            self.schedule(entry.queue, waiting)
            return False
        if self._is_withdrawn(entry, waiter, answer):
            entry.queue.ask_again = True
            return False
        self._resolve(entry, waiter, answer)
        return True

    def _is_withdrawn(self, entry: QueueEntry, waiter: Waiter, answer: Answer) -> bool:
        """Whether the grant is for a client that hung up meanwhile, while its repeats still wait.

        The HTTP side withdraws such a grant.
        """
        if answer["decision"] == "deny" or not waiter.answer.done():
            return False
        self._queues.leave(entry, waiter)
        return bool(entry.waiters)

    def _resolve(self, entry: QueueEntry, waiter: Waiter, answer: Answer) -> None:
        """Answer all waiters of an entry. A repeat fetches the same grant by a call of its own."""
        self._queues.drop(entry)
        for one in entry.waiters:
            if one is waiter or answer["decision"] == "deny":
                one.resolve(answer)
            else:
                self._spawn(self._repeat(entry.queue.zone, one), "repeat")

    async def _repeat(self, zone: str, waiter: Waiter) -> None:
        try:
            waiter.resolve(await self._ledger.admit(zone, waiter.operation))
        except AdmissionError as fault:
            waiter.reject(fault)

    def _reject(self, entry: QueueEntry, fault: AdmissionError) -> bool:
        """Fail all waiters: a change of policy removed what they asked for."""
        self._queues.drop(entry)
        for waiter in entry.waiters:
            waiter.reject(fault)  # the coordinator withdraws each
        return True
