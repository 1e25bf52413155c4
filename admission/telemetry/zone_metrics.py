"""Prometheus metrics of zones, computed from their statuses at each scrape.

Every replica therefore shows the same values, and a removed pool leaves no series. One table: name,
kind, meaning, labels, and the place of the numbers in a status.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from admission.domain.policy.memory import estimate_memory

# Requests create pools (campaign "*", agent:*), so callers determine their number.
POOL_LABELS_MAX: Final = 500

Status: TypeAlias = Mapping[str, Any]
Statuses: TypeAlias = Mapping[str, Status | None]
Found: TypeAlias = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneMetric:
    """One metric: `labels` beside `zone`, and `read`: status -> (label values, value), ..."""

    name: str
    text: str
    read: Callable[[Status], Found]
    labels: tuple[str, ...] = ()
    is_counter: bool = False

    def family(self, statuses: Mapping[str, Status]) -> Metric:
        """The metric of all zones."""
        kind = CounterMetricFamily if self.is_counter else GaugeMetricFamily
        made = kind(self.name, self.text, labels=["zone", *self.labels])
        for zone, status in statuses.items():
            for labels, value in self.read(status):
                made.add_metric([zone, *labels], value)
        return made


class ZoneCollector(Collector):
    """The metrics of one scrape. `statuses`: None for a zone whose store does not answer."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    def collect(self) -> Iterable[Metric]:
        """Every metric of the table, and which zones can be read."""
        up = GaugeMetricFamily(*UP, labels=["zone"])
        for zone, status in self._statuses.items():
            up.add_metric([zone], float(status is not None))
        yield up
        known = {zone: status for zone, status in self._statuses.items() if status is not None}
        for metric in METRICS:
            yield metric.family(known)


def _read_value(read: Callable[[Status], float | None]) -> Callable[[Status], Found]:
    """One number of the whole zone, if it is known."""

    def found(status: Status) -> Found:
        value = read(status)
        return [] if value is None else [((), float(value))]

    return found


def _read_field(name: str, scale: float = 1) -> Callable[[Status], Found]:
    return _read_value(lambda status: (status.get(name) or 0) * scale)


def _read_stored(prefix: str) -> Callable[[Status], Found]:
    """What Redis stores of the zone, or the most of it."""

    def found(status: Status) -> Found:
        stored = status.get("stored") or {}
        for kind in ("reservations", "pools"):
            if isinstance(stored.get(prefix + kind), int):
                yield (kind,), stored[prefix + kind]

    return found


def _read_memory_bound(status: Status) -> float | None:
    stored = status.get("stored") or {}
    records, pools = stored.get("max_reservations"), stored.get("max_pools")
    if records is None or pools is None:
        return None  # an older version compiled the policy
    return estimate_memory([(records, pools)])


def _read_pool(field: str) -> Callable[[Status], Found]:
    def found(status: Status) -> Found:
        for pool in _list_labelled(status):
            if isinstance(pool.get(field), int):
                yield (pool["pool"],), pool[field]

    return found


def _read_snapshot(field: str, scale: float = 1) -> Callable[[Status], Found]:
    """Of a channel's newest snapshot."""

    def found(status: Status) -> Found:
        for pool in _list_channels(status):
            value = (pool.get("snapshot") or {}).get(field)
            if value is not None:
                yield (pool["pool"].partition(":")[2],), value * scale

    return found


def _read_learned(
    read: Callable[[Status], Iterable[tuple[tuple[str, ...], float | None]]],
) -> Callable[[Status], Found]:
    """Of what was learned of a channel; `read`: (more label values, value), None: not known."""

    def found(status: Status) -> Found:
        for pool in _list_channels(status):
            for labels, value in read(pool.get("learned") or {}):
                if value is not None:
                    yield (pool["pool"].partition(":")[2], *labels), float(value)

    return found


def _read_learned_field(name: str, scale: float = 1) -> Callable[[Status], Found]:
    def found(learned: Status) -> Iterator[tuple[tuple[str, ...], float | None]]:
        value = learned.get(name)
        yield (), None if value is None else value * scale

    return _read_learned(found)


def _read_doubts(learned: Status) -> Iterator[tuple[tuple[str, ...], float]]:
    """Why it cannot count now: the doubts, else the fallback."""
    fallback = learned.get("fallback")
    for reason in learned.get("doubts") or ([fallback] if fallback else []):
        yield (reason,), 1


def _read_claim_times(learned: Status) -> Iterator[tuple[tuple[str, ...], float | None]]:
    for quantile, name in (("0.5", "claim_median_ms"), ("0.99", "claim_p99_ms")):
        value = learned.get(name)
        yield (quantile,), None if value is None else value / 1000


def _read_foreign(sign: int) -> Callable[[Status], Found]:
    """Ports of a group of channels: of others (sign 1), or ours that the platform does not show."""

    def found(status: Status) -> Found:
        snapshots = [pool.get("snapshot") or {} for pool in _list_channels(status)]
        groups = {one["group"]: one["foreign"] for one in snapshots if "group" in one}
        return [((group,), max(0, sign * foreign)) for group, foreign in groups.items()]

    return found


def _read_count(name: str) -> Callable[[Status], Found]:
    return _read_value(lambda status: (status.get("stats") or {}).get(name, 0))


def _read_counts(prefix: str, scale: float = 1) -> Callable[[Status], Found]:
    """All counters whose name begins so; the rest is the label."""

    def found(status: Status) -> Found:
        for name, n in (status.get("stats") or {}).items():
            if name.startswith(prefix):
                yield (name.removeprefix(prefix),), n * scale

    return found


def _read_paused(status: Status) -> Found:
    return [((pool,), 1) for pool in status.get("paused") or {}]


def _read_out_of_sync(status: Status) -> float:
    return float(bool((status.get("policy") or {}).get("differs_from_file")))


def _list_channels(status: Status) -> Iterator[Status]:
    return (pool for pool in status.get("pools") or () if pool["pool"].startswith("channel:"))


def _list_labelled(status: Status) -> list[Status]:
    listed = [pool for pool in status.get("pools") or () if not pool.get("wildcard")]
    # The platform's own pools first: they are few, and the bound must not drop them.
    listed.sort(key=lambda pool: not pool["pool"].startswith(("channel:", "mpp:")))
    return listed[:POOL_LABELS_MAX]


def _gauge(
    name: str, text: str, read: Callable[[Status], Found], *labels: str
) -> ZoneMetric:  # fmt: skip
    return ZoneMetric(name=f"admission_{name}", text=text, read=read, labels=labels)


def _counter(name: str, text: str, read: Callable[[Status], Found], *labels: str) -> ZoneMetric:
    return ZoneMetric(
        name=f"admission_{name}", text=text, read=read, labels=labels, is_counter=True
    )


UP: Final = ("admission_zone_up", "1 when the zone's store answers.")
METRICS: Final = (
    _gauge("zone_recovering", "1 while the zone is recovering.", _read_field("recovering")),
    _gauge("zone_shadow", "1 when the zone only watches.", _read_field("shadow")),
    _gauge("pool_paused", "1 for each paused pool, or `zone`.", _read_paused, "pool"),
    _gauge(
        "policy_out_of_sync",
        "1 when the live policy is not the file's.",
        _read_value(_read_out_of_sync),
    ),
    _gauge("waiters", "Asks that wait for room, on all replicas.", _read_field("waiters")),
    _gauge(
        "longest_wait_seconds",
        "How long the first of them waits.",
        _read_field("longest_wait_ms", 0.001),
    ),
    _gauge("pool_in_use", "Live reservations that hold the pool.", _read_pool("in_use"), "pool"),
    _gauge(
        "pool_ceiling",
        "The most reservations that the pool may hold, by its newest snapshot.",
        _read_pool("ceiling"),
        "pool",
    ),
    _gauge(
        "pool_limit",
        "The most reservations that the pool may hold now.",
        _read_pool("limit"),
        "pool",
    ),
    _gauge("pool_headroom", "Ports that are never granted.", _read_pool("headroom"), "pool"),
    _gauge(
        "pool_adaptive_headroom",
        "Of them: reserved after launches that found no free port.",
        _read_pool("adaptive_headroom"),
        "pool",
    ),
    _gauge(
        "learned_ceiling",
        "The most reservations that the channel may hold by what was learned from its snapshots.",
        _read_learned_field("ceiling"),
        "channel",
    ),
    _gauge(
        "learned_ceiling_in_force",
        "1 while the learned ceiling counts, 0 while the proved one does.",
        _read_learned_field("in_force"),
        "channel",
    ),
    _gauge(
        "learned_claim_seconds",
        "Learned: half (0.5) and 99% (0.99) of the launches take their port within this time.",
        _read_learned(_read_claim_times),
        "channel",
        "quantile",
    ),
    _gauge(
        "learned_count_age_seconds",
        "Learned: mean age of the platform's counts.",
        _read_learned_field("count_age_ms", 0.001),
        "channel",
    ),
    _gauge(
        "learned_foreign_drift_ports",
        "Learned: ports by which foreign use drifts in a second (standard deviation).",
        _read_learned_field("foreign_sd_per_s"),
        "channel",
    ),
    _gauge(
        "learned_foreign_trend_ports",
        "Learned: trend of foreign use, in ports per second.",
        _read_learned_field("foreign_slope_per_s"),
        "channel",
    ),
    _gauge(
        "learned_doubt",
        "1 for each reason for which the learned ceiling cannot count now.",
        _read_learned(_read_doubts),
        "channel",
        "reason",
    ),
    _gauge(
        "learned_gain_ports",
        "Last hour: mean ports that it would have allowed beyond the proved ceiling while requests "
        "were denied for want of ports.",
        _read_learned_field("gain_ports"),
        "channel",
    ),
    _gauge(
        "learned_wanted_seconds",
        "Seconds of the last hour in which requests were denied for want of ports.",
        _read_learned_field("wanted_s"),
        "channel",
    ),
    _gauge("zone_stored", "What Redis stores of the zone.", _read_stored(""), "kind"),
    _gauge("zone_stored_max", "The most of it by the policy.", _read_stored("max_"), "kind"),
    _gauge(
        "zone_memory_bound_bytes",
        "The most memory of Redis that the zone may need by its policy.",
        _read_value(_read_memory_bound),
    ),
    _gauge("pool_available", "Launches that the pool can admit now.", _read_pool("room"), "pool"),
    _gauge(
        "pool_held",
        "Live reservations that the newest snapshot must contain.",
        _read_pool("held"),
        "pool",
    ),
    _gauge(
        "pool_pending",
        "Live reservations that the newest snapshot may not contain yet.",
        _read_pool("pending"),
        "pool",
    ),
    _gauge(
        "snapshot_age_seconds",
        "Age of the newest snapshot of a channel.",
        _read_snapshot("age_ms", 0.001),
        "channel",
    ),
    _gauge(
        "snapshot_max_age_seconds",
        "The age from which nothing is granted.",
        _read_field("max_age_ms", 0.001),
    ),
    _gauge("snapshot_total", "Ports, by the newest snapshot.", _read_snapshot("total"), "channel"),
    _gauge("snapshot_unused", "Free of them.", _read_snapshot("unused"), "channel"),
    _gauge(
        "foreign_ports",
        "Ports that neither are free nor held by us, by the newest snapshot.",
        _read_foreign(1),
        "group",
    ),
    _gauge(
        "unseen_reservations",
        "Calls that we count as up and the newest snapshot does not show.",
        _read_foreign(-1),
        "group",
    ),
    _counter("zone_granted", "Launches granted.", _read_count("grant")),
    _counter("zone_denied", "Admissions denied.", _read_counts("deny:"), "reason"),
    _counter(
        "zone_shadow_granted",
        "Launches granted by shadow mode alone.",
        _read_count("shadow"),
    ),
    _counter("zone_ended", "Calls reported as ended.", _read_counts("end:"), "outcome"),
    _counter(
        "over_launches",
        "Launches granted and reported to find no port.",
        _read_count("end:no_resource"),
    ),
    _counter(
        "reservations_expired",
        "Reservations that expired without a report of their end.",
        _read_count("expired"),
    ),
    _counter(
        "withdrawn", "Launches granted to clients that had hung up.", _read_count("withdrawn")
    ),
    _counter("adopted", "Reservations restated by their dialers.", _read_count("adopted")),
    _counter(
        "campaign_adopted",
        "Of them, by campaign; *: of campaigns that policy does not name.",
        _read_counts("adopted:"),
        "campaign",
    ),
    _counter(
        "adoptions_refused",
        "Reservations restated without a loss, without proof, or beyond what can have been.",
        _read_count("adoption_refused"),
    ),
    _counter("breaker_openings", "Times that a breaker opened.", _read_count("breaker")),
    _counter(
        "ceiling_fallbacks",
        "Snapshots that found the proved ceiling in force though policy says learned.",
        _read_counts("fallback:"),
        "reason",
    ),
    _gauge(
        "recovered_from_timestamp_seconds",
        "When the zone began to recover last, in zone time. It changes with every loss of state.",
        _read_field("recovered_from", 0.001),
    ),
    _counter(
        "recoveries",
        "Times that the zone began to recover, since its data was lost.",
        _read_count("recovery"),
    ),
    _counter(
        "counts_corrected",
        "Counts that differed from the reservations and were corrected by a recount.",
        _read_count("recounted"),
    ),
    _counter(
        "entries_set_aside",
        "Stored entries that were unreadable and were set aside for inspection.",
        _read_count("set_aside"),
    ),
    _counter(
        "failed_undos",
        "Calls of the ledger that failed and were not undone; the zone recovered and recounted.",
        _read_count("undo_failed"),
    ),
    _counter(
        "campaign_port_seconds",
        "Time that ended reservations held ports; *: of campaigns that policy does not name.",
        _read_counts("port_ms:", 0.001),
        "campaign",
    ),
)  # fmt: skip
