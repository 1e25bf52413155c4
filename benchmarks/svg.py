"""Plots as SVG text, legible on light and dark pages: bars, and lines over a logarithmic axis."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, ROW, LEFT, RIGHT = 760, 26, 230, 110
COLOURS = ("#2f81f7", "#d29922", "#3fb950", "#db61a2", "#a371f7", "#f85149")
STYLE = (
    "<style>text{font:12px system-ui,sans-serif;fill:#57606a}.t{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}</style>"
)


def _svg(height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">'
    return "\n".join((head, STYLE, *parts, "</svg>")) + "\n"


def bars(title: str, values: Mapping[str, float], unit: str) -> str:
    """One horizontal bar for each name."""
    most = max(values.values(), default=0) or 1
    parts = [f'<text class="t" x="8" y="18">{escape(title)}</text>']
    for n, (name, value) in enumerate(values.items()):
        y, width = 32 + n * ROW, (WIDTH - LEFT - RIGHT) * value / most
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="18" fill="{COLOURS[0]}"/>',
            f'<text x="{LEFT + width + 6:.1f}" y="{y + 14}">{value:,.0f} {escape(unit)}</text>',
        ]
    return _svg(40 + len(values) * ROW, parts)


def lines(title: str, series: Mapping[str, Mapping[float, float]], unit: str) -> str:
    """Values over a logarithmic axis that begins at zero."""
    height, top, bottom = 300, 36, 250
    most = max((v for one in series.values() for v in one.values()), default=1) * 1.15
    widest = max((math.log10(x + 1) for one in series.values() for x in one), default=1) or 1

    def place(x: float, value: float) -> str:
        across = 60 + (WIDTH - 260) * math.log10(x + 1) / widest
        return f"{across:.1f},{bottom - (bottom - top) * value / most:.1f}"

    parts = [f'<text class="t" x="8" y="18">{escape(title)}</text>']
    parts.append(f'<text x="8" y="{top + 6}">{most:,.3g} {escape(unit)}</text>')
    parts.append(f'<path d="M60 {top}V{bottom}H{WIDTH - 200}" fill="none" stroke="#8b949e"/>')
    for x in sorted({x for one in series.values() for x in one}):
        across = place(x, 0).split(",")[0]
        parts.append(f'<text x="{across}" y="{bottom + 18}" text-anchor="middle">{x:g}</text>')
    for n, (name, one) in enumerate(series.items()):
        colour = COLOURS[n % len(COLOURS)]
        points = " ".join(place(x, v) for x, v in one.items())
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        y = top + 10 + n * 20
        parts.append(f'<rect x="{WIDTH - 190}" y="{y}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - 172}" y="{y + 11}">{escape(name)}</text>')
    return _svg(height, parts)
