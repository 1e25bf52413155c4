"""The plot: a panel for failed launches, a panel for ports used, a row for each contestant.

A dot is a scenario. The SVG is written by hand: two axes do not justify a plotting library. The
colours are legible on light and dark pages.
"""

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from benchmarks.race.alternatives import ALTERNATIVES, ORACLE
from benchmarks.race.ours import OURS
from benchmarks.race.scenarios import Scenario

ROW: Final = 30
TOP: Final = 74
LEFT: Final = 190
PANEL: Final = 310
GAP: Final = 40
WIDTH: Final = LEFT + 2 * PANEL + GAP + 30
OVER_TICKS: Final = (0, 0.1, 1, 10, 100)
USED_TICKS: Final = (60, 70, 80, 90, 100)
STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #1f2937 }
  .head { font-weight: 600 } .small { font-size: 11px; fill: #6b7280 }
  .grid { stroke: #9ca3af; stroke-opacity: .35 }
  .ours { fill: #0f766e } .other { fill: #b45309 } .oracle { fill: #6b7280 }
  circle { fill-opacity: .65 } .band { fill: #0f766e; fill-opacity: .08 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e5e7eb } .small { fill: #9ca3af }
    .ours { fill: #2dd4bf } .other { fill: #fbbf24 } .oracle { fill: #9ca3af }
    .band { fill: #2dd4bf; fill-opacity: .1 }
  }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One contestant in one scenario, in percent.

    Args:
        utilisation: of the ports, relative to the oracle's.
        over: launches that found no port; `beyond`: the oracle's own subtracted.
    """

    launches: int
    utilisation: float
    over: float
    beyond: float


Lines = dict[tuple[str, str], Line]


def _over_x(percent: float) -> float:
    """0 and then a decade for each quarter."""
    for n, (low, high) in enumerate(pairwise(OVER_TICKS)):
        if percent <= high:
            return PANEL / 4 * (n + (percent - low) / (high - low))
    return PANEL


def _used_x(percent: float) -> float:
    low, high = USED_TICKS[0], 103
    return PANEL * (min(max(percent, low), high) - low) / (high - low)


def plot(worlds: list[Scenario], lines: Lines) -> str:
    """The SVG text."""
    names = [
        name for name in (*ALTERNATIVES, *OURS) if any((w.name, name) in lines for w in worlds)
    ]
    height = TOP + ROW * len(names) + 46
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img">',
        "<title>Failed launches and ports used, every way to decide, in every world</title>",
        f"<style>{STYLE}</style>",
        _panel(LEFT, "Launches that found no port, %", OVER_TICKS, _over_x, height),
        _panel(LEFT + PANEL + GAP, "Ports used, % of the oracle's", USED_TICKS, _used_x, height),
    ]
    parts += [_row(n, name, worlds, lines) for n, name in enumerate(names)]
    foot = f"a dot is a world: {len(worlds)} of them; docs/race.md"
    parts.append(f'<text class="small" x="{LEFT}" y="{height - 8}">{foot}</text></svg>')
    return "\n".join(parts) + "\n"


def _panel(x: float, title: str, ticks: tuple[float, ...], scale: object, height: int) -> str:
    marks = [f'<text class="head" x="{x}" y="24">{escape(title)}</text>']
    for tick in ticks:
        at = x + scale(tick)  # type: ignore[operator]
        marks.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="50" y2="{height - 30}"/>')
        marks.append(
            f'<text class="small" x="{at:.1f}" y="44" text-anchor="middle">{tick:g}</text>'
        )
    return "\n".join(marks)


def _row(n: int, name: str, worlds: list[Scenario], lines: Lines) -> str:
    y = TOP + ROW * n
    kind = "ours" if name in OURS else "oracle" if name == ORACLE else "other"
    parts = [f'<text x="8" y="{y + 4}">{escape(name)}</text>']
    if kind == "ours":
        parts.insert(0, f'<rect class="band" x="0" y="{y - 15}" width="{WIDTH}" height="{ROW}"/>')
    for world in worlds:
        line = lines.get((world.name, name))
        if line is None:
            continue
        over_x, used_x = LEFT + _over_x(line.over), LEFT + PANEL + GAP + _used_x(line.utilisation)
        for x, value in ((over_x, line.over), (used_x, line.utilisation)):
            label = f"<title>{escape(world.title)}: {value:g}%</title>"
            parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y}" r="5">{label}</circle>')
    return "\n".join(parts)
