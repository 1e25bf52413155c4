"""The admission requests that wait in this process: zones -> groups -> entries -> waiters."""

import asyncio
import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

from admission.domain import Answer


class Waiter:
    """One request that is kept open.

    Args:
        operation: its `admit`, with `seen`.
        until: when it has waited long enough, in the loop's time.
    """

    __slots__ = ("answer", "operation", "until")

    def __init__(self, operation: dict[str, Any], until: float) -> None:
        self.operation = operation
        self.until = until
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def resolve(self, answer: Answer) -> None:
        """Answer the request if it is still open."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def reject(self, fault: Exception) -> None:
        """Fail the request if it is still open."""
        if not self.answer.done():
            self.answer.set_exception(fault)


class QueueEntry:
    """One entry of the ledger's queue: a request, and the repeats that came while it waits.

    Args:
        denial: the newest, which says why it waits.
    """

    __slots__ = ("denial", "key", "queue", "waiters")

    def __init__(self, queue: "GroupQueue", key: str, denial: Answer) -> None:
        self.queue = queue
        self.key = key
        self.denial = denial
        self.waiters: list[Waiter] = []

    def left_ms(self) -> int:
        """How long the most patient of its waiters will still wait."""
        now = asyncio.get_running_loop().time()
        return max(1, math.ceil(1000 * (max(one.until for one in self.waiters) - now)))


class GroupQueue:
    """The entries of one group, in order of arrival.

    Attributes:
        is_asking: an `admit` for its first entry is under way.
        ask_again: one more follows.
    """

    __slots__ = ("ask_again", "entries", "group", "is_asking", "timer", "zone")

    def __init__(self, zone: str, group: str) -> None:
        self.zone = zone
        self.group = group
        self.entries: dict[str, QueueEntry] = {}
        self.is_asking = False
        self.ask_again = False
        self.timer: asyncio.TimerHandle | None = None

    def first(self) -> QueueEntry:
        """The entry that came first."""
        return next(iter(self.entries.values()))

    def cancel_timer(self) -> None:
        """Do not ask again by time."""
        if self.timer:
            self.timer.cancel()
            self.timer = None


class WaitQueues:
    """All queues. A queue exists while it has entries, an entry while it has waiters."""

    def __init__(self) -> None:
        self._zones: dict[str, dict[str, GroupQueue]] = {}
        self._entries: dict[tuple[str, str], QueueEntry] = {}

    def list_zones(self) -> list[str]:
        """Zones that have waiters."""
        return list(self._zones)

    def list_queues(self, zone: str) -> list[GroupQueue]:
        """The queues of a zone."""
        return list(self._zones.get(zone, {}).values())

    def rotate(self, zone: str, n: int) -> list[GroupQueue]:
        """The next n queues of a zone, all of them in turn."""
        queues = self._zones.get(zone, {})
        chosen = list(islice(queues.values(), n))
        for queue in chosen:
            queues[queue.group] = queues.pop(queue.group)
        return chosen

    def find(self, zone: str, group: str | None) -> GroupQueue | None:
        """The queue of a group, if a request waits there."""
        return self._zones.get(zone, {}).get(group or "")

    def contains(self, zone: str, operation: dict[str, Any]) -> bool:
        """Whether a request with that key waits here."""
        return (zone, _make_key(operation)) in self._entries

    def iterate_entries(self) -> Iterator[QueueEntry]:
        """All entries; they may be dropped meanwhile."""
        return iter(list(self._entries.values()))

    def join(self, zone: str, group: str, waiter: Waiter, denial: Answer) -> QueueEntry:
        """An entry at the end of its queue; a repeat shares the entry of the first request."""
        key = _make_key(waiter.operation)
        entry = self._entries.get((zone, key))
        if entry is None:
            queues = self._zones.setdefault(zone, {})
            queue = queues.setdefault(group, GroupQueue(zone, group))
            entry = queue.entries[key] = self._entries[zone, key] = QueueEntry(queue, key, denial)
        entry.waiters.append(waiter)
        return entry

    def leave(self, entry: QueueEntry, waiter: Waiter) -> None:
        """Remove a waiter. Safe to call again."""
        if waiter in entry.waiters:
            entry.waiters.remove(waiter)
        if not entry.waiters:
            self.drop(entry)

    def drop(self, entry: QueueEntry) -> None:
        """Remove an entry with all of its waiters. Safe to call again."""
        queue, zone = entry.queue, entry.queue.zone
        if self._entries.get((zone, entry.key)) is not entry:
            return
        del self._entries[zone, entry.key], queue.entries[entry.key]
        if not queue.entries:
            queue.cancel_timer()
            del self._zones[zone][queue.group]
            if not self._zones[zone]:
                del self._zones[zone]


def _make_key(operation: dict[str, Any]) -> str:
    return f"{operation['campaign']}/{operation['request_id']}"
