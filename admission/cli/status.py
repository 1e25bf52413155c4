"""The report of `admission status`."""

from collections.abc import Iterable
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from admission.cli.learned import describe_state, tabulate_learned
from admission.cli.output import format_value, indent, make_table

_NUMBERS: Final = ("in_use", "limit", "room")
_REPAIRS: Final = {
    "recounted": "counts corrected",
    "set_aside": "entries set aside",
    "undo_failed": "failed undos",
}


def render_overview(zones: Iterable[dict[str, Any]]) -> RenderableType:
    """Return the report of all zones, each with its channel pools."""
    return Group(*(_render_zone(zone, prefix="channel:") for zone in zones))


def render_zone(zone: dict[str, Any]) -> RenderableType:
    """Return the report of a zone with all of its pools and sources."""
    sources = (_describe_source(one) for one in zone.get("sources") or ())
    aside = (_describe_aside(one) for one in zone.get("set_aside") or ())
    learned = tabulate_learned(zone["pools"])
    tables = [indent(learned)] if learned else []
    return Group(_render_zone(zone, prefix=""), *tables, *sources, *aside)


def _render_zone(zone: dict[str, Any], *, prefix: str) -> RenderableType:
    if "problem" in zone:
        return Text(f"{zone['zone']}: {zone['problem'].get('detail')}", style="red")
    return Group(_describe_zone(zone), indent(_tabulate_pools(zone, prefix)))


def _describe_zone(zone: dict[str, Any]) -> Text:
    policy, paused = zone.get("policy") or {}, zone.get("paused") or {}
    text = Text(f"{zone['zone']}", style="bold")
    text.append(f": policy version {policy.get('version', '?')}", style="not bold")
    states = ["differs from the file"] if policy.get("differs_from_file") else []
    states += ["PAUSED"] if "zone" in paused else []
    states += [name for name in ("recovering", "shadow") if zone.get(name)]
    states += [f"{name} paused" for name in paused if name.startswith("mpp:")]
    stats = zone.get("stats") or {}
    recount = zone.get("recount") or {}
    states += ["recounting"] if recount.get("running") else []
    states += [f"{stats[key]} {text}" for key, text in _REPAIRS.items() if stats.get(key)]
    for state in states:
        text.append(", ", style="not bold").append(state, style="yellow")
    return text


def _tabulate_pools(zone: dict[str, Any], prefix: str) -> Table:
    heads = [name.replace("_", " ") for name in _NUMBERS]
    table = make_table("pool", *heads, "", right=heads)
    for column in table.columns[1:4]:
        column.min_width = 7
    for pool in zone["pools"]:
        if pool["pool"].startswith(prefix):
            numbers = (format_value(pool.get(name)) for name in _NUMBERS)
            style = "red" if pool.get("room") == 0 else None
            table.add_row(pool["pool"], *numbers, ", ".join(_describe(zone, pool)), style=style)
    return table


def _describe(zone: dict[str, Any], pool: dict[str, Any]) -> Iterable[str]:
    if pool["pool"] in (zone.get("paused") or {}):
        yield "paused"
    if "temporary_limit" in pool:
        yield f"temporarily limited to {pool['temporary_limit']}"
    if learned := pool.get("learned"):
        yield describe_state(learned)
    if snapshot := pool.get("snapshot"):
        unused, total = format_value(snapshot.get("unused")), format_value(snapshot.get("total"))
        yield f"{unused} of {total} unused {snapshot['age_ms'] / 1000:.1f} s ago"


def _describe_aside(entry: dict[str, Any]) -> Text:
    moved = f", now {entry['moved_to']}" if entry.get("moved_to") else ""
    what = f"  set aside: {entry['kind']} {entry['name']} ({entry['reason']}{moved})"
    return Text(f"{what}: {entry['advice']}", style="yellow")


def _describe_source(source: dict[str, Any]) -> Text:
    error = f": {source['last_error']}" if source.get("last_error") else ""
    text = f"  source {source['source']} {source.get('state', '')}".rstrip() + error
    return Text(text, style="red" if error else "")
