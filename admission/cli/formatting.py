"""Reports of decisions and reservations."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from admission.cli.output import format_value, indent, make_table

_VERDICT_NUMBERS: Final = ("limit", "in_use", "headroom", "room")
_OPERATOR: Final = "until an operator changes it"


def render_decision(decision: dict[str, Any]) -> RenderableType:
    """Return the report of a grant or a denial, with the next step of the dialer."""
    if decision["decision"] == "grant":
        head = _describe_grant(decision)
    else:
        head = [Text(f"denied: {_describe_limit(decision)}", style="red")]
    snapshot, pools = decision.get("snapshot"), decision.get("pools") or ()
    return Group(
        *head,
        *([_describe_snapshot(snapshot)] if snapshot else ()),
        *([indent(_tabulate_verdicts(pools))] if pools else ()),
    )


def render_reservations(page: dict[str, Any]) -> RenderableType:
    """Return a table of reservations; `AGE` is the time since the grant."""
    if not page["reservations"]:
        return Text("no reservations")
    table = make_table("ID", "STATE", "CAMPAIGN", "CHANNEL", "MPP", "AGE", "OUTCOME", "OWNER")
    table.columns[0].overflow = "fold"  # an id is copied: a shortened one is useless
    for one in page["reservations"]:
        fields = [one.get(name) or "-" for name in ("campaign", "channel", "mpp")]
        age = format_duration(page["now"] - one["granted_at"])
        last = [one.get("outcome") or "-", one.get("owner") or "-"]
        style = None if one["state"] == "live" else "dim"
        table.add_row(one["id"], one["state"], *fields, age, *last, style=style)
    more = [Text("... there are more: --limit")] if page.get("cursor") else []
    return Group(table, *more)


def format_duration(ms: int) -> str:
    """Return a duration in the unit of its size, such as `400 ms`, `2.5 s`, `2 min 30 s`."""
    if ms < 1000:
        return f"{ms} ms"
    return f"{ms / 1000:.1f} s" if ms < 60_000 else f"{ms // 60_000} min {ms // 1000 % 60} s"


def _describe_grant(decision: dict[str, Any]) -> Sequence[Text]:
    calls = "1 launch" if decision["granted"] == 1 else f"{decision['granted']} launches"
    marks = [
        word for word in ("repeated", "shadow", "dry run") if decision.get(word.replace(" ", "_"))
    ]
    marked = f" ({', '.join(marks)})" if marks else ""
    head = f"granted: {calls} on {decision['channel']} in zone {decision['zone']}{marked}"
    lines = [Text(head, style="green")]
    if decision.get("reason"):
        lines.append(Text(f"  no more than that: {_describe_limit(decision)}"))
    if decision.get("dry_run"):
        return lines
    within = f"  launch within {decision['launch_within_ms']} ms of asking; end each of these:"
    return [*lines, Text(within), *map(_describe_reservation, decision["reservations"])]


def _describe_reservation(one: dict[str, Any]) -> Text:
    where = f" on {one['mpp']}" if one.get("mpp") else ""
    within = one.get("renew_within_ms")
    report = f", report within {format_duration(within)}" if within else ""
    return Text(f"  {one['id']}{where}{report}")


def _describe_limit(decision: dict[str, Any]) -> str:
    where = f" at {decision['pool']}" if decision.get("pool") else ""
    in_use, limit = decision.get("in_use"), decision.get("limit")
    use = "" if in_use is None or limit is None else f", {in_use} of {limit} in use"
    retry_ms = decision.get("retry_after_ms")
    retry = f"ask again in {format_duration(retry_ms)}" if retry_ms is not None else _OPERATOR
    return f"{decision.get('reason')}{where}{use}; {retry}"


def _describe_snapshot(one: dict[str, Any]) -> Text:
    counts = f"{format_value(one.get('unused'))} of {format_value(one.get('total'))} ports unused"
    return Text(f"  the platform reported {counts} {format_duration(one['age_ms'])} ago")


def _tabulate_verdicts(pools: Iterable[dict[str, Any]]) -> Table:
    heads = [name.upper().replace("_", " ") for name in _VERDICT_NUMBERS]
    table = make_table("POOL", *heads, "VERDICT", right=heads)
    for one in pools:
        numbers = (format_value(one.get(name)) for name in _VERDICT_NUMBERS)
        verdict = format_value(one.get("verdict"))
        style = "green" if verdict == "ok" else "red"
        table.add_row(one["pool"], *numbers, Text(verdict, style=style))
    return table
