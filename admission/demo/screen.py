"""The output of the demo: a live table in a terminal, a line now and then elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live

from admission.demo.table import Numbers, format_line, render_table


class Screen(Protocol):
    """Shows numbers. `interval_s`: between two updates, in seconds."""

    interval_s: float

    def show(self, numbers: Numbers) -> None:
        """Show the numbers. Raises OSError if the terminal or the pipe is closed."""


class LiveTable:
    """A table that is redrawn in place.

    Example:
        `with LiveTable(console).open() as table: table.show(numbers)`
    """

    interval_s = 0.25

    def __init__(self, console: Console) -> None:
        self._live = Live(
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    @contextmanager
    def open(self) -> Iterator["LiveTable"]:
        """Use the alternate screen of the terminal inside the block."""
        # The terminal may be gone when the screen is restored.
        with suppress(OSError), self._live:
            yield self

    def show(self, numbers: Numbers) -> None:
        """Redraw the table."""
        self._live.update(render_table(numbers), refresh=True)


class LinePrinter:
    """A line every few seconds.

    Example:
        `LinePrinter(sys.stdout).show(numbers)`
    """

    interval_s = 2.0

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, numbers: Numbers) -> None:
        """Print a line."""
        self._out.write(format_line(numbers) + "\n")
        self._out.flush()


class Silence:
    """No output.

    Example:
        `Silence().show(numbers)`
    """

    interval_s = 2.0

    def show(self, numbers: Numbers) -> None:
        """Show nothing."""


def has_live_table() -> bool:
    """Return whether standard output is a terminal that can redraw a table in place."""
    console = Console()
    return console.is_terminal and not console.is_dumb_terminal


@contextmanager
def open_screen(*, silent: bool = False) -> Iterator[Screen]:
    """Open a live table if standard output is a terminal, else lines; or nothing if silent."""
    if silent:
        yield Silence()
    elif has_live_table():
        with LiveTable(Console(highlight=False)).open() as table:
            yield table
    else:
        yield LinePrinter(sys.stdout)
