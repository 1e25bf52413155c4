"""The report on worlds: one row for each, with the contestants side by side."""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.report import Report, machine, machine_line, table

Row = dict[str, Any]
HEAD = (
    *("world", "oracle, % of ports", "proved", "learned", "launches", "failing beyond"),
    *("blocked, proved / learned", "doubts, % of snapshots", "first minute: use / failing"),
)


def report(rows: Sequence[Row], *, first_seed: int, seeds: int, seconds: float) -> Report:
    """Build the report.

    Args:
        rows: of all worlds and contestants.
        seconds: of each run, the first minute included.
    """
    run = {"first_seed": first_seed, "seeds": seeds, "seconds": seconds}
    data = {"machine": machine(), **run, "rows": list(rows)}
    learned = [row["use"] for row in rows if row["contestant"] == "learned"]
    proved = [row["use"] for row in rows if row["contestant"] == "proved"]
    lines = [
        "# Learned ceilings in the model",
        "",
        machine_line(data["machine"]),
        f"Virtual time: the figures do not depend on it. Seeds: {seeds} from {first_seed} on,"
        f" {seconds:g} s each, the first minute apart.",
        "Use in % of the oracle's with its 95% interval; `failing beyond`: launches that found no",
        "port, in points beyond the oracle's, with the 95% interval; `blocked`: foreign calls that",
        "found no port, in %.",
        "",
        table(HEAD, list(_lines(rows))),
        f"Means: proved {sum(proved) / len(proved):.1f}, learned {sum(learned) / len(learned):.1f};"
        f" at worst: proved {min(proved):.1f}, learned {min(learned):.1f}.",
        "",
    ]
    return Report(data=data, markdown="\n".join(lines))


def _lines(rows: Sequence[Row]) -> Iterator[tuple[object, ...]]:
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row["world"], {})[row["contestant"]] = row
    for name, of in found.items():
        oracle, proved, one = of["oracle"], of["proved"], of["learned"]
        doubts = {name: share for name, share in one["doubts"].items() if name != "cold"}
        yield (
            name,
            f"{oracle['used']:.1f}",
            f"{proved['use']:.1f}",
            f"{one['use']:.1f} ± {one['use_half']:.1f}",
            f"{one['launches']:,}",
            f"{one['beyond']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})",
            f"{proved['blocked']:.1f} / {one['blocked']:.1f}",
            ", ".join(f"{name} {100 * share:.0f}" for name, share in doubts.items()) or "-",
            f"{one['first_minute_use']:.1f} / {one['first_minute_beyond']:+.2f}",
        )
