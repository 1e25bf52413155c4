"""When to poll: intervals, back-off, the lease's length, turns at a source. All times are ms.

The lease has to outlast everything that a healthy poller may do between two renewals, or replicas
would take a zone from each other without need: the longest pause, the wait for a turn at the
source, one query that takes as long as it may, and a second for a busy machine. With the defaults
that is 2.5 + 0 + 3 + 1 = 6.5 s: who dies is replaced before the newest snapshot is stale (10 s).
A poller whose source fails does not wait for that, see `zone_loop`.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from tenacity import AsyncRetrying, RetryCallState, wait_exponential, wait_random_exponential

from admission.domain.snapshots import Lease
from admission.sources.base import PolledZone, Source

IDLE_AFTER_MS: Final = 60_000
IDLE_SLOWER: Final = 5
LEASE_GRACE_MS: Final = 1_000
STANDBY_MS_MAX: Final = 2_000
STANDBY_JITTER_MS: Final = 250
# Who gives a lease back because its source fails keeps off it until all others had a look.
HAND_OVER_MS: Final = STANDBY_MS_MAX + STANDBY_JITTER_MS
# Half of it certain, half of it drawn: 0.25-0.5 s after the first failure, doubling up to 2.5-5 s.
# The most that a platform which came back waits to be noticed.
_BACKOFF: Final = wait_exponential(multiplier=0.25, max=2.5) + wait_random_exponential(
    multiplier=0.25, max=2.5
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonePoll:
    """How one zone is polled.

    Args:
        sources: the connections that have numbers for it; each is polled by itself, so that one
            that fails or is slow leaves the others alone.
        source_zone: the platform's own name or id of the zone; empty: its default zone.
        channels: the zone's, by policy.
        poll_interval_ms: between the starts of two polls of a source.
        poll_min_ms: the same, when somebody was denied for capacity.
        max_age_ms: after which a snapshot is stale.
        pools: the named pools of its policy -> limit, None without one.
    """

    sources: tuple[Source, ...]
    source_zone: str = ""
    channels: tuple[str, ...]
    poll_interval_ms: int = 1_000
    poll_min_ms: int = 200
    max_age_ms: int = 10_000
    pools: Mapping[str, int | None] = field(default_factory=dict)

    def told(self, zone: str) -> PolledZone:
        """What a source is told of the zone of that name."""
        return PolledZone(name=zone, pools=self.pools, max_age_ms=self.max_age_ms)


class Clock(Protocol):
    """Time as a poller needs it; tests move their own."""

    def now_ms(self) -> int:
        """Ms since some moment; never steps back."""

    async def sleep(self, ms: int, woken_by: asyncio.Event | None = None) -> None:
        """Return after `ms`, or as soon as the event is set."""


class SystemClock:
    """The machine's monotonic clock."""

    def now_ms(self) -> int:
        """Ms since some moment."""
        return time.monotonic_ns() // 1_000_000

    async def sleep(self, ms: int, woken_by: asyncio.Event | None = None) -> None:
        """Return after `ms`, or as soon as the event is set."""
        if woken_by is None:
            await asyncio.sleep(ms / 1000)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(ms / 1000):
                await woken_by.wait()


class MinIntervalGate:
    """Keeps a source's `min_interval_ms` between the starts of its queries, over all zones.

    First come, first served. It counts this process' queries alone: replicas that poll different
    zones of one source each keep the interval for themselves.

    Args:
        min_interval_ms: 0 lets everybody through.
        clock: to wait with.
    """

    def __init__(self, min_interval_ms: int, clock: Clock) -> None:
        self._min_interval_ms = min_interval_ms
        self._clock = clock
        self._free_at = clock.now_ms()

    async def enter(self) -> bool:
        """Wait for a turn. Returns: whether there was a wait at all."""
        now = self._clock.now_ms()
        turn = max(now, self._free_at)
        self._free_at = turn + self._min_interval_ms
        if turn > now:
            await self._clock.sleep(turn - now)
        return turn > now


def idle_interval_ms(poll: ZonePoll) -> int:
    """The interval while nobody asks for admission.

    A quarter of `max_age_ms`, so that two lost polls in a row leave the zone fit to grant, but
    not more than five times the usual: who asks first after a silence is judged by this photograph.
    """
    slower = min(poll.max_age_ms // 4, IDLE_SLOWER * poll.poll_interval_ms)
    return max(poll.poll_interval_ms, slower)


def interval_ms(poll: ZonePoll, *, wanted: bool, idle_ms: int) -> int:
    """Between the starts of this poll and the next.

    Args:
        poll: the zone's parameters.
        wanted: somebody was denied for capacity.
        idle_ms: since anybody asked for admission.
    """
    if wanted:
        return min(poll.poll_min_ms, poll.poll_interval_ms)
    return idle_interval_ms(poll) if idle_ms > IDLE_AFTER_MS else poll.poll_interval_ms


def lease_ttl_ms(poll: ZonePoll, turn_wait_ms: int) -> int:
    """How long a lease holds, see the top of this file.

    Args:
        poll: the zone's parameters.
        turn_wait_ms: the longest wait for a turn at any of its sources.
    """
    query_ms = max((source.timeout_ms for source in poll.sources), default=0)
    return idle_interval_ms(poll) + turn_wait_ms + query_ms + LEASE_GRACE_MS


def standby_ms(lease: Lease) -> int:
    """Until another replica's lease is looked at again.

    When it lapses, but at the latest after 2 s: one that stops gives its lease back early. A
    little later at random, so that of several replicas on standby one is first.
    """
    lapses_in = min(max(lease.until - lease.now, 0), STANDBY_MS_MAX)
    return lapses_in + random.randint(1, STANDBY_JITTER_MS)


def backoff_ms(failures: int) -> int:
    """The pause after so many failures in a row (at least 1), with jitter."""
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = failures
    return round(_BACKOFF(state) * 1000)
