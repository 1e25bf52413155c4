"""Zone statuses for many clients, from one poll of the ledger for each zone.

Theory of operation. A zone with followers has one *watcher*: a task that reads the zone's status
at most four times a second and, if it changed, offers it to every follower. Fields that change
with time alone (ages, `now`) are no change. A follower's *stream* keeps of each zone only the
newest unsent event: a slow client needs no more memory and delays no other client, it receives
fewer events. After its last follower a watcher continues for a while at a lower rate, so that a
page that is opened again has its history.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from admission.domain import Answer
from admission.errors import AdmissionError, Unavailable
from admission.http.events.trends import PortHistory, RecentDecisions
from admission.http.problems import build_problem
from admission.http.responses import encode

INTERVAL_S: Final = 0.25

READINGS_PER_S_MAX: Final = 100  # of all zones together: more zones are read less often

INTERVAL_PER_READING: Final = 4  # shortest interval, in durations of the last reading

LINGER_INTERVAL_S: Final = 2.0

LINGERING_READINGS_MAX: Final = 900  # half an hour

RETRY_AFTER_S: Final = 5.0

Read = Callable[[str], Awaitable[Answer]]

_VOLATILE: Final = {"now", "longest_wait_ms", "over_ms"}


class Stream:
    """The unsent events of one client."""

    def __init__(self) -> None:
        self._unsent: dict[tuple[str, str], bytes] = {}
        self._changed = asyncio.Event()
        self.closed = False

    def offer(self, zone: str, name: str, event: bytes) -> None:
        """Queue an event; it replaces an unsent one of that name and zone."""
        self._unsent[zone, name] = event
        self._changed.set()

    def close(self) -> None:
        """End the stream: no event follows."""
        self.closed = True
        self._changed.set()

    async def next(self, timeout_s: float) -> bytes:
        """All unsent events; empty if there was none for `timeout_s`, or the stream ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        self._changed.clear()
        found = b"".join(self._unsent.values())
        self._unsent.clear()
        return found


class Feed:
    """All watchers and streams of this process.

    Args:
        read: -> a zone's status.
        clients_max: further clients are refused.
        interval_s: shortest time between two readings of a zone.
    """

    def __init__(self, read: Read, *, clients_max: int, interval_s: float = INTERVAL_S) -> None:
        self._read = read
        self._clients_max = clients_max
        self._interval_s = interval_s
        self._watchers: dict[str, _ZoneWatcher] = {}
        self._streams: set[Stream] = set()
        self._closed = False

    @property
    def clients(self) -> int:
        """Number of clients that follow a zone now."""
        return len(self._streams)

    @contextmanager
    def follow(self, zones: Sequence[str]) -> Iterator[Stream]:
        """A stream of these zones, which begins with their current status.

        Raises:
            Unavailable: there are `clients_max` clients, or the process shuts down.
        """
        if self._closed:
            raise Unavailable("Shutting down.")
        if len(self._streams) >= self._clients_max:
            raise Unavailable("Too many clients of events.", retry_after_s=RETRY_AFTER_S)
        stream = Stream()
        self._streams.add(stream)
        watchers = [self._watcher(zone) for zone in zones]
        for watcher in watchers:
            watcher.join(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            for watcher in watchers:
                watcher.followers.discard(stream)

    async def close(self) -> None:
        """End all streams and watchers."""
        self._closed = True
        for stream in self._streams:
            stream.close()
        tasks = [watcher.task for watcher in self._watchers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _watcher(self, zone: str) -> "_ZoneWatcher":
        known = self._watchers.get(zone)
        if known is None or known.task.done():
            known = self._watchers[zone] = _ZoneWatcher(zone, self._read, self._interval)
        return known

    def _interval(self) -> float:
        return max(self._interval_s, len(self._watchers) / READINGS_PER_S_MAX)


class _ZoneWatcher:
    """Polls one zone while it has followers, and for a while after the last one left."""

    def __init__(self, zone: str, read: Read, interval: Callable[[], float]) -> None:
        self.followers: set[Stream] = set()
        self._zone, self._read, self._interval = zone, read, interval
        self._decisions, self._history = RecentDecisions(), PortHistory()
        self._joined = asyncio.Event()
        self._last: Any = None
        self._event = b""
        self.task = asyncio.create_task(self._run(), name=f"watch {zone}")

    def join(self, stream: Stream) -> None:
        self.followers.add(stream)
        self._joined.set()
        if self._event:
            history = {"zone": self._zone, **self._history.summarize()}
            stream.offer(self._zone, "history", format_event("history", history))
            stream.offer(self._zone, "zone", self._event)

    async def _run(self) -> None:
        loop, lingering = asyncio.get_running_loop(), 0
        while lingering < LINGERING_READINGS_MAX:
            began = loop.time()
            await self._poll()
            took_s = loop.time() - began
            await asyncio.sleep(max(self._interval(), INTERVAL_PER_READING * took_s))
            lingering = 0 if self.followers else lingering + 1
            if lingering:
                await self._wait_for_follower()

    async def _wait_for_follower(self) -> None:
        self._joined.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_INTERVAL_S):
                await self._joined.wait()

    async def _poll(self) -> None:
        try:
            status = await self._read(self._zone)
        except Exception as fault:
            self._publish_failure(fault)
            return
        self._decisions.add(status)
        self._history.add(status)
        data = {"zone": self._zone, **status, "decisions": self._decisions.summarize()}
        self._publish("zone", without_volatile_fields(data), data)

    def _publish_failure(self, fault: Exception) -> None:
        # `build_problem` logs an unexpected error: once, not at every reading.
        state = fault.detail if isinstance(fault, AdmissionError) else repr(fault)
        if state != self._last:
            problem = build_problem(fault, f"watch {self._zone}")
            self._publish("problem", state, {"zone": self._zone, "problem": problem})

    def _publish(self, name: str, state: Any, data: Answer) -> None:
        """Offer the event to every follower, unless the state is that of the last one."""
        if state == self._last:
            return
        self._last, self._event = state, format_event(name, data)
        for stream in self.followers:
            stream.offer(self._zone, "zone", self._event)


def format_event(name: str, data: Any) -> bytes:
    """One server-sent event (WHATWG HTML, 9.2.6); compact JSON has no line breaks."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode(data))


def without_volatile_fields(value: Any) -> Any:
    """A status without the fields that change with time alone: `now`, ages, the longest wait."""
    if isinstance(value, dict):
        return {
            name: without_volatile_fields(one)
            for name, one in value.items()
            if not _is_volatile(name)
        }
    if isinstance(value, list):
        return [without_volatile_fields(one) for one in value]
    return value


def _is_volatile(name: str) -> bool:
    return name in _VOLATILE or name.endswith("age_ms")
