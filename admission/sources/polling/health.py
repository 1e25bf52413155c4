"""The health of each source of a zone, for status, metrics and the log.

The log has one line for each change, not for each poll.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias

log = logging.getLogger(__name__)

_NUMBER: Final = re.compile(r"\d+")

EventKind: TypeAlias = Literal["accepted", "refused", "failed", "unavailable", "standby"]


class SourceState(StrEnum):
    """The state of a source for one zone, as this process knows it."""

    NEVER = "never"  # not polled yet
    OK = "ok"
    FAILING = "failing"
    STANDBY = "standby"  # another replica polls the zone


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHealth:
    """The health of one source of one zone, as this process knows it.

    Args:
        source: its name.
        state: at present.
        state_age_ms: since the state changed last.
        consecutive_failures: polls without a usable answer since the last usable one.
        last_error: of the newest failure, one line; it stays when the source is ok again.
        last_success_age_ms: since the last usable answer; None: there was none.
        polls: queries that were started, in total.
        failures: those without a usable answer, in total.
        refused: reason -> snapshots that the ledger refused.
        notes: facts that the platform reported with its newest usable answer, besides the counts.
        warnings: conditions that an operator should examine although there are counts.
    """

    source: str
    state: SourceState = SourceState.NEVER
    state_age_ms: int = 0
    consecutive_failures: int = 0
    last_error: str | None = None
    last_success_age_ms: int | None = None
    polls: int = 0
    failures: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PollEvent:
    """The result of one poll, for metrics.

    Args:
        zone, source: which were polled.
        kind: accepted or refused by the ledger; failed at the platform; the ledger unavailable; on
            standby, because another replica polls.
        duration_ms: of the query; 0 where none was made.
        reason: for all kinds but accepted and standby; for refused, the ledger's reason.
    """

    zone: str
    source: str
    kind: EventKind
    duration_ms: int = 0
    reason: str = ""


class HealthRecord:
    """Records the health of one source of one zone, and logs its changes.

    Args:
        zone, source: their names.
        now_ms: returns the time, for ages.

    Example:
        record = HealthRecord("East", "epm", clock.now_ms)
        record.count_poll()
        record.record_failure("no answer within 3000 ms")
        record.current().state  # SourceState.FAILING
    """

    def __init__(self, zone: str, source: str, now_ms: Callable[[], int]) -> None:
        self.consecutive_failures = 0
        self.ledger_failures = 0
        self._zone, self._source = zone, source
        self._now_ms = now_ms
        self._state, self._state_at = SourceState.NEVER, now_ms()
        self._last_error: str | None = None
        self._last_success_at: int | None = None
        self._polls = self._failures = 0
        self._refused: Counter[str] = Counter()
        # The failure that the log reported last, of the source and of the ledger; empty: none.
        self._logged = self._logged_of_ledger = ""
        self._notes: Mapping[str, Any] = {}
        self._warnings: tuple[str, ...] = ()

    def current(self) -> SourceHealth:
        """Return the health at present."""
        now, success_at = self._now_ms(), self._last_success_at
        return SourceHealth(
            source=self._source,
            state=self._state,
            state_age_ms=now - self._state_at,
            consecutive_failures=self.consecutive_failures,
            last_error=self._last_error,
            last_success_age_ms=None if success_at is None else now - success_at,
            polls=self._polls,
            failures=self._failures,
            refused=dict(self._refused),
            notes=dict(self._notes),
            warnings=self._warnings,
        )

    def count_poll(self) -> None:
        """Count a query that starts."""
        self._polls += 1

    def record_success(self) -> None:
        """Record a usable answer of the platform."""
        self.consecutive_failures = 0
        self._last_success_at = self._now_ms()
        self._enter(SourceState.OK)
        if self._logged:
            log.info("zone %s: source %s is ok again", self._zone, self._source)
        self._logged = ""

    def record_notes(self, notes: Mapping[str, Any], warnings: tuple[str, ...]) -> None:
        """Record notes and warnings of an answer; a warning is logged when it is new."""
        known = {_mask_numbers(warning) for warning in self._warnings}
        for warning in warnings:
            if _mask_numbers(warning) not in known:
                log.warning("zone %s: source %s: %s", self._zone, self._source, warning)
        if self._warnings and not warnings:
            log.info("zone %s: source %s has no warnings any more", self._zone, self._source)
        self._notes, self._warnings = notes, warnings

    def record_failure(self, reason: str, defect: Exception | None = None) -> None:
        """Record that the platform gave no usable answer.

        Args:
            reason: one line.
            defect: an exception of this service, which is logged with its traceback.
        """
        self._failures += 1
        self.consecutive_failures += 1
        self._last_error = reason
        self._enter(SourceState.FAILING)
        if _mask_numbers(reason) != self._logged:
            text = "zone %s: source %s is failing: %s"
            log.warning(text, self._zone, self._source, reason, exc_info=defect)
        self._logged = _mask_numbers(reason)

    def record_refusal(self, reason: str) -> None:
        """Count a snapshot that the ledger refused."""
        self._refused[reason] += 1

    def record_standby(self) -> None:
        """Record that another replica polls the zone."""
        self._enter(SourceState.STANDBY)

    def record_ledger_failure(self, reason: str) -> None:
        """Record that the ledger did not answer, which implies nothing about the platform."""
        self.ledger_failures += 1
        if _mask_numbers(reason) != self._logged_of_ledger:
            log.warning("zone %s: source %s is not polled: %s", self._zone, self._source, reason)
        self._logged_of_ledger = _mask_numbers(reason)

    def record_ledger_success(self) -> None:
        """Record that the ledger answers."""
        self.ledger_failures = 0
        if self._logged_of_ledger:
            log.info("zone %s: source %s is polled again", self._zone, self._source)
        self._logged_of_ledger = ""

    def _enter(self, state: SourceState) -> None:
        if state != self._state:
            self._state, self._state_at = state, self._now_ms()


def _mask_numbers(reason: str) -> str:
    """Make reasons equal that differ in times and counters only."""
    return _NUMBER.sub("#", reason)
