"""A terminal that shows a table in place and is given back as it was. For `demo` and `top`."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Literal, TextIO, TypeAlias

# ANSI/xterm: the other screen buffer, no cursor, no wrapping; and all of it back.
ENTER: Final = "\x1b[?1049h\x1b[H\x1b[2J\x1b[?25l\x1b[?7lstarting ..."
LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
HOME: Final = "\x1b[H"
CLEAR_LINE: Final = "\x1b[K"
CLEAR_BELOW: Final = "\x1b[J"
BAR: Final = 20

Style: TypeAlias = Literal["head", "good", "bad", "dim"]
Paint: TypeAlias = Callable[[Style, str], str]
_SGR: Final[Mapping[Style, str]] = {"head": "1", "good": "32", "bad": "1;31", "dim": "2"}


def plain(_style: Style, text: str) -> str:
    """No colour."""
    return text


def coloured(style: Style, text: str) -> str:
    """ANSI colour, which changes no width."""
    return f"\x1b[{_SGR[style]}m{text}\x1b[0m"


def bar(part: int, whole: int) -> str:
    """Such as `[###.......]`: never full before all of it is."""
    filled = min(BAR, BAR * part // max(1, whole))
    return f"[{'#' * filled}{'.' * (BAR - filled)}]"


def is_terminal() -> bool:
    """Whether somebody watches who can see a table stay in place."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Canvas:
    """Redraws lines in place, without ever clearing the screen: so it does not flicker.

    Attributes: paint: colours, unless NO_COLOR is set.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.paint: Paint = plain if "NO_COLOR" in os.environ else coloured

    def draw(self, lines: Sequence[str]) -> None:
        """As many as the window has. Errors: OSError when nobody can see it any more."""
        text = f"{CLEAR_LINE}\r\n".join(lines[: self.rows])
        self._out.write(f"{HOME}{text}{CLEAR_LINE}{CLEAR_BELOW}")
        self._out.flush()

    @property
    def rows(self) -> int:
        """Of the window, now."""
        return shutil.get_terminal_size().lines


@contextmanager
def canvas() -> Iterator[Canvas]:
    """The terminal for a while; it is given back as it was, whatever happens."""
    out = sys.stdout
    try:
        out.write(ENTER)
        out.flush()
        yield Canvas(out)
    finally:
        with suppress(OSError):  # the terminal may be gone
            out.write(LEAVE)
            out.flush()
