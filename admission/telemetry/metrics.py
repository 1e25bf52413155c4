"""Prometheus metrics of this process. Names are stable; every label comes from a bounded set.

This module counts events of this process, or of all workers together. Metrics of zones are read
from the ledger at each scrape (telemetry/zone_metrics.py), so every replica shows the same values.
"""

import logging
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from admission.telemetry.replica_metrics import NO_FACTS, ReplicaCollector, ReplicaFacts
from admission.telemetry.shared_counts import SharedCounts, is_sharing, use_reserved_files
from admission.telemetry.zone_metrics import Statuses, ZoneCollector

log = logging.getLogger(__name__)

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Telemetry:
    """All metrics of one process.

    Args:
        registry: a new one by default, so that two services in one process (tests) do not collide.
        shared: directory in which several processes count together; each then shows the sums of
            all, of ended ones too, and no figures of its own memory and files.

    Example:
        telemetry = Telemetry()
        telemetry.count_report("East", "end", "completed")
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, *, shared: str | None = None
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self.read_certificate_expiry: Callable[[], float | None] = lambda: None
        self._shared = None if shared is None else SharedCounts(shared)
        if shared is not None:
            use_reserved_files()
        self._count_calls()
        self._count_sources()
        if shared is None:
            ProcessCollector(registry=self.registry)

    def _count_calls(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            # The look-up of a child by its labels is slow, and there are few children.
            return cache(Counter(name, text, labels, registry=self.registry).labels)

        self._decisions = counter(
            "admission_decisions", "Admissions decided.", "zone", "decision", "reason"
        )
        self._decision_duration = Histogram(
            "admission_decision_duration_seconds",
            "Time to decide an admission that did not wait for room, or all of a batch.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._reports = counter("admission_reports", "Reports taken.", "zone", "verb", "outcome")
        self._requests = counter("admission_http_requests", "HTTP answers.", "route", "status")
        self._loop_delay = Histogram(
            "admission_event_loop_delay_seconds",
            "How much later than asked the event loop ran a timer: everything waited that long.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._dropped_lines = Counter(
            "admission_log_lines_dropped",
            "Lines of the log that were dropped because its reader was too slow.",
            registry=self.registry,
        )

    def _count_sources(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        self._snapshots = counter(
            "admission_snapshots", "Snapshots ingested.", "zone", "accepted", "reason"
        )
        self._polls = counter("admission_source_polls", "Polls of a platform.", "zone", "source")
        self._failures = counter(
            "admission_source_failures", "Polls that gave no snapshot.", "zone", "source"
        )
        self._ledger_batch_size = Histogram(
            "admission_ledger_batch_size",
            "Operations that went to the ledger in one call.",
            buckets=_SIZES,
            registry=self.registry,
        )
        self._call_seconds = Histogram(
            "admission_ledger_call_seconds",
            "Time of one call of the ledger's script: the way to Redis, the script, the way back.",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def count_decisions(
        self, zone: str, answers: Sequence[Mapping[str, Any]], seconds: float | None
    ) -> None:
        """Count admissions that were decided together in this time, which counts once.

        Args:
            seconds: None for a request that waited for room.
        """
        if len(answers) == 1:  # the usual case: no sum
            self._decisions(zone, _classify(answers[0]), answers[0].get("reason") or "").inc()
        else:
            kinds = Tally((_classify(one), one.get("reason") or "") for one in answers)
            for (decision, reason), n in kinds.items():
                self._decisions(zone, decision, reason).inc(n)
        if seconds is not None and answers:
            self._decision_duration.observe(seconds)

    def count_report(self, zone: str, verb: str, outcome: str) -> None:
        """Count a report. `outcome`: of the call for `end`, otherwise ok, adopted, repeated ..."""
        self._reports(zone, verb, outcome).inc()

    def count_request(self, route: str, status: int) -> None:
        """Count an HTTP response; `route` is the template, not the path."""
        self._requests(route, str(status)).inc()

    def count_dropped_line(self) -> None:
        """Count a line of the log that was dropped."""
        self._dropped_lines.inc()

    def observe_loop_delay(self, seconds: float) -> None:
        """Record by how much the event loop ran a timer too late."""
        self._loop_delay.observe(seconds)

    def count_snapshot(self, zone: str, refused: str | None = None) -> None:
        """Count a snapshot, polled or pushed; `refused`: the ledger's reason, if it refused it."""
        accepted = "false" if refused else "true"
        self._snapshots.labels(zone, accepted, refused or "").inc()

    def observe_batch(self, operations: int) -> None:
        """Record the number of operations of one script call."""
        self._ledger_batch_size.observe(operations)

    def observe_call(self, seconds: float) -> None:
        """Record the time of one script call."""
        self._call_seconds.observe(seconds)

    def count_poll(self, zone: str, source: str, *, failed: bool = False) -> None:
        """Count a poll of a platform."""
        self._polls.labels(zone, source).inc()
        if failed:
            self._failures.labels(zone, source).inc()

    def scrape(self, statuses: Statuses, facts: ReplicaFacts = NO_FACTS) -> bytes:
        """Everything in the text format of Prometheus; the zones' metrics in any case.

        Args:
            statuses: zone -> its status by the ledger, None if it does not answer.
            facts: of this replica.
        """
        read = CollectorRegistry()
        read.register(ZoneCollector(statuses))
        read.register(ReplicaCollector(facts))
        return self._scrape_counts() + generate_latest(read)

    def _scrape_counts(self) -> bytes:
        """The counts of all processes; of this one alone where they cannot be shared."""
        if self._shared is not None and is_sharing():
            together = CollectorRegistry()
            try:
                together.register(self._shared)
                return generate_latest(together)
            except Exception as fault:
                log.warning("metrics: the counts of the workers cannot be read: %r", fault)
        return generate_latest(self.registry)


def _classify(answer: Mapping[str, Any]) -> str:
    """`grant` counts new grants only: no repeats, no dry runs."""
    for kind in ("dry_run", "repeated", "shadow"):
        if answer.get(kind):
            return kind
    return str(answer["decision"])
