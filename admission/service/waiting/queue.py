"""Who waits in this process: zones -> lines -> places -> waiters. Plain bookkeeping."""

import asyncio
import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

from admission.domain.types import Answer


class Waiter:
    """One request that is kept open.

    Args:
        op: its ask, with `seen`.
        until: the loop's time at which it has waited long enough.
    """

    __slots__ = ("answer", "op", "until")

    def __init__(self, op: dict[str, Any], until: float) -> None:
        self.op = op
        self.until = until
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def give(self, answer: Answer) -> None:
        """Answer it, if it still listens."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, fault: Exception) -> None:
        """Refuse it, if it still listens."""
        if not self.answer.done():
            self.answer.set_exception(fault)


class QueueEntry:
    """One place in the ledger's queue: a request, and its repeats that came while it waits.

    Args:
        deny: why it waits, as last told.
    """

    __slots__ = ("deny", "key", "line", "waiters")

    def __init__(self, line: "GroupQueue", key: str, deny: Answer) -> None:
        self.line = line
        self.key = key
        self.deny = deny
        self.waiters: list[Waiter] = []

    def left_ms(self) -> int:
        """How long somebody here will still wait."""
        now = asyncio.get_running_loop().time()
        return max(1, math.ceil(1000 * (max(one.until for one in self.waiters) - now)))


class GroupQueue:
    """The places of one group, first come first."""

    __slots__ = ("again", "asking", "group", "places", "timer", "zone")

    def __init__(self, zone: str, group: str) -> None:
        self.zone = zone
        self.group = group
        self.places: dict[str, QueueEntry] = {}
        self.asking = False
        self.again = False
        self.timer: asyncio.TimerHandle | None = None

    def first(self) -> QueueEntry:
        """The place that came first."""
        return next(iter(self.places.values()))

    def cancel_timer(self) -> None:
        """Do not ask again by time."""
        if self.timer:
            self.timer.cancel()
            self.timer = None


class WaitQueues:
    """All lines. A line lives while it has places, a place while it has waiters."""

    def __init__(self) -> None:
        self._zones: dict[str, dict[str, GroupQueue]] = {}
        self._places: dict[tuple[str, str], QueueEntry] = {}

    def zones(self) -> list[str]:
        """Zones that have waiters."""
        return list(self._zones)

    def of(self, zone: str) -> list[GroupQueue]:
        """The lines of a zone."""
        return list(self._zones.get(zone, {}).values())

    def next_of(self, zone: str, n: int) -> list[GroupQueue]:
        """The lines whose turn it is: n at a time, all of them in turn."""
        lines = self._zones.get(zone, {})
        chosen = list(islice(lines.values(), n))
        for line in chosen:
            lines[line.group] = lines.pop(line.group)
        return chosen

    def find(self, zone: str, group: str | None) -> GroupQueue | None:
        """The line of a group, if somebody waits there."""
        return self._zones.get(zone, {}).get(group or "")

    def has(self, zone: str, op: dict[str, Any]) -> bool:
        """Does a request with that key wait here?"""
        return (zone, _key(op)) in self._places

    def places(self) -> Iterator[QueueEntry]:
        """All places; they may be dropped meanwhile."""
        return iter(list(self._places.values()))

    def join(self, zone: str, group: str, waiter: Waiter, deny: Answer) -> QueueEntry:
        """A place at the end of its line; a repeat shares the place of its first."""
        key = _key(waiter.op)
        place = self._places.get((zone, key))
        if place is None:
            line = self._zones.setdefault(zone, {}).setdefault(group, GroupQueue(zone, group))
            place = line.places[key] = self._places[zone, key] = QueueEntry(line, key, deny)
        place.waiters.append(waiter)
        return place

    def leave(self, place: QueueEntry, waiter: Waiter) -> None:
        """It waits no more. Safe to call again."""
        if waiter in place.waiters:
            place.waiters.remove(waiter)
        if not place.waiters:
            self.drop(place)

    def drop(self, place: QueueEntry) -> None:
        """The place is no more, whoever was there. Safe to call again."""
        line, zone = place.line, place.line.zone
        if self._places.get((zone, place.key)) is not place:
            return
        del self._places[zone, place.key], line.places[place.key]
        if not line.places:
            line.cancel_timer()
            del self._zones[zone][line.group]
            if not self._zones[zone]:
                del self._zones[zone]


def _key(op: dict[str, Any]) -> str:
    return f"{op['campaign']}/{op['request_id']}"
