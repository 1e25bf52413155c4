"""The report of a benchmark, and the folder of the results."""

import json
import os
import platform
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One part's outcome.

    Args:
        data: everything measured, as JSON.
        markdown: the table to read, with its title.
        pictures: file name -> SVG text.
    """

    data: dict[str, Any]
    markdown: str
    pictures: dict[str, str] = field(default_factory=dict)

    def save(self, name: str, folder: Path = RESULTS) -> list[Path]:
        """Write `name`.json and .md and the pictures; the paths written."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            f"{name}.json": _to_json(self.data),
            f"{name}.md": self.markdown,
        }
        for file, text in (texts | self.pictures).items():
            (folder / file).write_text(text, encoding="utf-8")
        return [folder / file for file in texts | self.pictures]


def machine() -> dict[str, Any]:
    """Describe the machine of the measurement."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.partition(": ")[2] for x in lines if x.startswith("model name")), model)
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def machine_line(m: dict[str, Any]) -> str:
    """The machine in one line, for the head of a table."""
    redis = f", Redis {m['redis']}" if "redis" in m else ""
    return (
        f"{m['cpus']} x {m['cpu']}, {m['system']}, Python {m['python']}{redis}, "
        f"load {m['load_1m']} at the start."
    )


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Median, least and most of several rounds."""
    found = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, digits) for name, value in found.items()}


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; what follows the first column is aligned to the right."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [head, rule, *rows]) + "\n"


def _to_json(data: Any) -> str:
    """Return the data with a line for each innermost object, and six digits of a fraction."""
    exact = json.loads(json.dumps(data), parse_float=lambda text: float(f"{float(text):.6g}"))
    text = json.dumps(exact, indent=1)
    return re.sub(r"\{[^{}]*\}", lambda found: " ".join(found.group().split()), text) + "\n"
