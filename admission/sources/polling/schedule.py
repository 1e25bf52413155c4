"""When to poll: intervals, back-off, the length of a lease, the gate of a source. Times are in ms.

A lease has to outlast everything that a healthy poller does between two renewals, or replicas would
take zones from each other needlessly: the longest pause, the wait at the source's gate, one query
up to its time-out, and a second of margin for a busy machine. With the defaults that is
2.5 + 0 + 3 + 1 = 6.5 s: another replica replaces a poller that stopped before the newest snapshot
is stale (10 s). A poller whose source fails hands its lease over earlier, see `zone_poller`.
"""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from admission.domain import Lease
from admission.domain.policy import ZonePolicy
from admission.sources.base import Source
from admission.tasks import Backoff

# Without an admission request for this long, a zone is polled less often.
IDLE_AFTER_MS: Final = 60_000
IDLE_FACTOR_MAX: Final = 5
LEASE_GRACE_MS: Final = 1_000
STANDBY_MS_MAX: Final = 2_000
STANDBY_JITTER_MS: Final = 250
# A poller that gave its lease back because its source fails requests it again only after every
# other replica had the time to take it.
HAND_OVER_MS: Final = STANDBY_MS_MAX + STANDBY_JITTER_MS
# 0.25-0.5 s after the first failure, doubling up to 2.5-5 s: the longest time until a platform that
# works again is noticed.
_BACKOFF: Final = Backoff(min_s=0.5, max_s=5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonePoll:
    """The sources of one zone, and the policy by which they are polled.

    Args:
        sources: the connections that count its ports; each is polled independently, so that a
            failing or slow one does not affect the others.
        policy: the live policy of the zone.

    Example:
        ZonePoll(sources=(epm,), policy=policy)
    """

    sources: tuple[Source, ...]
    policy: ZonePolicy


class Clock(Protocol):
    """The time of a poller; tests replace it by a clock that they move."""

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

    First come, first served. It covers the queries of this process only: replicas that poll
    different zones of one source keep the interval each for itself.

    Args:
        min_interval_ms: 0 delays no query.
        clock: to wait with.

    Example:
        gate = MinIntervalGate(source.min_interval_ms, SystemClock())
        await gate.enter()
        snapshot = await source.query("East", policy)
    """

    def __init__(self, min_interval_ms: int, clock: Clock) -> None:
        self._min_interval_ms = min_interval_ms
        self._clock = clock
        self._free_at = clock.now_ms()

    async def enter(self) -> bool:
        """Wait until the next query may start. Returns whether there was a wait."""
        now = self._clock.now_ms()
        starts_at = max(now, self._free_at)
        self._free_at = starts_at + self._min_interval_ms
        if starts_at > now:
            await self._clock.sleep(starts_at - now)
        return starts_at > now


def idle_interval_ms(policy: ZonePolicy) -> int:
    """The interval while no dialer asks for admission.

    A quarter of `max_age_ms`, so that after two lost polls in a row the zone can still grant, but
    at most five times the usual interval: the first request after an idle time is decided by this
    snapshot.
    """
    slower = min(policy.max_age_ms // 4, IDLE_FACTOR_MAX * policy.poll_interval_ms)
    return max(policy.poll_interval_ms, slower)


def interval_ms(policy: ZonePolicy, *, wanted: bool, idle_ms: int) -> int:
    """Time between the starts of this poll and the next.

    Args:
        policy: of the zone.
        wanted: a launch was denied that a newer snapshot may permit.
        idle_ms: since the last admission request.
    """
    if wanted:
        return min(policy.poll_min_ms, policy.poll_interval_ms)
    return idle_interval_ms(policy) if idle_ms > IDLE_AFTER_MS else policy.poll_interval_ms


def lease_ttl_ms(poll: ZonePoll, gate_wait_ms: int) -> int:
    """The time to live of a lease, see the top of this file.

    Args:
        poll: of the zone.
        gate_wait_ms: the longest wait at the gate of any of its sources.
    """
    query_ms = max((source.timeout_ms for source in poll.sources), default=0)
    return idle_interval_ms(poll.policy) + gate_wait_ms + query_ms + LEASE_GRACE_MS


def standby_ms(lease: Lease) -> int:
    """Time until the lease of another replica is requested again.

    When it lapses, but after 2 s at the latest: a replica that stops releases its lease early. The
    random part makes one of several replicas on standby the first.
    """
    lapses_in = min(max(lease.until - lease.now, 0), STANDBY_MS_MAX)
    return lapses_in + random.randint(1, STANDBY_JITTER_MS)


def backoff_ms(failures: int) -> int:
    """The pause with jitter after this many failures in a row (at least 1)."""
    return round(_BACKOFF.pause_s(failures) * 1000)
