"""Text on standard output: styled and fitted to a terminal, plain and unwrapped elsewhere."""

from collections.abc import Sequence
from io import StringIO
from typing import Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table

# A pipe has no width: a row is never wrapped or cut, so that `grep` and `awk` find it whole.
PIPE_WIDTH: Final = 10_000


def has_live_display(console: Console) -> bool:
    """Return whether the console is a terminal that can redraw a table in place."""
    return console.is_terminal and not console.is_dumb_terminal


def open_console() -> Console:
    """Return a console on standard output."""
    return Console(highlight=False, markup=False, emoji=False)


def print_report(report: RenderableType) -> None:
    """Print a report. A terminal displays styles, a pipe receives `render_lines`."""
    console = open_console()
    if has_live_display(console):
        console.print(report)
    else:
        print("\n".join(render_lines(report)))


def render_lines(report: RenderableType, width: int = PIPE_WIDTH) -> list[str]:
    """Return a report as plain lines without trailing blanks.

    Args: width: in columns; longer lines are wrapped or cut as on a terminal of that width.
    """
    out = StringIO()
    # A terminal without colours: what is plain text here does not depend on the environment.
    Console(
        file=out, width=width, color_system=None, force_terminal=False, highlight=False,
        markup=False, emoji=False, legacy_windows=False, _environ={},
    ).print(report)  # fmt: skip
    return [line.rstrip() for line in out.getvalue().splitlines()]


def make_table(*columns: str, right: Sequence[str] = (), header: bool = True) -> Table:
    """Return an empty table without rules. Columns named in `right` are aligned to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=header)
    for name in columns:
        table.add_column(
            name, justify="right" if name in right else "left", no_wrap=True, overflow="ellipsis"
        )
    return table


def indent(report: RenderableType) -> Padding:
    """Return a report that is indented by two columns."""
    return Padding(report, (0, 0, 0, 2), expand=False)


def format_value(value: object) -> str:
    """Return a value as text; `-` stands for an unknown one."""
    return "-" if value is None else str(value)
