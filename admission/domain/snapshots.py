"""Snapshots of a platform, the lease of the poller, and the answer to an ingest."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotGroup:
    """Pools that share one total (EP: both protocols), with the unused ports of each.

    The numbers are the platform's, unchecked: the ledger refuses and counts impossible ones.
    """

    total: int
    unused: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One answer of a platform for one zone.

    Args:
        groups: what it counted.
        absent: pools of which it said that it has no number (Huawei's 4294967295).
        notes: facts for the zone's status only (licence end, signed-in agents). No secrets.
        warnings: conditions that an operator should examine although there are counts, a line each.
        age_ms: age of the counts when the query was sent, where the platform states the time of
            its count; None: it states none, and the zone's `visibility_lag_ms` counts.
        taken_at: that time as the platform states it, Unix ms: equal for the same count.
        counted_at: the time of the count in zone ms, never later than the truth; the poller makes
            it of `age_ms`. None: not known.
    """

    groups: tuple[SnapshotGroup, ...]
    absent: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    age_ms: int | None = None
    taken_at: int | None = None
    counted_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Whether this replica polls a zone now, and what the poller needs to know of the zone.

    Args:
        now: zone time in ms; the t0 of a snapshot whose query starts after this answer.
        token: fencing token when the lease is ours, else None.
        until: zone time in ms when the lease lapses.
        wanted: a request was denied for capacity since the newest snapshot.
        idle_ms: ms since the last admission request.
        newest_t0: t0 of the newest snapshot of the channel pools, 0 if none.
    """

    now: int
    token: int | None
    until: int
    wanted: bool
    idle_ms: int
    newest_t0: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestAnswer:
    """The result of an ingest; `refused`: pool -> reason, empty when all groups were accepted."""

    now: int
    accepted: bool
    reason: str | None = None
    pool: str | None = None
    refused: dict[str, str] = field(default_factory=dict)
