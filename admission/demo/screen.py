"""Where the demo's numbers go: a table that stays in place, or now and then a line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from admission.demo.table import Numbers, one_line, table
from admission.terminal import Canvas, canvas, is_terminal


class Screen(Protocol):
    """Shows numbers. `every_s`: how often it wants new ones."""

    every_s: float

    def show(self, numbers: Numbers) -> None:
        """Show them. Errors: OSError when nobody can see it any more."""


class Table:
    """One table, in place."""

    every_s = 0.25

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas

    def show(self, numbers: Numbers) -> None:
        """Draw it."""
        self._canvas.draw(table(numbers, self._canvas.paint))


class Lines:
    """One line every few seconds."""

    every_s = 2.0

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, numbers: Numbers) -> None:
        """Print the line."""
        self._out.write(one_line(numbers) + "\n")
        self._out.flush()


class Silence:
    """Nothing."""

    every_s = 2.0

    def show(self, numbers: Numbers) -> None:
        """Do not."""


@contextmanager
def screen(*, silent: bool = False) -> Iterator[Screen]:
    """The table if standard output is a terminal that can; else lines, or nothing."""
    if silent or not is_terminal():
        yield Silence() if silent else Lines(sys.stdout)
        return
    with canvas() as drawn:
        yield Table(drawn)
