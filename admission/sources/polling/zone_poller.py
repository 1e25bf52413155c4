"""Polls one zone at one source until it is cancelled, whatever fails.

    lease granted? --no--> standby: request it again when it lapses
      | yes
    gate of the source (its min_interval_ms); after a wait the lease is renewed once more
      |
    t0 = the lease answer's `now` -> query -> ingest(t0, token) -> pause -> again

t0 is taken from an answer that arrived before the query was sent, so the snapshot is never older
than t0. The token makes the ledger refuse the late answer of a poller that lost its lease
meanwhile.

A pause ends early when a launch was denied for capacity (`request_poll`), but not before
`poll_min_ms` have passed since the start of the previous poll. Back-off and standby never end
early: denied launches do not increase the load of a platform that fails.

After two failures in a row a poller releases the lease, unless another source of the zone works,
and requests it again only after the other replicas had the time to take it: the failure may be
that of this machine. Refused credentials are not handed over as early: the other replicas have the
same ones, and as many tries as there are replicas would lock the account.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from admission.domain import IngestAnswer, Lease, Snapshot
from admission.errors import AdmissionError, SourceError
from admission.sources.authentication import CredentialsRefused
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
# Longer than the 300 s for which Tomcat's LockOutRealm locks an account, and shorter than the first
# pause of the gate (330 s): the next replica tries then instead of this one, in case that its own
# secret is the right one. However many there are, their tries are at least this far apart.
REFUSED_HAND_OVER_MS: Final = 320_000
# Refusals that result from timing, between replicas or with a recovery. All others mean that the
# platform's numbers, or the policy's pools, are wrong.
TIMING_REASONS: Final = frozenset({"deposed", "out_of_order", "before_recovery", "future"})


class PollingLedger(Protocol):
    """The methods of the ledger that a poller calls. Each may raise AdmissionError."""

    async def acquire_lease(self, zone: str, holder: str, ttl_ms: int) -> Lease:
        """Take or renew the right to poll the zone."""

    async def release_lease(self, zone: str, holder: str) -> None:
        """Give that right up."""

    async def ingest(
        self, zone: str, t0: int, snapshot: Snapshot, token: int | None = None
    ) -> IngestAnswer:
        """Store a snapshot whose query was sent after zone time `t0`."""


@dataclass(slots=True, kw_only=True)
class ZonePollState:
    """The state that the pollers of one zone share.

    Args:
        zone: its name.
        holder: the name under which this process requests leases.
        poll: sources and policy; replaced when the configuration changes.
        ttl_ms: of the lease.
        may_hold: the lease was requested, and is not known to be another replica's.
        pollers: by the name of their source.
    """

    zone: str
    holder: str
    poll: ZonePoll
    ttl_ms: int
    may_hold: bool = False
    pollers: dict[str, "ZonePoller"] = field(default_factory=dict)

    def may_hand_over(self) -> bool:
        """Whether every source of the zone fails, and none of them refused credentials lately."""
        pollers = self.pollers.values()
        if any(poller.was_just_refused() for poller in pollers):
            return False
        return all(one.record.consecutive_failures >= HAND_OVER_FAILURES for one in pollers)


class ZonePoller:
    """Polls one zone at one source.

    Args:
        state: of the zone; the constructor adds this poller to it.
        source: to be queried.
        interval_gate: of the source.
        ledger: takes the snapshots.
        clock: to wait with.
        on_event: called with the result of each poll.

    Example:
        poller = ZonePoller(state, source, interval_gate=gate, ledger=ledger, clock=clock,
                            on_event=count)
        task = asyncio.create_task(poller.run())
        poller.request_poll()
    """

    def __init__(
        self,
        state: ZonePollState,
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
        state.pollers[source.name] = self
        self._wake = asyncio.Event()
        self._started_at = clock.now_ms()
        self._paused_until: int | None = None  # back-off or standby, which never ends early
        self._wanted = False
        self._idle_ms = 0
        self._taken_at: int | None = None
        self._counted_at = 0
        self._refused_at: int | None = None  # since when the platform refuses the credentials

    async def run(self) -> None:
        """Poll until cancelled."""
        task = asyncio.current_task()
        # A library may swallow a cancellation: `cancelling` still reports it.
        while True:
            await self._poll_safely()
            if task and task.cancelling():
                return
            await self._pause()

    def request_poll(self) -> None:
        """Poll sooner, because a launch was denied for capacity. Cheap to call often."""
        if not self._wanted and self._paused_until is None:
            self._wanted = True
            self._wake.set()

    def end_pause(self) -> None:
        """Poll now, back-off or not: the configuration was read again."""
        if self._paused_until is not None:
            self._paused_until = self._clock.now_ms()
        self._wake.set()

    def reschedule(self) -> None:
        """Compute the end of the pause again, after the policy changed."""
        self._wake.set()

    def was_just_refused(self) -> bool:
        """Whether the platform refuses the credentials, too short a time for another replica to
        try."""
        since = self._refused_at
        return since is not None and self._clock.now_ms() - since < REFUSED_HAND_OVER_MS

    async def _poll_safely(self) -> None:
        """Poll once and record the result. Raises nothing: the loop must continue."""
        self._paused_until = None
        try:
            await self._poll()
        except SourceError as error:
            self._record_credentials(is_refused=isinstance(error, CredentialsRefused))
            await self._handle_failure(error.detail)
        except AdmissionError as error:
            self.record.record_ledger_failure(error.detail)
            self._emit("unavailable", reason=error.detail)
            self._pause_for(backoff_ms(self.record.ledger_failures))
            return
        except Exception as error:
            await self._handle_failure(f"unexpected {type(error).__name__}", error)
        self.record.record_ledger_success()

    async def _poll(self) -> None:
        self._wanted = False
        lease = await self._renew()
        if lease.token is not None and await self._interval_gate.enter():
            lease = await self._renew()  # a t0 from before the wait would be needlessly old
        if lease.token is None:
            self._record_credentials(is_refused=False)
            self.record.record_standby()
            self._emit("standby")
            self._pause_for(standby_ms(lease))
            return
        self._started_at = self._clock.now_ms()
        # This poll serves the demand known now. The next one comes soon as well: demand at other
        # replicas is known here only by the answer to a lease.
        self._wanted = self._wanted or lease.wanted
        self._idle_ms = lease.idle_ms
        self.record.count_poll()
        snapshot = await self.source.query(self._state.zone, self._state.poll.policy)
        self._record_credentials(is_refused=False)
        duration_ms = self._clock.now_ms() - self._started_at
        snapshot = self._locate_count(lease.now, snapshot)
        answer = await self._ledger.ingest(self._state.zone, lease.now, snapshot, lease.token)
        self._record_answer(answer, duration_ms)
        self.record.record_notes(snapshot.notes, snapshot.warnings)

    def _locate_count(self, t0: int, snapshot: Snapshot) -> Snapshot:
        """Add the zone time of the count, where the platform stated its age.

        The query was sent after `t0`, so the count is not older than `t0 - age_ms`. Every answer
        with the same count gives such a bound, and the latest of them is the best.
        """
        if snapshot.age_ms is None:
            return snapshot
        counted_at = t0 - snapshot.age_ms
        if snapshot.taken_at is not None and snapshot.taken_at == self._taken_at:
            counted_at = max(counted_at, self._counted_at)
        self._taken_at, self._counted_at = snapshot.taken_at, counted_at
        return replace(snapshot, counted_at=counted_at)

    async def _renew(self) -> Lease:
        state = self._state
        state.may_hold = True  # already now, in case the answer is lost
        lease = await self._ledger.acquire_lease(state.zone, state.holder, state.ttl_ms)
        state.may_hold = lease.token is not None
        return lease

    def _record_answer(self, answer: IngestAnswer, duration_ms: int) -> None:
        reasons = sorted({answer.reason or "refused", *answer.refused.values()})
        refused = [] if answer.accepted else reasons
        for reason in refused:
            self.record.record_refusal(reason)
        if wrong := [reason for reason in refused if reason not in TIMING_REASONS]:
            # No back-off: the platform answers, and its next numbers may be correct.
            details = f"{', '.join(wrong)} ({answer.pool})"
            self.record.record_failure(f"its numbers were refused: {details}")
        else:
            self.record.record_success()
        self._emit("refused" if refused else "accepted", duration_ms, ", ".join(refused))

    def _record_credentials(self, *, is_refused: bool) -> None:
        if not is_refused:
            self._refused_at = None
        elif self._refused_at is None:
            self._refused_at = self._clock.now_ms()

    async def _handle_failure(self, reason: str, defect: Exception | None = None) -> None:
        self.record.record_failure(reason, defect)
        self._emit("failed", self._clock.now_ms() - self._started_at, reason)
        pause_ms = backoff_ms(self.record.consecutive_failures)
        if self._state.may_hold and self._state.may_hand_over():
            await self._release_lease()
            self._refused_at = None
            pause_ms = max(pause_ms, HAND_OVER_MS)
        self._pause_for(pause_ms)

    async def _release_lease(self) -> None:
        with suppress(AdmissionError):
            await self._ledger.release_lease(self._state.zone, self._state.holder)
            self._state.may_hold = False

    def _pause_for(self, ms: int) -> None:
        self._paused_until = self._clock.now_ms() + ms

    async def _pause(self) -> None:
        while (rest_ms := self._next_poll_at() - self._clock.now_ms()) > 0:
            self._wake.clear()
            await self._clock.sleep(rest_ms, self._wake)

    def _next_poll_at(self) -> int:
        """The end of the pause; a new one after each `_wake`."""
        if self._paused_until is not None:
            return self._paused_until
        policy = self._state.poll.policy
        return self._started_at + interval_ms(policy, wanted=self._wanted, idle_ms=self._idle_ms)

    def _emit(self, kind: EventKind, duration_ms: int = 0, reason: str = "") -> None:
        event = PollEvent(
            zone=self._state.zone,
            source=self.source.name,
            kind=kind,
            duration_ms=duration_ms,
            reason=reason,
        )
        try:
            self._on_event(event)
        except Exception:  # a defect in metrics must not stop the polling
            log.exception("zone %s: the listener for poll events failed", self._state.zone)
