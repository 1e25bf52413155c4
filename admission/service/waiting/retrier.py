"""Asking again for those who wait: one ask at a time for each line, for the first in it.

A ring during an ask is not lost: the answer under way may have been decided before it, so one more
follows. A grant lets the next one of the line ask at once, because there may be room for both.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from admission.domain.types import Answer
from admission.errors import AdmissionError, Unavailable
from admission.service.waiting.queue import GroupQueue, QueueEntry, Waiter, WaitQueues

Op = dict[str, Any]
Spawn = Callable[[Coroutine[Any, Any, None], str], object]


class AdmissionLedger(Protocol):
    """What waiting needs of the ledger (`admission.ledger.ledger.Ledger`)."""

    async def admit(self, zone: str, op: Op) -> Answer:
        """Decide; a deny that has a place in the queue comes with `waiting`."""
        ...

    async def withdraw(self, zone: str, op: Op) -> str | None:
        """Leave nothing of an ask whose answer nobody waits for."""
        ...

    async def send_heartbeat(self, zone: str, replica: str) -> None:
        """This replica lives."""
        ...


class Retrier:
    """Asks for the first of each line when told to.

    Args:
        ledger: who decides.
        lines: who waits here.
        replica: this process, by a name that no other has.
        spawn: starts work by a name; its owner ends it.
    """

    def __init__(
        self, ledger: AdmissionLedger, lines: WaitQueues, *, replica: str, spawn: Spawn
    ) -> None:
        self._ledger = ledger
        self._lines = lines
        self._replica = replica
        self._spawn = spawn

    def ring(self, line: GroupQueue) -> None:
        """Something may have got better for the first of a line."""
        if line.asking:
            line.again = True  # what is under way may have been decided before the ring
        elif line.places:
            line.asking = True
            self._spawn(self._ask(line), f"wait {line.zone}")

    def note(self, line: GroupQueue, waiting: dict[str, Any]) -> None:
        """What the ledger said of the place of a line's first: when time alone may end its wait."""
        line.cancel_timer()
        if again_ms := waiting.get("again_ms"):
            loop = asyncio.get_running_loop()
            line.timer = loop.call_later(again_ms / 1000, self.ring, line)

    async def _ask(self, line: GroupQueue) -> None:
        """Ask for the first of the line, and for the next ones as long as that gets anywhere."""
        try:
            go_on = True
            while line.places and (go_on or line.again):
                line.again = False
                go_on = await self._try(line.first())
        finally:
            line.asking = False

    async def _try(self, place: QueueEntry) -> bool:
        """Ask for one place; whether it is off the line now."""
        waiter, zone = place.waiters[0], place.line.zone
        op = waiter.op | {"replica": self._replica, "waits": place.left_ms()}
        try:
            answer = await self._ledger.admit(zone, op)
        except Unavailable:
            return False  # an outage may pass; the last try of each tells if it did not
        except AdmissionError as fault:
            return self._fail(place, fault)
        waiting = answer.pop("waiting", None)
        if waiting is not None:
            place.deny = answer
            self.note(place.line, waiting)
            return False
        if self._is_taken_back(place, waiter, answer):
            place.line.again = True
            return False
        self._give(place, waiter, answer)
        return True

    def _is_taken_back(self, place: QueueEntry, waiter: Waiter, answer: Answer) -> bool:
        """The grant is for one that went meanwhile, and withdraws it; repeats of it still wait."""
        if answer["decision"] == "deny" or not waiter.answer.done():
            return False
        self._lines.leave(place, waiter)
        return bool(place.waiters)

    def _give(self, place: QueueEntry, waiter: Waiter, answer: Answer) -> None:
        """Answer everybody of a place. A repeat gets the same grant, by its own time."""
        self._lines.drop(place)
        for one in place.waiters:
            if one is waiter or answer["decision"] == "deny":
                one.give(answer)
            else:
                self._spawn(self._repeat(place.line.zone, one), "repeat")

    async def _repeat(self, zone: str, waiter: Waiter) -> None:
        try:
            waiter.give(await self._ledger.admit(zone, waiter.op))
        except AdmissionError as fault:
            waiter.fail(fault)

    def _fail(self, place: QueueEntry, fault: AdmissionError) -> bool:
        """Policy changed meanwhile: what was asked is no longer there."""
        self._lines.drop(place)
        for waiter in place.waiters:
            waiter.fail(fault)  # each withdraws itself
        return True
