"""What Prometheus sees. The names are stable; every label comes from a bounded set.

Counters are this process's own. Gauges of zones are filled from the ledger when somebody scrapes,
so every replica shows the same.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from admission.model import IngestAnswer

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
# Pools that come into being by asking (campaign "*", agent:*) are as many as callers make them.
POOL_LABELS_MAX: Final = 500
_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_POOL_GAUGES: Final = {
    "in_use": "Live reservations that hold the pool.",
    "ceiling": "The most reservations that the pool may hold, by its newest snapshot.",
    "limit": "The most reservations that the pool may hold now.",
    "held": "Live reservations that the newest snapshot must contain.",
    "pending": "Live reservations that the newest snapshot may not contain yet.",
}

Statuses = Mapping[str, Mapping[str, Any] | None]


class Telemetry:
    """All metrics of one process.

    Args:
        registry: where they live; a new one by default, so that two services in one process (tests)
            do not meet.
        shared: folder in which several processes count together; each then tells the sums of all,
            also of those that died, and nothing of its own memory and files.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, *, shared: str | None = None
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self._shared = shared
        self._count_calls()
        self._count_sources()
        if shared is None:
            ProcessCollector(registry=self.registry)

    def _count_calls(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            # Every call counts: finding a child by its labels is dear, and there are few of them.
            return cache(Counter(name, text, labels, registry=self.registry).labels)

        self._decisions = counter(
            "admission_decisions", "Asks decided.", "zone", "decision", "reason"
        )
        self._decision_seconds = Histogram(
            "admission_decision_seconds",
            "Time to decide an ask that did not wait for room.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._reports = counter("admission_reports", "Reports taken.", "zone", "verb", "outcome")
        self._requests = counter("admission_http_requests", "HTTP answers.", "route", "status")

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
        self._group_operations = Histogram(
            "admission_group_operations",
            "Operations that went to the ledger in one call.",
            buckets=_SIZES,
            registry=self.registry,
        )

    def decided(self, zone: str, answer: Mapping[str, Any], seconds: float | None) -> None:
        """An ask was decided, in this time (None: it waited for room, so its time says nothing)."""
        self._decisions(zone, _decision(answer), answer.get("reason") or "").inc()
        if seconds is not None:
            self._decision_seconds.observe(seconds)

    def reported(self, zone: str, verb: str, outcome: str) -> None:
        """A report was taken. `outcome`: of the call for `end`, else ok, adopted, repeated ..."""
        self._reports(zone, verb, outcome).inc()

    def requested(self, route: str, status: int) -> None:
        """An HTTP request was answered; `route` is the template, not the path."""
        self._requests(route, str(status)).inc()

    def ingested(self, zone: str, answer: IngestAnswer) -> None:
        """A snapshot was taken or refused, polled or pushed."""
        accepted = "true" if answer.accepted else "false"
        self._snapshots.labels(zone, accepted, answer.reason or "").inc()

    def group_committed(self, operations: int) -> None:
        """So many operations went to the ledger in one call."""
        self._group_operations.observe(operations)

    def polled(self, zone: str, source: str, *, failed: bool = False) -> None:
        """A platform was asked for a snapshot."""
        self._polls.labels(zone, source).inc()
        if failed:
            self._failures.labels(zone, source).inc()

    def scrape(self, statuses: Statuses) -> bytes:
        """Everything in the text format of Prometheus.

        Args:
            statuses: zone -> its status as the ledger tells it, None if it could not.
        """
        zones = CollectorRegistry()
        zones.register(_Zones(statuses))
        return generate_latest(self._counted()) + generate_latest(zones)

    def _counted(self) -> CollectorRegistry:
        if self._shared is None:
            return self.registry
        together = CollectorRegistry()
        MultiProcessCollector(together, self._shared)  # type: ignore[no-untyped-call]
        return together


def _decision(answer: Mapping[str, Any]) -> str:
    """`grant` is what was really granted: not again when repeated, not in a dry run."""
    for kind in ("dry_run", "repeated", "shadow"):
        if answer.get(kind):
            return kind
    return str(answer["decision"])


class _Zones(Collector):
    """Gauges of one scrape: made anew each time, so that a pool that is gone leaves no trace."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses
        self._known = {zone: status for zone, status in statuses.items() if status is not None}

    def collect(self) -> Iterable[Metric]:
        yield from self._zones()
        yield from self._pools()
        yield self._ages()

    def _zones(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "admission_zone_up", "1 when the zone's store answers.", labels=["zone"]
        )
        for zone, status in self._statuses.items():
            up.add_metric([zone], float(status is not None))
        yield up
        recovering = GaugeMetricFamily(
            "admission_zone_recovering", "1 while the zone is recovering.", labels=["zone"]
        )
        for zone, status in self._known.items():
            recovering.add_metric([zone], float(bool(status.get("recovering"))))
        yield recovering

    def _pools(self) -> Iterator[Metric]:
        for field, text in _POOL_GAUGES.items():
            family = GaugeMetricFamily(f"admission_pool_{field}", text, labels=["zone", "pool"])
            for zone, status in self._known.items():
                for pool in _labelled(status):
                    if isinstance(pool.get(field), int):
                        family.add_metric([zone, pool["pool"]], pool[field])
            yield family

    def _ages(self) -> Metric:
        ages = GaugeMetricFamily(
            "admission_snapshot_age_seconds",
            "Age of the newest snapshot of a channel.",
            labels=["zone", "channel"],
        )
        for zone, status in self._known.items():
            for pool in status.get("pools") or ():
                kind, _, channel = pool["pool"].partition(":")
                if kind == "channel" and pool.get("snapshot"):
                    ages.add_metric([zone, channel], pool["snapshot"]["age_ms"] / 1000)
        return ages


def _labelled(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = [pool for pool in status.get("pools") or () if not pool.get("wildcard")]
    # The platform's own pools first: they are few, and nobody wants to lose them to the bound.
    listed.sort(key=lambda pool: not pool["pool"].startswith(("channel:", "mpp:")))
    return listed[:POOL_LABELS_MAX]
