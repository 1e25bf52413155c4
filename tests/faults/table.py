"""The table of faults: each test of a fault records a row; docs/faults.md is written from the rows.

A test calls `record`, which writes one JSON file into `build/faults`, or the folder that
ADMISSION_FAULTS_DIR names. `make faults-table` (`python -m tests.faults.table`) renders what the
last run recorded. A run alone changes nothing that is under version control.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.paths import ROOT

FOLDER = ROOT / "build" / "faults"
PAGE = ROOT / "docs" / "faults.md"
GROUPS = ("Redis", "Processes", "Platform", "Network")
HEAD = (
    "fault",
    "requests sent",
    "answered",
    "grants",
    "over-launches",
    "leaked",
    "seconds until grants resumed",
    "slowest answer, s",
)
TEXT = """# What happens when something breaks

Every row is a test in `tests/faults`: real processes on loopback, dialers that ask over HTTP, and
a simulated platform that knows the truth. `make faults` runs them, `make faults-table` writes this
page.

* *requests sent*, *answered*: by the dialers, whatever the status. A request that got no answer in
  its time, or whose connection broke, is sent and not answered; its dialer repeats it.
* *over-launches*: granted calls that found no free port on the platform.
* *leaked*: reservations still in use after every call had ended and every deadline had passed.
* *seconds until grants resumed*: from the end of the fault, or from its beginning where it heals by
  itself, to the next grant; the worst of several. It includes the time for which a zone that lost
  its state watches the platform.
* *slowest answer*: of all requests, in seconds; a refusal (503) is an answer.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a fault did. None: the question makes no sense for it."""

    name: str
    group: str
    sent: int | None
    answered: int | None
    grants: int | None
    over_launches: int | None
    leaked: int | None
    resumed_s: float | None
    slowest_s: float | None = None


def record(
    name: str,
    *,
    sent: int | None = None,
    answered: int | None = None,
    grants: int | None = None,
    over_launches: int | None = None,
    leaked: int | None = None,
    resumed_s: float | None = None,
    slowest_s: float | None = None,
    group: str = "Redis",
) -> None:
    """Remember a row. Args: group: one of GROUPS; resumed_s, slowest_s: seconds."""
    assert group in GROUPS, f"no such group of faults: {group}"
    row = Row(
        name=name,
        group=group,
        sent=sent,
        answered=answered,
        grants=grants,
        over_launches=over_launches,
        leaked=leaked,
        resumed_s=resumed_s,
        slowest_s=slowest_s,
    )
    folder = Path(os.environ.get("ADMISSION_FAULTS_DIR") or FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r"\W+", "-", f"{group} {name}".lower()).strip("-")
    (folder / f"{slug}.json").write_text(json.dumps(asdict(row), indent=2) + "\n")


def rows(folder: Path) -> list[Row]:
    """What was recorded, in the order of the page."""
    found = [Row(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda row: (GROUPS.index(row.group), row.name.lower()))


def render(found: list[Row]) -> str:
    """The page, in Markdown."""
    parts = [TEXT]
    for group in GROUPS:
        mine = [row for row in found if row.group == group]
        if mine:
            parts += [f"\n## {group}\n", _line(HEAD), _line(("---",) + ("---:",) * (len(HEAD) - 1))]
            parts += [_line(_cells(row)) for row in mine]
    return "\n".join(parts) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    counts = (row.sent, row.answered, row.grants, row.over_launches, row.leaked)
    seconds = (row.resumed_s, row.slowest_s)
    return (
        row.name,
        *("" if one is None else str(one) for one in counts),
        *("" if one is None else f"{one:.1f}" for one in seconds),
    )


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(render(rows(Path(os.environ.get("ADMISSION_FAULTS_DIR") or FOLDER))))
