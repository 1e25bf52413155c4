"""What the estimator is given of one snapshot: the platform's count and a summary of own calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Running totals of one pool since its state was born; they only grow.

    Args:
        reports: launches reported, each reservation once.
        report_delay_ms: sum over them of the time from grant to launch report.
        ends: reservations that left the pool by an end report, of whatever outcome.
        failures: of these, launches that found no port (`no_resource`).
        drops: reservations that left without an end: expired.

    Example:
        >>> Counters(ends=3, drops=1).since(Counters(ends=1)).ends
        2
    """

    reports: int = 0
    report_delay_ms: int = 0
    ends: int = 0
    failures: int = 0
    drops: int = 0

    def since(self, before: "Counters") -> "Counters":
        """The differences to earlier totals; none is negative (the store may have lost some)."""
        return Counters(
            reports=max(0, self.reports - before.reports),
            report_delay_ms=max(0, self.report_delay_ms - before.report_delay_ms),
            ends=max(0, self.ends - before.ends),
            failures=max(0, self.failures - before.failures),
            drops=max(0, self.drops - before.drops),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One snapshot of one pool with the ledger's summary as of its arrival. Times: zone ms.

    Args:
        t0, t1: when the query was sent, and when its answer was ingested.
        total, unused: what the platform counted.
        counted_at: the platform's own time of the count in zone time, where the source states it;
            not later than t1.
        shares_total: another pool counts under the same total.
        in_use: live reservations of the pool at t1.
        granted: live reservations, neither reported launched nor known to have a port, by the bin
            of their grant. Bins older than `BINS` may be left out.
        launched: the same of those whose launch is reported, by the bin of that report.
        ended_granted, ended_launched: calls that ended within `ENDS_BINS` after having had a port:
            for each bin in which a dialer saw ends, the start bin of each of these calls (bin of
            the launch report, else of the grant).
        taken_granted, taken_launched: live calls whose port was reported within `ENDS_BINS`, in the
            same form: for each bin in which a report came, the start bins of its calls.
        counters: running totals.
        failed_at: when the last launch found no port; 0: never.
        frozen_at: when a mass of ends froze the pool; 0: it is not frozen.

    Example:
        >>> Observation(t0=5_000, t1=5_020, total=200, unused=40, in_use=150).counted_ms
        5010
    """

    t0: int
    t1: int
    total: int
    unused: int
    in_use: int
    counted_at: int | None = None
    shares_total: bool = False
    granted: Mapping[int, int] = field(default_factory=dict)
    launched: Mapping[int, int] = field(default_factory=dict)
    ended_granted: Mapping[int, Sequence[int]] = field(default_factory=dict)
    ended_launched: Mapping[int, Sequence[int]] = field(default_factory=dict)
    taken_granted: Mapping[int, Sequence[int]] = field(default_factory=dict)
    taken_launched: Mapping[int, Sequence[int]] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    failed_at: int = 0
    frozen_at: int = 0

    @property
    def counted_ms(self) -> int:
        """The moment from which the age of the count is measured back."""
        return (self.t0 + self.t1) // 2 if self.counted_at is None else self.counted_at

    @property
    def recent_ends(self) -> int:
        """Calls in the two summaries of ends."""
        return sum(map(len, self.ended_granted.values())) + sum(
            map(len, self.ended_launched.values())
        )
