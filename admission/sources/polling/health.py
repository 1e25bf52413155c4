"""How polling goes, for status pages, metrics and the log: once per change, not per poll."""

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
    """What this process knows of a source's answers for one zone."""

    NEVER = "never"  # not polled yet
    OK = "ok"
    FAILING = "failing"
    STANDBY = "standby"  # another replica polls the zone


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHealth:
    """One source of one zone, as this process sees it.

    Args:
        source: its name.
        state: now.
        state_age_ms: since it is in that state.
        consecutive_failures: polls without a usable answer since the last usable one.
        last_error: why the newest of them failed, one line; it stays when the source is ok again.
        last_success_age_ms: since the last usable answer; None: there was none.
        polls: queries begun, ever.
        failures: of them without a usable answer.
        refused: reason -> snapshots that the ledger refused.
        notes: what the platform said beside its counts, with its newest usable answer.
        warnings: what the operator should look at though there are counts.
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
    """One step of a poller, for metrics.

    Args:
        zone, source: whose.
        kind: accepted or refused by the ledger; failed at the platform; the ledger unavailable;
            on standby, because another replica polls.
        duration_ms: of the query; 0 where none was made.
        reason: why, for all but accepted and standby. The ledger's word where it refused.
    """

    zone: str
    source: str
    kind: EventKind
    duration_ms: int = 0
    reason: str = ""


class HealthRecord:
    """Keeps the health of one source of one zone, and logs its changes.

    Args:
        zone, source: whose.
        now_ms: the time, for ages.
    """

    def __init__(self, zone: str, source: str, now_ms: Callable[[], int]) -> None:
        self.consecutive_failures = 0
        self.store_failures = 0
        self._zone, self._source = zone, source
        self._now_ms = now_ms
        self._state, self._state_at = SourceState.NEVER, now_ms()
        self._last_error: str | None = None
        self._last_success_at: int | None = None
        self._polls = self._failures = 0
        self._refused: Counter[str] = Counter()
        # What the log was told last: of the source, and of the ledger. Empty: that all is well.
        self._told = self._told_of_store = ""
        self._notes: Mapping[str, Any] = {}
        self._warnings: tuple[str, ...] = ()

    def seen(self) -> SourceHealth:
        """The health now."""
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

    def began(self) -> None:
        """A query begins."""
        self._polls += 1

    def answered(self) -> None:
        """The platform gave a usable answer."""
        self.consecutive_failures = 0
        self._last_success_at = self._now_ms()
        self._enter(SourceState.OK)
        if self._told:
            log.info("zone %s: source %s is ok again", self._zone, self._source)
        self._told = ""

    def noted(self, notes: Mapping[str, Any], warnings: tuple[str, ...]) -> None:
        """What came with the counts. Each warning is logged when it is new, not per poll."""
        known = {_gist(warning) for warning in self._warnings}
        for warning in warnings:
            if _gist(warning) not in known:
                log.warning("zone %s: source %s: %s", self._zone, self._source, warning)
        if self._warnings and not warnings:
            log.info("zone %s: source %s: nothing to warn of any more", self._zone, self._source)
        self._notes, self._warnings = notes, warnings

    def failed(self, reason: str, defect: Exception | None = None) -> None:
        """The platform gave none. `reason`: one line; `defect`: ours, logged with its trace."""
        self._failures += 1
        self.consecutive_failures += 1
        self._last_error = reason
        self._enter(SourceState.FAILING)
        if _gist(reason) != self._told:
            told = "zone %s: source %s is failing: %s"
            log.warning(told, self._zone, self._source, reason, exc_info=defect)
        self._told = _gist(reason)

    def refused(self, reason: str) -> None:
        """The ledger did not take the answer."""
        self._refused[reason] += 1

    def stood_by(self) -> None:
        """Another replica polls."""
        self._enter(SourceState.STANDBY)

    def store_failed(self, reason: str) -> None:
        """The ledger could not be asked: says nothing of the platform."""
        self.store_failures += 1
        if _gist(reason) != self._told_of_store:
            log.warning("zone %s: source %s is not polled: %s", self._zone, self._source, reason)
        self._told_of_store = _gist(reason)

    def store_answered(self) -> None:
        """The ledger answers."""
        self.store_failures = 0
        if self._told_of_store:
            log.info("zone %s: source %s is polled again", self._zone, self._source)
        self._told_of_store = ""

    def _enter(self, state: SourceState) -> None:
        if state != self._state:
            self._state, self._state_at = state, self._now_ms()


def _gist(reason: str) -> str:
    """What makes a reason another one: a platform's text may carry times and counters."""
    return _NUMBER.sub("#", reason)
