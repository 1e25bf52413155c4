"""Zones as they change, for many clients, from one reading of the ledger for each zone.

Theory of operation. A zone that somebody follows has one *watch*: a task that reads the zone's
status at most four times a second and, when something changed, offers it to every follower. What
only tells that time passes (ages, `now`) is no change. A follower's *stream* holds of each zone
nothing but the newest that was not sent yet: a slow client costs no memory and holds up nobody, it
sees fewer steps. After its last follower a watch goes on, slowly, for a while: so a page that is
opened again has its history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from admission.domain.types import Answer
from admission.errors import AdmissionError, Unavailable
from admission.http.events.trends import PortHistory, RecentDecisions
from admission.http.problems import problem_of
from admission.http.responses import encode

INTERVAL_S: Final = 0.25

READINGS_PER_S_MAX: Final = 100  # of all zones together: who follows a thousand sees them slower

INTERVAL_PER_READING: Final = (
    4  # a reading that takes long makes the next one wait this much longer
)

LINGER_INTERVAL_S: Final = 2.0

LINGERING_READINGS_MAX: Final = 900  # half an hour

RETRY_AFTER_S: Final = 5.0

Read = Callable[[str], Awaitable[Answer]]

_PASSING: Final = {"now", "longest_wait_ms", "over_ms"}


class Stream:
    """What one client was not sent yet."""

    def __init__(self) -> None:
        self._unsent: dict[tuple[str, str], bytes] = {}
        self._news = asyncio.Event()
        self.closed = False

    def offer(self, zone: str, name: str, event: bytes) -> None:
        """An event that replaces an unsent one of that name and zone."""
        self._unsent[zone, name] = event
        self._news.set()

    def close(self) -> None:
        """There will be nothing more."""
        self.closed = True
        self._news.set()

    async def next(self, patience_s: float) -> bytes:
        """All that is unsent, or nothing when nothing came for so long, or when it is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._news.wait()
        self._news.clear()
        found = b"".join(self._unsent.values())
        self._unsent.clear()
        return found


class Feed:
    """All watches and streams of this process.

    Args:
        read: -> a zone's status.
        clients_max: more are refused.
        interval_s: shortest time between two readings of a zone.
    """

    def __init__(self, read: Read, *, clients_max: int, interval_s: float = INTERVAL_S) -> None:
        self._read = read
        self._clients_max = clients_max
        self._interval_s = interval_s
        self._watches: dict[str, _Watch] = {}
        self._streams: set[Stream] = set()
        self._closed = False

    @property
    def clients(self) -> int:
        """How many follow now."""
        return len(self._streams)

    @contextmanager
    def follow(self, zones: Sequence[str]) -> Iterator[Stream]:
        """A stream of these zones, which begins with what is known of them.

        Raises:
            Unavailable: there are as many clients as may be, or the process is leaving.
        """
        if self._closed:
            raise Unavailable("Shutting down.")
        if len(self._streams) >= self._clients_max:
            raise Unavailable("Too many clients of events.", retry_after_s=RETRY_AFTER_S)
        stream = Stream()
        self._streams.add(stream)
        watches = [self._watch(zone) for zone in zones]
        for watch in watches:
            watch.join(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            for watch in watches:
                watch.followers.discard(stream)

    async def close(self) -> None:
        """End all streams and watches."""
        self._closed = True
        for stream in self._streams:
            stream.close()
        tasks = [watch.task for watch in self._watches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _watch(self, zone: str) -> _Watch:
        known = self._watches.get(zone)
        if known is None or known.task.done():
            known = self._watches[zone] = _Watch(zone, self._read, self._interval)
        return known

    def _interval(self) -> float:
        return max(self._interval_s, len(self._watches) / READINGS_PER_S_MAX)


class _Watch:
    """One zone, watched for as long as somebody follows it, and a little longer."""

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
            history = {"zone": self._zone, **self._history.told()}
            stream.offer(self._zone, "history", sse("history", history))
            stream.offer(self._zone, "zone", self._event)

    async def _run(self) -> None:
        loop, alone = asyncio.get_running_loop(), 0
        while alone < LINGERING_READINGS_MAX:
            began = loop.time()
            await self._look()
            took_s = loop.time() - began
            await asyncio.sleep(max(self._interval(), INTERVAL_PER_READING * took_s))
            alone = 0 if self.followers else alone + 1
            if alone:
                await self._until_joined()

    async def _until_joined(self) -> None:
        self._joined.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_INTERVAL_S):
                await self._joined.wait()

    async def _look(self) -> None:
        try:
            status = await self._read(self._zone)
        except Exception as fault:
            self._failed(fault)
            return
        self._decisions.take(status)
        self._history.take(status)
        told = {"zone": self._zone, **status, "decisions": self._decisions.told()}
        self._tell("zone", lasting(told), told)

    def _failed(self, fault: Exception) -> None:
        # What nobody foresaw is logged when the problem is made: once, not at every reading.
        gist = fault.detail if isinstance(fault, AdmissionError) else repr(fault)
        if gist != self._last:
            problem = problem_of(fault, f"watch {self._zone}")
            self._tell("problem", gist, {"zone": self._zone, "problem": problem})

    def _tell(self, name: str, gist: Any, data: Answer) -> None:
        """Offer it to every follower, unless its gist is the last one's."""
        if gist == self._last:
            return
        self._last, self._event = gist, sse(name, data)
        for stream in self.followers:
            stream.offer(self._zone, "zone", self._event)


def sse(name: str, data: Any) -> bytes:
    """One event as it is sent (WHATWG HTML, Server-sent events); JSON has no line breaks."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode(data))


def lasting(value: Any) -> Any:
    """A status without what changes though nothing happens: `now`, ages, how long a wait lasts."""
    if isinstance(value, dict):
        return {name: lasting(one) for name, one in value.items() if not _is_passing(name)}
    if isinstance(value, list):
        return [lasting(one) for one in value]
    return value


def _is_passing(name: str) -> bool:
    return name in _PASSING or name.endswith("age_ms")
