"""The reference of the metrics, from the metrics themselves."""

from collections.abc import Iterator

from admission.telemetry.metrics import Telemetry
from admission.telemetry.zone_metrics import METRICS, UP

TOP = """\
# Metrics

`GET /metrics`, in the text format of Prometheus. Names and labels are stable; every label comes
from a bounded set. `process_*` of the Prometheus client comes beside, when one process serves.

Alert rules: `deploy/prometheus/`, what to do when one fires: the [runbook](runbook.md). A dashboard
for Grafana: `deploy/grafana/`.

This page is generated (`make docs`) from the metrics themselves.
"""
PROCESS = """\
## Of a replica

Counted by the replica that is asked (all of its workers together): add them up over replicas.

| metric | type | labels | |
|---|---|---|---|"""
ZONE = """\

## Of a zone

Read from the store at the scrape: every replica tells the same, so take `max by (zone, ...)` over
replicas and never a sum. Counters run since the zone was born and begin anew when the store was
emptied.

| metric | type | labels | |
|---|---|---|---|"""


def page() -> str:
    """The page."""
    return "\n".join([TOP, PROCESS, *_of_process(), ZONE, *_of_zone()])


def metric_names() -> set[str]:
    """Every name that a query may use."""
    found = {UP[0]}
    for family in Telemetry().registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        found |= {family.name + end for end in suffixes.get(family.type, [""])}
    return found | {one.name + ("_total" if one.is_counter else "") for one in METRICS}


def _of_process() -> Iterator[str]:
    telemetry = Telemetry()
    for collector, names in telemetry.registry._collector_to_names.items():
        labels = getattr(collector, "_labelnames", None)
        if labels is None:
            continue  # of the process itself
        (family,) = collector.collect()
        name = min(names, key=len)
        end = "_total" if family.type == "counter" else ""
        yield _row(name + end, family.type, labels, family.documentation)


def _of_zone() -> Iterator[str]:
    yield _row(UP[0], "gauge", ("zone",), UP[1])
    for one in METRICS:
        kind, end = ("counter", "_total") if one.is_counter else ("gauge", "")
        yield _row(one.name + end, kind, ("zone", *one.labels), one.text)


def _row(name: str, kind: str, labels: tuple[str, ...], text: str) -> str:
    named = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}` | {kind} | {named} | {text} |"
