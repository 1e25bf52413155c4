"""Prometheus metrics of a replica, read at each scrape: what expires, the store's memory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from admission.domain.types import StoreMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaFacts:
    """What one scrape found.

    Args:
        certificate_expires_at_s: of the service's own certificate; None: without TLS.
        token_expiries: name of a token -> when it expires; those that do not are left out.
        stores: memory of the servers of the store that answered.

    Times are Unix times in seconds.
    """

    certificate_expires_at_s: float | None = None
    token_expiries: Mapping[str, float] = field(default_factory=dict)
    stores: Sequence[StoreMemory] = ()


NO_FACTS: Final = ReplicaFacts()
Found = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaMetric:
    """One metric: its labels, and `read`: facts -> (label values, value), ..."""

    name: str
    text: str
    read: Callable[[ReplicaFacts], Found]
    labels: tuple[str, ...] = ()


def _read_certificate(facts: ReplicaFacts) -> Found:
    expiry = facts.certificate_expires_at_s
    return [] if expiry is None else [((), expiry)]


METRICS: Final = (
    ReplicaMetric(
        name="admission_certificate_expiry_timestamp_seconds",
        text="When the service's own certificate expires, Unix time.",
        read=_read_certificate,
    ),
    ReplicaMetric(
        name="admission_token_expiry_timestamp_seconds",
        text="When a token expires, Unix time; those without an end are left out.",
        read=lambda facts: [((name,), at_s) for name, at_s in facts.token_expiries.items()],
        labels=("token",),
    ),
    ReplicaMetric(
        name="admission_redis_memory_used_bytes",
        text="Memory that a Redis server uses.",
        read=lambda facts: [((one.server,), one.used_bytes) for one in facts.stores],
        labels=("server",),
    ),
    ReplicaMetric(
        name="admission_redis_memory_limit_bytes",
        text="Memory beyond which a Redis server refuses writes: `maxmemory`, else its machine's.",
        read=lambda facts: [((one.server,), one.limit_bytes) for one in facts.stores],
        labels=("server",),
    ),
)


class ReplicaCollector(Collector):
    """The metrics of one scrape."""

    def __init__(self, facts: ReplicaFacts) -> None:
        self._facts = facts

    def collect(self) -> Iterable[Metric]:
        """Every metric of the table."""
        for metric in METRICS:
            family = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
            for labels, value in metric.read(self._facts):
                family.add_metric(labels, value)
            yield family
