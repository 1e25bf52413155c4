"""The reference of the metrics, from their definitions in the code."""

from collections.abc import Iterator

from admission.telemetry.metrics import Telemetry
from admission.telemetry.replica_metrics import METRICS as REPLICA_METRICS
from admission.telemetry.zone_metrics import METRICS, UP

TOP = """\
# Metrics

`GET /metrics`, in the text format of Prometheus. Names and labels are stable; every label comes
from a bounded set. With a single process, the `process_*` metrics of the Prometheus client are
exported too.

Alert rules: `deploy/prometheus/`, how to respond to each: [runbook](runbook.md). A dashboard
for Grafana: `deploy/grafana/`.

This page is generated (`make docs`) from the code.
"""

PROCESS = """\
## Of a replica

Counted by the scraped replica, all of its workers together: use sums over replicas.
Gauges are of the scraped replica or worker; those of Redis are the same on all replicas.

| metric | type | labels | |
|---|---|---|---|"""

ZONE = """\

## Of a zone

Read from the store at the scrape: every replica exports the same values, so use `max by (zone,
...)` over replicas and never a sum. Counters start when the zone is created, and again when the
store has lost its data.

| metric | type | labels | |
|---|---|---|---|"""


def page() -> str:
    """Build the page."""
    return "\n".join([TOP, PROCESS, *_of_process(), ZONE, *_of_zone()])


def metric_names() -> set[str]:
    """Every metric name that a query may use."""
    found = {UP[0]} | {one.name for one in REPLICA_METRICS}
    for family in Telemetry().registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        found |= {family.name + end for end in suffixes.get(family.type, [""])}
    return found | {one.name + ("_total" if one.is_counter else "") for one in METRICS}


def _of_process() -> Iterator[str]:
    telemetry = Telemetry()
    for collector, names in telemetry.registry._collector_to_names.items():
        labels = getattr(collector, "_labelnames", None)
        if labels is None:
            continue  # a metric of the process itself
        (family,) = collector.collect()
        name = min(names, key=len)
        end = "_total" if family.type == "counter" else ""
        yield _row(name + end, family.type, labels, family.documentation)
    for one in REPLICA_METRICS:
        yield _row(one.name, "gauge", one.labels, one.text)


def _of_zone() -> Iterator[str]:
    yield _row(UP[0], "gauge", ("zone",), UP[1])
    for one in METRICS:
        kind, end = ("counter", "_total") if one.is_counter else ("gauge", "")
        yield _row(one.name + end, kind, ("zone", *one.labels), one.text)


def _row(name: str, kind: str, labels: tuple[str, ...], text: str) -> str:
    named = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}` | {kind} | {named} | {text} |"
