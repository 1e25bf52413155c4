"""Feeds the ledger with snapshots: one poller for each process, one task for each zone and source.

    poller = Poller(ledger, holder="host-1:4711", zones={"East": ZonePoll(...)})
    await poller.start()
    poller.request_poll("East")     # a launch was denied for capacity
    await poller.configure(zones)   # the configuration changed
    await poller.stop()             # before the sources and the ledger are closed

Every replica runs one; a lease in the ledger lets one replica at a time poll a zone.
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
from admission.sources.polling.zone_poller import PollingLedger, ZonePoller, ZonePollState

log = logging.getLogger(__name__)

# Stopping waits no longer than this for the ledger; leases that are not released lapse.
RELEASE_S_MAX: Final = 2.0


def _ignore(_event: PollEvent) -> None:
    """Do nothing: the default where no metrics are kept."""


class Poller:
    """Polls the sources of all zones.

    Args:
        ledger: grants leases and takes snapshots.
        holder: the name under which leases are requested: unique for each process, new after a
            restart.
        zones: zone -> its sources and policy. Zones with pushed snapshots or a static capacity are
            not among them.
        clock: to wait with.
        on_event: called with the result of each poll; must not block.

    The sources belong to the caller: `stop` does not close them. The top of this file has an
    example.
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
        self._states: dict[str, ZonePollState] = {}
        self._interval_gates: dict[Source, MinIntervalGate] = {}
        self._tasks: dict[ZonePoller, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Begin to poll. A second call does nothing."""
        async with self._changing:
            self._running = True
            await self._apply()

    async def configure(self, zones: Mapping[str, ZonePoll]) -> None:
        """Replace zones, sources and policies; polls of sources that stay are not interrupted.

        A source of the same name that is another object is a new source: its polls begin anew.
        """
        async with self._changing:
            self._zones = dict(zones)
            if self._running:
                await self._apply()

    async def stop(self) -> None:
        """Cancel all polls and release the leases, the latter for 2 s at most."""
        async with self._changing:
            self._running = False
            await self._remove(list(self._states))

    def request_poll(self, zone: str) -> None:
        """Poll the zone sooner, because a launch was denied for capacity.

        Not before `poll_min_ms` since the start of the previous poll, nor before the source's
        `min_interval_ms` permits.
        """
        if state := self._states.get(zone):
            for poller in state.pollers.values():
                poller.request_poll()

    def end_pauses(self) -> None:
        """Poll every zone now, whatever its back-off: the configuration was read again."""
        for state in self._states.values():
            for poller in state.pollers.values():
                poller.end_pause()

    def health(self, zone: str) -> tuple[SourceHealth, ...]:
        """Return the health of each source of a zone, in policy order; empty if not polled here."""
        state = self._states.get(zone)
        return tuple(one.record.current() for one in state.pollers.values()) if state else ()

    def all_health(self) -> dict[str, tuple[SourceHealth, ...]]:
        """Return the same for every zone that this process polls."""
        return {zone: self.health(zone) for zone in self._states}

    async def _apply(self) -> None:
        """Make the running tasks those of the configured zones."""
        await self._remove([zone for zone in self._states if zone not in self._zones])
        served = Counter(source for poll in self._zones.values() for source in poll.sources)
        self._interval_gates = {
            source: self._interval_gates.get(source)
            or MinIntervalGate(source.min_interval_ms, self._clock)
            for source in served
        }
        for zone, poll in self._zones.items():
            # The longest wait at a source's gate: all its other zones precede this one.
            waits = [source.min_interval_ms * served[source] for source in poll.sources]
            await self._apply_zone(zone, poll, lease_ttl_ms(poll, max(waits, default=0)))

    async def _apply_zone(self, zone: str, poll: ZonePoll, ttl_ms: int) -> None:
        state = self._states.get(zone)
        if state is None:
            state = ZonePollState(zone=zone, holder=self._holder, poll=poll, ttl_ms=ttl_ms)
            self._states[zone] = state
        state.poll, state.ttl_ms = poll, ttl_ms
        old = state.pollers
        await self._cancel([one for one in old.values() if one.source not in poll.sources])
        state.pollers = {}
        for source in poll.sources:
            poller = old.get(source.name)
            if poller is not None and poller.source is source:
                state.pollers[source.name] = poller
                poller.reschedule()
            else:
                self._launch(state, source)

    def _launch(self, state: ZonePollState, source: Source) -> None:
        poller = ZonePoller(
            state,
            source,
            interval_gate=self._interval_gates[source],
            ledger=self._ledger,
            clock=self._clock,
            on_event=self._on_event,
        )
        name = f"poll {state.zone} at {source.name}"
        self._tasks[poller] = asyncio.create_task(poller.run(), name=name)

    async def _cancel(self, pollers: Iterable[ZonePoller]) -> None:
        tasks = [self._tasks.pop(poller) for poller in pollers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _remove(self, zones: Iterable[str]) -> None:
        """Stop polling zones and release their leases, so that another replica need not wait."""
        states = [self._states.pop(zone) for zone in zones]
        await self._cancel([poller for state in states for poller in state.pollers.values()])
        releases = (self._release(state) for state in states if state.may_hold)
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_S_MAX):
                await asyncio.gather(*releases, return_exceptions=True)

    async def _release(self, state: ZonePollState) -> None:
        try:
            await self._ledger.release_lease(state.zone, state.holder)
        except AdmissionError as error:
            log.info("zone %s: its lease was not released: %s", state.zone, error.detail)
