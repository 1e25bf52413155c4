"""What was learned of a channel, in words: for `admission status` and `admission measure`."""

from collections.abc import Iterator
from typing import Any, Final

from rich.table import Table

from admission.cli.output import make_table

REASONS: Final = {
    "cold": "too few snapshots so far",
    "surprised": "counts are lower than anything it knows explains",
    "frozen_count": "the platform's count stands still while calls begin and end",
    "restless": "others take and free ports faster than it can follow",
    "failing": "launches found no port where it expected free ones",
    "old_count": "the platform's counts are too old",
    "recovering": "the zone lost its state",
    "stale": "the next snapshot is overdue",
}


def describe_state(learned: dict[str, Any]) -> str:
    """Return the learned ceiling, and whether it counts or why it cannot."""
    if learned.get("ceiling") is None:
        return "nothing learned yet"
    state = ", ".join(_list_reasons(learned)) or "not in force"
    if learned.get("in_force"):
        state = "in force"
    return f"learned ceiling {learned['ceiling']} ({state})"


def tabulate_learned(pools: list[dict[str, Any]]) -> Table | None:
    """Return a table of what was learned of each channel; None if nothing was."""
    table = make_table("learned of", "", "", header=False)
    for pool in pools:
        learned = pool.get("learned") or {}
        if learned.get("ceiling") is not None:
            for place, (name, value) in enumerate(list_findings(pool, learned)):
                table.add_row("" if place else f"learned of {pool['pool']}", name, value)
    return table if table.row_count else None


def list_findings(pool: dict[str, Any], learned: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and value of everything that was learned of a channel and is known."""
    proved = f", proved {pool['ceiling']}" if pool.get("ceiling") is not None else ""
    yield "allows now", f"{learned['ceiling']}{proved}"
    for reason in _list_reasons(learned):
        yield "cannot count", f"{reason}: {REASONS.get(reason, reason)}"
    if learned.get("claim_median_ms") is not None:
        times = (learned["claim_median_ms"], learned["claim_p99_ms"])
        yield "claim time", "{} ms median, {} ms p99".format(*times)
        yield "age of counts", f"{learned['count_age_ms']} ms"
        drift, trend = learned["foreign_sd_per_s"], learned["foreign_slope_per_s"]
        yield "others", f"drift by {drift} ports in a second, trend {trend:+} ports/s"
    yield "last hour", describe_gain(learned)


def describe_gain(learned: dict[str, Any]) -> str:
    """Return what learned ceilings would have allowed beyond the proved one in the last hour."""
    if learned.get("gain_ports") is None:
        return "no request was denied for want of ports"
    ports, seconds = learned["gain_ports"], learned["wanted_s"]
    return f"{ports:+} ports beyond the proved ceiling while requests were denied ({seconds} s)"


def _list_reasons(learned: dict[str, Any]) -> list[str]:
    fallback = learned.get("fallback")
    return learned.get("doubts") or ([fallback] if fallback else [])
