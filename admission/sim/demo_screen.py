"""Where the demo's numbers go: a table that stays in place, or now and then a line."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol, TextIO

from admission.sim.demo_table import Numbers, coloured, one_line, plain, table

# ANSI/xterm: the other screen buffer, no cursor, no wrapping; and all of it back.
ENTER: Final = "\x1b[?1049h\x1b[H\x1b[2J\x1b[?25l\x1b[?7lstarting ..."
LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
HOME: Final = "\x1b[H"
CLEAR_LINE: Final = "\x1b[K"
CLEAR_BELOW: Final = "\x1b[J"


class Screen(Protocol):
    """Shows numbers. `every_s`: how often it wants new ones."""

    every_s: float

    def show(self, numbers: Numbers) -> None:
        """Show them. Errors: OSError when nobody can see it any more."""


class Table:
    """Redraws one table in place, without ever clearing the screen: so it does not flicker."""

    every_s = 0.25

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._paint = plain if "NO_COLOR" in os.environ else coloured

    def show(self, numbers: Numbers) -> None:
        """Draw as many lines as the window has."""
        rows = shutil.get_terminal_size().lines
        lines = table(numbers, self._paint)[:rows]
        text = f"{CLEAR_LINE}\r\n".join(lines)
        self._out.write(f"{HOME}{text}{CLEAR_LINE}{CLEAR_BELOW}")
        self._out.flush()


class Lines:
    """One line every few seconds."""

    every_s = 2.0

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, numbers: Numbers) -> None:
        """Print the line."""
        self._out.write(one_line(numbers) + "\n")
        self._out.flush()


@contextmanager
def screen() -> Iterator[Screen]:
    """The table if standard output is a terminal that can; it is given back as it was."""
    out = sys.stdout
    if not is_terminal():
        yield Lines(out)
        return
    try:
        out.write(ENTER)
        out.flush()
        yield Table(out)
    finally:
        with suppress(OSError):  # the terminal may be gone
            out.write(LEAVE)
            out.flush()


def is_terminal() -> bool:
    """Whether somebody watches who can see a table stay in place."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
