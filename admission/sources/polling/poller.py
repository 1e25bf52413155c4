"""Feeds the ledger with snapshots: one poller for each process, one loop for each zone and source.

    poller = Poller(ledger, holder="host-1:4711", zones={"East": ZonePoll(...)})
    await poller.start()
    poller.request_poll("East")             # a launch was denied for capacity
    await poller.configure(zones)   # the configuration changed
    await poller.stop()             # before the sources and the ledger are closed

Every replica runs one; a lease in the ledger makes one replica at a time poll a zone.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from admission.errors import AdmissionError
from admission.sources.base import Source
from admission.sources.polling.health import PollEvent, SourceHealth
from admission.sources.polling.schedule import (
    Clock,
    MinIntervalGate,
    SystemClock,
    ZonePoll,
    lease_ttl_ms,
)
from admission.sources.polling.zone_poller import PollingLedger, ZonePoller, ZoneState

log = logging.getLogger(__name__)

# Stopping waits no longer than this for the ledger; leases that were not released lapse.
RELEASE_S_MAX: Final = 2.0


def _ignore(_event: PollEvent) -> None:
    """For who has no metrics."""


class Poller:
    """Polls the sources of all zones.

    Args:
        ledger: gives leases and takes snapshots.
        holder: who asks for leases: unique for each process, and new after a restart.
        zones: zone -> how it is polled. Zones that are pushed to or static are not in it.
        clock: to wait with.
        on_event: told each step of each loop; must not block.

    The sources are their owner's: `stop` does not close them.
    """

    def __init__(
        self,
        ledger: PollingLedger,
        *,
        holder: str,
        zones: Mapping[str, ZonePoll],
        clock: Clock | None = None,
        on_event: Callable[[PollEvent], None] = _ignore,
    ) -> None:
        self._ledger = ledger
        self._holder = holder
        self._zones = dict(zones)
        self._clock = clock or SystemClock()
        self._on_event = on_event
        self._running = False
        self._changing = asyncio.Lock()
        self._states: dict[str, ZoneState] = {}
        self._interval_gates: dict[Source, MinIntervalGate] = {}
        self._tasks: dict[ZonePoller, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Begin to poll. Starting again does nothing."""
        async with self._changing:
            self._running = True
            await self._apply()

    async def configure(self, zones: Mapping[str, ZonePoll]) -> None:
        """Replace the set of zones and their parameters; loops that stay are not interrupted.

        A source of the same name but another object is a new one: its loops begin anew.
        """
        async with self._changing:
            self._zones = dict(zones)
            if self._running:
                await self._apply()

    async def stop(self) -> None:
        """Cancel all polls and give the leases back, as well as that works in 2 s."""
        async with self._changing:
            self._running = False
            await self._forget(list(self._states))

    def request_poll(self, zone: str) -> None:
        """A launch was denied for capacity in the zone: its next poll comes sooner.

        Not sooner than `poll_min_ms` after the one before began, and than the source allows.
        """
        if state := self._states.get(zone):
            for loop in state.loops.values():
                loop.request_poll()

    def health(self, zone: str) -> tuple[SourceHealth, ...]:
        """The health of each source of a zone, in policy order; empty if nobody polls it here."""
        state = self._states.get(zone)
        return tuple(loop.record.seen() for loop in state.loops.values()) if state else ()

    def all_health(self) -> dict[str, tuple[SourceHealth, ...]]:
        """The same for every zone polled here."""
        return {zone: self.health(zone) for zone in self._states}

    async def _apply(self) -> None:
        """Make the loops fit the zones."""
        await self._forget([zone for zone in self._states if zone not in self._zones])
        served = Counter(source for poll in self._zones.values() for source in poll.sources)
        self._interval_gates = {
            source: self._interval_gates.get(source)
            or MinIntervalGate(source.min_interval_ms, self._clock)
            for source in served
        }
        for zone, poll in self._zones.items():
            # The longest wait for a turn at a source: all its other zones are served before.
            waits = [source.min_interval_ms * served[source] for source in poll.sources]
            await self._apply_zone(zone, poll, lease_ttl_ms(poll, max(waits, default=0)))

    async def _apply_zone(self, zone: str, poll: ZonePoll, ttl_ms: int) -> None:
        state = self._states.get(zone)
        if state is None:
            state = ZoneState(zone=zone, holder=self._holder, poll=poll, ttl_ms=ttl_ms)
            self._states[zone] = state
        state.poll, state.ttl_ms = poll, ttl_ms
        old = state.loops
        await self._end([loop for loop in old.values() if loop.source not in poll.sources])
        state.loops = {}
        for source in poll.sources:
            loop = old.get(source.name)
            if loop is not None and loop.source is source:
                state.loops[source.name] = loop
                loop.reconsider()
            else:
                self._begin(state, source)

    def _begin(self, state: ZoneState, source: Source) -> None:
        loop = ZonePoller(
            state,
            source,
            interval_gate=self._interval_gates[source],
            ledger=self._ledger,
            clock=self._clock,
            on_event=self._on_event,
        )
        name = f"poll {state.zone} at {source.name}"
        self._tasks[loop] = asyncio.create_task(loop.run(), name=name)

    async def _end(self, loops: Iterable[ZonePoller]) -> None:
        tasks = [self._tasks.pop(loop) for loop in loops]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _forget(self, zones: Iterable[str]) -> None:
        """Drop zones nobody polls here any more, so that another replica need not wait."""
        states = [self._states.pop(zone) for zone in zones]
        await self._end([loop for state in states for loop in state.loops.values()])
        releases = (self._release(state) for state in states if state.may_hold)
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_S_MAX):
                await asyncio.gather(*releases, return_exceptions=True)

    async def _release(self, state: ZoneState) -> None:
        try:
            await self._ledger.release_lease(state.zone, state.holder)
        except AdmissionError as error:
            log.info("zone %s: its lease was not released: %s", state.zone, error.detail)
