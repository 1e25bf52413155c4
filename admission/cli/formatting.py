"""Decisions and reservations as lines of text."""

from collections.abc import Iterable, Sequence
from typing import Any


def decision_text(found: dict[str, Any]) -> str:
    """A grant or a deny, and what to do now."""
    granted = found["decision"] == "grant"
    return "\n".join(
        [
            *(_granted(found) if granted else [f"denied: {_why(found)}"]),
            *_snapshot(found.get("snapshot")),
            *_verdicts(found.get("pools") or ()),
        ]
    )


def reservations_text(found: dict[str, Any]) -> str:
    """A table; times are ages."""
    rows = [_row(one, found["now"]) for one in found["reservations"]]
    if not rows:
        return "no reservations"
    head = ["ID", "STATE", "CAMPAIGN", "CHANNEL", "MPP", "AGE", "OUTCOME", "OWNER"]
    more = ["... there are more: --limit"] if found.get("cursor") else []
    return "\n".join([*columns([head, *rows]), *more])


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, every column as wide as its widest cell."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return [line.rstrip() for line in padded]


def _granted(found: dict[str, Any]) -> list[str]:
    calls = "1 launch" if found["granted"] == 1 else f"{found['granted']} launches"
    marks = [
        word for word in ("repeated", "shadow", "dry run") if found.get(word.replace(" ", "_"))
    ]
    marked = f" ({', '.join(marks)})" if marks else ""
    head = f"granted: {calls} on {found['channel']} in zone {found['zone']}{marked}"
    rest = [f"  no more than that: {_why(found)}"] if found.get("reason") else []
    if found.get("dry_run"):
        return [head, *rest]
    within = f"  launch within {found['launch_within_ms']} ms of asking; end each of these:"
    return [head, *rest, within, *(_reservation(one) for one in found["reservations"])]


def _reservation(one: dict[str, Any]) -> str:
    where = f" on {one['mpp']}" if one.get("mpp") else ""
    report = f", report within {_seconds(one['renew_within_ms'])}"
    return f"  {one['id']}{where}{report if one.get('renew_within_ms') else ''}"


def _why(found: dict[str, Any]) -> str:
    where = f" at {found['pool']}" if found.get("pool") else ""
    full = found.get("limit") is not None and found.get("in_use") is not None
    use = f", {found['in_use']} of {found['limit']} in use" if full else ""
    again = found.get("retry_after_ms")
    then = "until an operator helps" if again is None else f"ask again in {_seconds(again)}"
    return f"{found.get('reason')}{where}{use}; {then}"


def _snapshot(one: dict[str, Any] | None) -> list[str]:
    if not one:
        return []
    counts = f"{_known(one.get('unused'))} of {_known(one.get('total'))} ports unused"
    return [f"  the platform said {_seconds(one['age_ms'])} ago: {counts}"]


def _verdicts(pools: Iterable[dict[str, Any]]) -> list[str]:
    names = ("limit", "in_use", "headroom", "room", "verdict")
    rows = [[one["pool"], *(_known(one.get(name)) for name in names)] for one in pools]
    if not rows:
        return []
    head = ["POOL", *(name.upper().replace("_", " ") for name in names)]
    return [f"  {line}" for line in columns([head, *rows])]


def _row(one: dict[str, Any], now: int) -> list[str]:
    said = [one.get(name) or "-" for name in ("campaign", "channel", "mpp")]
    age = _seconds(now - one["granted_at"])
    last = [one.get("outcome") or "-", one.get("owner") or "-"]
    return [one["id"], one["state"], *said, age, *last]


def _seconds(ms: int) -> str:
    if ms < 1000:
        return f"{ms} ms"
    return f"{ms / 1000:.1f} s" if ms < 60_000 else f"{ms // 60_000} min {ms // 1000 % 60} s"


def _known(value: Any) -> str:
    return "-" if value is None else str(value)
