"""Polling one zone at one source, for ever, whatever goes wrong.

    lease mine? --no--> standby: look again when it lapses
      | yes
    a turn at the source (its min_interval_ms); after a wait the lease is renewed once more
      |
    t0 = the lease answer's `now` -> query -> ingest(t0, token) -> pause -> again

t0 comes from an answer that arrived before the query left, so the photograph is never older than
it. The token makes the ledger refuse the late answer of a poller that lost its lease meanwhile.

A pause ends early when a launch was denied for capacity (`request_poll`), but not before the
`poll_min_ms`
have passed since the poll before began. Back-off and standby are not cut short: a platform that
fails is not asked more often because many want to know.

A poller that failed twice in a row gives the lease back, unless another source of the zone is well,
and keeps off it until others had a look: it may be this machine that cannot reach the platform.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from admission.domain.snapshots import IngestAnswer, Lease, Snapshot
from admission.errors import AdmissionError, SourceError
from admission.sources.base import Source
from admission.sources.polling.health import EventKind, HealthRecord, PollEvent
from admission.sources.polling.schedule import (
    HAND_OVER_MS,
    Clock,
    MinIntervalGate,
    ZonePoll,
    backoff_ms,
    interval_ms,
    standby_ms,
)

log = logging.getLogger(__name__)

HAND_OVER_FAILURES: Final = 2
# Refusals that are a matter of timing, between replicas or with a recovery. All others mean that
# the platform's numbers, or the policy's pools, are wrong.
TIMING: Final = frozenset({"deposed", "out_of_order", "before_recovery", "future"})


class PollingLedger(Protocol):
    """What a poller needs of the ledger. Any method may raise AdmissionError."""

    async def lease(self, zone: str, holder: str, ttl_ms: int) -> Lease:
        """Take or renew the right to poll the zone."""

    async def release_lease(self, zone: str, holder: str) -> None:
        """Give it up."""

    async def ingest(
        self, zone: str, t0: int, snapshot: Snapshot, token: int | None = None
    ) -> IngestAnswer:
        """Take a snapshot asked for after zone time `t0`."""


@dataclass(slots=True, kw_only=True)
class ZoneState:
    """What the loops of one zone share.

    Args:
        zone: its name.
        holder: who holds its lease, if we do: unique for each process.
        poll: how it is polled; replaced when the configuration changes.
        ttl_ms: of the lease.
        may_hold: the lease was asked for, and not known to be another's.
        loops: by the name of their source.
    """

    zone: str
    holder: str
    poll: ZonePoll
    ttl_ms: int
    may_hold: bool = False
    loops: dict[str, "ZonePoller"] = field(default_factory=dict)

    def all_fail(self) -> bool:
        """Whether no source of the zone is well."""
        failures = (loop.record.consecutive_failures for loop in self.loops.values())
        return all(count >= HAND_OVER_FAILURES for count in failures)


class ZonePoller:
    """One zone at one source.

    Args:
        state: of the zone; this loop enters itself there.
        source: to be asked.
        interval_gate: the source's.
        ledger: where snapshots go.
        clock: to wait with.
        on_event: told each step.
    """

    def __init__(
        self,
        state: ZoneState,
        source: Source,
        *,
        interval_gate: MinIntervalGate,
        ledger: PollingLedger,
        clock: Clock,
        on_event: Callable[[PollEvent], None],
    ) -> None:
        self.source = source
        self._state = state
        self._interval_gate = interval_gate
        self._ledger = ledger
        self._clock = clock
        self._on_event = on_event
        self.record = HealthRecord(state.zone, source.name, clock.now_ms)
        state.loops[source.name] = self
        self._bell = asyncio.Event()
        self._started_at = clock.now_ms()
        self._held_until: int | None = None  # back-off or standby: nothing cuts it short
        self._wanted = False
        self._idle_ms = 0

    async def run(self) -> None:
        """Poll until cancelled."""
        task = asyncio.current_task()
        # A cancellation that got lost on the way, in whatever library, ends the loop all the same.
        while True:
            await self._step()
            if task and task.cancelling():
                return
            await self._pause()

    def request_poll(self) -> None:
        """Somebody was denied for capacity: poll sooner. Costs nothing when said often."""
        if not self._wanted and self._held_until is None:
            self._wanted = True
            self._bell.set()

    def reconsider(self) -> None:
        """The zone's parameters changed: the pause may have another end now."""
        self._bell.set()

    async def _step(self) -> None:
        """One poll, and what follows from how it went. Raises nothing: the loop must live."""
        self._held_until = None
        try:
            await self._poll()
        except SourceError as error:
            await self._source_failed(error.detail)
        except AdmissionError as error:
            self.record.store_failed(error.detail)
            self._tell("unavailable", reason=error.detail)
            self._hold(backoff_ms(self.record.store_failures))
            return
        except Exception as error:
            await self._source_failed(f"unexpected {type(error).__name__}", error)
        self.record.store_answered()

    async def _poll(self) -> None:
        self._wanted = False
        lease = await self._renew()
        if lease.token is not None and await self._interval_gate.enter():
            lease = await self._renew()  # t0 from before the wait would be needlessly old
        if lease.token is None:
            self.record.stood_by()
            self._tell("standby")
            self._hold(standby_ms(lease))
            return
        self._started_at = self._clock.now_ms()
        # Wanted now: this very poll serves it, and the next comes soon too, because what was
        # denied elsewhere is not heard here until a lease answer says so.
        self._wanted = self._wanted or lease.wanted
        self._idle_ms = lease.idle_ms
        self.record.began()
        poll = self._state.poll
        told = poll.told(self._state.zone)
        snapshot = await self.source.query(poll.source_zone, poll.channels, told)
        took_ms = self._clock.now_ms() - self._started_at
        answer = await self._ledger.ingest(self._state.zone, lease.now, snapshot, lease.token)
        self._took(answer, took_ms)
        self.record.noted(snapshot.notes, snapshot.warnings)

    async def _renew(self) -> Lease:
        state = self._state
        state.may_hold = True  # from here on, even if the answer gets lost
        lease = await self._ledger.lease(state.zone, state.holder, state.ttl_ms)
        state.may_hold = lease.token is not None
        return lease

    def _took(self, answer: IngestAnswer, took_ms: int) -> None:
        reasons = sorted({answer.reason or "refused", *answer.refused.values()})
        refused = [] if answer.accepted else reasons
        for reason in refused:
            self.record.refused(reason)
        if wrong := [reason for reason in refused if reason not in TIMING]:
            # No back-off: the platform answers, and may talk sense again with the next poll.
            self.record.failed(f"its numbers were refused: {', '.join(wrong)} ({answer.pool})")
        else:
            self.record.answered()
        self._tell("refused" if refused else "accepted", took_ms, ", ".join(refused))

    async def _source_failed(self, reason: str, defect: Exception | None = None) -> None:
        self.record.failed(reason, defect)
        self._tell("failed", self._clock.now_ms() - self._started_at, reason)
        pause_ms = backoff_ms(self.record.consecutive_failures)
        if self._state.may_hold and self._state.all_fail():
            await self._hand_over()
            pause_ms = max(pause_ms, HAND_OVER_MS)
        self._hold(pause_ms)

    async def _hand_over(self) -> None:
        with suppress(AdmissionError):
            await self._ledger.release_lease(self._state.zone, self._state.holder)
            self._state.may_hold = False

    def _hold(self, ms: int) -> None:
        self._held_until = self._clock.now_ms() + ms

    async def _pause(self) -> None:
        while (rest_ms := self._due_at() - self._clock.now_ms()) > 0:
            self._bell.clear()
            await self._clock.sleep(rest_ms, self._bell)

    def _due_at(self) -> int:
        """Asked anew whenever the bell rings."""
        if self._held_until is not None:
            return self._held_until
        poll = self._state.poll
        return self._started_at + interval_ms(poll, wanted=self._wanted, idle_ms=self._idle_ms)

    def _tell(self, kind: EventKind, duration_ms: int = 0, reason: str = "") -> None:
        event = PollEvent(
            zone=self._state.zone,
            source=self.source.name,
            kind=kind,
            duration_ms=duration_ms,
            reason=reason,
        )
        try:
            self._on_event(event)
        except Exception:  # a hook for metrics must not stop the polling
            log.exception("zone %s: a listener failed", self._state.zone)
