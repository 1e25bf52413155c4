"""The report of the race: JSON, tables, targets."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from benchmarks.race.alternatives import ALTERNATIVES, ORACLE
from benchmarks.race.ours import ADAPTIVE, DEDICATED, LEARNED, MEASURED, OURS, SHARED
from benchmarks.race.plot import Line, Lines, plot
from benchmarks.race.runner import SEEDS, Scores
from benchmarks.race.scenarios import Scenario
from benchmarks.report import Report, machine, machine_line, table

OVER_PERCENT: Final = 0.1  # over-launches beyond the oracle's own, that a target allows
LEVEL_PERCENT: Final = 0.5  # of utilisation: as good as
OTHERS: Final = tuple(name for name in ALTERNATIVES if name != ORACLE)


def lines_of(scores: Scores) -> Lines:
    """Return every score relative to the oracle in the same scenario."""
    return {(world, name): _line(scores, world, name) for world, name in scores}


def _line(scores: Scores, world: str, name: str) -> Line:
    one, best = scores[world, name], scores[world, ORACLE]
    return Line(
        launches=one.launches,
        utilisation=round(100 * one.utilisation / best.utilisation, 2),
        over=round(100 * one.over_share, 3),
        beyond=round(max(0.0, 100 * (one.over_share - best.over_share)), 3),
    )


def ours_in(world: Scenario) -> str:
    """Return the policy that an operator would choose in this scenario."""
    return DEDICATED if world.is_dedicated else MEASURED


def verdicts(worlds: list[Scenario], lines: Lines) -> Iterator[tuple[str, bool, str]]:
    """Yield each target, whether it is met, and the figure."""
    plain = [w for w in worlds if not (w.lost_ends or w.crash_ms or w.mpp_lost_at)]
    right = [w for w in worlds if w.name != "slow-claims"]  # where the defaults are true
    yield from _pair(DEDICATED, 99.5, 0.0, [w for w in plain if w.is_dedicated], lines)
    yield from _pair(MEASURED, 97.0, OVER_PERCENT, worlds, lines)
    yield from _pair(SHARED, 93.0, OVER_PERCENT, right, lines)
    yield from _pair(ADAPTIVE, 93.0, OVER_PERCENT, right, lines)
    yield from _pair(LEARNED, 93.0, OVER_PERCENT, worlds, lines)
    yield from _losses(worlds, lines)
    behind = [f"{name} ({w.title})" for w in worlds for name in OTHERS if not ahead(w, name, lines)]
    yield "ahead of every alternative everywhere", not behind, "; ".join(behind) or "all"


def _pair(
    name: str, least: float, most: float, worlds: list[Scenario], lines: Lines
) -> Iterator[tuple[str, bool, str]]:
    """Yield utilisation and over-launches of one contestant, each in its worst scenario."""
    found = [(lines[w.name, name], w.title) for w in worlds]
    if not found:
        return
    line, title = min(found, key=lambda one: one[0].utilisation)
    figure = f"{line.utilisation}% ({title})"
    yield f"{name}: utilisation at least {least}%", line.utilisation >= least, figure
    line, title = max(found, key=lambda one: one[0].beyond)
    what = f"{name}: over-launches beyond the oracle's at most {most}%"
    yield what, line.beyond <= most, f"{line.beyond}% ({title})"


def _losses(worlds: list[Scenario], lines: Lines) -> Iterator[tuple[str, bool, str]]:
    """Yield the cost of lost reports and crashes, against the same scenario without them."""
    pairs = (("lost-ends", "dedicated"), ("crashes", "dedicated"), ("inbound-lost", "inbound"))
    known = {w.name for w in worlds}
    for world, without in (pair for pair in pairs if set(pair) <= known):
        for name in OURS:
            if (world, name) not in lines or (without, name) not in lines:
                continue
            cost = lines[without, name].utilisation - lines[world, name].utilisation
            yield f"{name}: {world} costs at most 1%", cost <= 1.0, f"{cost:.2f}%"


def ahead(world: Scenario, other: str, lines: Lines) -> bool:
    """Return whether this service has fewer failed launches, or as few and no fewer ports used.

    A failed launch costs a contact, so a higher utilisation does not compensate it.
    """
    mine, theirs = lines[world.name, ours_in(world)], lines[world.name, other]
    if abs(theirs.over - mine.over) > max(OVER_PERCENT, _chance(mine), _chance(theirs)):
        return theirs.over > mine.over
    return mine.utilisation >= theirs.utilisation - LEVEL_PERCENT


def _chance(line: Line) -> float:
    """Return two standard errors of the share of failed launches, in percent."""
    share = line.over / 100
    return 200 * math.sqrt(share * (1 - share) / max(1, line.launches))


def report(worlds: list[Scenario], scores: Scores) -> Report:
    """Return the report."""
    lines = lines_of(scores)
    judged = list(verdicts(worlds, lines))
    found = {
        "machine": machine(),
        "seeds": len(SEEDS),
        "worlds": {w.name: asdict(w) for w in worlds},
        "scores": [
            {"world": world, "contestant": name, **asdict(line), **asdict(scores[world, name])}
            for (world, name), line in sorted(lines.items())
        ],
        "targets": [{"target": what, "met": met, "figure": f} for what, met, f in judged],
    }
    pictures = {"race.svg": plot(worlds, lines)}
    return Report(data=found, markdown=_markdown(found, worlds, lines), pictures=pictures)


def _markdown(found: dict[str, Any], worlds: list[Scenario], lines: Lines) -> str:
    shown = [name for name in (*OTHERS, *OURS) if any((w.name, name) in lines for w in worlds)]
    targets = [
        (one["target"], "yes" if one["met"] else "**no**", one["figure"])
        for one in found["targets"]
    ]
    return "\n".join(
        (
            "# The race",
            "",
            machine_line(found["machine"]),
            "Virtual time: the figures do not depend on it. How to read them: docs/race.md.",
            "",
            "![over-launches and utilisation of every contestant](race.svg)",
            "",
            "## Launches that found no port, %",
            "",
            _table([ORACLE, *shown], worlds, lines, "over"),
            "## Utilisation of the ports, % of the oracle's",
            "",
            _table(shown, worlds, lines, "utilisation"),
            "## Targets",
            "",
            table(("target", "met", "worst case"), targets),
        )
    )


def _table(names: list[str], worlds: list[Scenario], lines: Lines, what: str) -> str:
    def cell(world: Scenario, name: str) -> str:
        line = lines.get((world.name, name))
        return f"{getattr(line, what):.2f}" if line else "-"

    rows = [(world.title, *(cell(world, name) for name in names)) for world in worlds]
    return table(("world", *names), rows)
