"""The output of the demo: a terminal is restored, a pipe receives plain lines."""

import io
import re

import pytest

from admission.demo.screen import open_screen
from admission.demo.table import Numbers

NUMBERS = Numbers(url="", seconds=1, zones=(), campaigns=())
ALTERNATE_SCREEN, MAIN_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
COLOUR = re.compile("\x1b\\[(?:[0-9]+;)*3[0-7]m")


class Terminal(io.StringIO):
    closed_by_user = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.closed_by_user:
            raise OSError("the terminal is gone")
        return super().write(text)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def show() -> None:
    with open_screen() as screen:
        screen.show(NUMBERS)


def fail() -> None:
    with open_screen() as screen:
        screen.show(NUMBERS)
        raise RuntimeError


def test_the_terminal_is_restored_even_after_a_failure(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", terminal)
    with pytest.raises(RuntimeError):
        fail()
    text = terminal.getvalue()
    assert text.index(ALTERNATE_SCREEN) < text.index("admission demo") < text.index(MAIN_SCREEN)
    assert text.rindex(HIDE_CURSOR) < text.rindex(SHOW_CURSOR)


def test_the_table_is_redrawn_without_clearing_the_screen(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", terminal)
    with open_screen() as screen:
        screen.show(NUMBERS)
        before = len(terminal.getvalue())
        screen.show(NUMBERS)
        drawn = terminal.getvalue()[before:]
    assert "admission demo" in drawn
    assert "\x1b[2J" not in drawn


def test_the_table_has_no_more_lines_than_the_window(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "5")
    monkeypatch.setattr("sys.stdout", terminal)
    with open_screen() as screen:
        before = len(terminal.getvalue())
        screen.show(NUMBERS)
        assert terminal.getvalue()[before:].count("\n") == 4


def test_no_color_switches_colours_off(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout", terminal)
    show()
    assert not COLOUR.search(terminal.getvalue())


def test_a_terminal_that_was_closed_raises_only_from_show(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", terminal)
    with open_screen() as screen:
        terminal.closed_by_user = True
        with pytest.raises(OSError, match="gone"):
            screen.show(NUMBERS)


@pytest.mark.parametrize("kind", ["a file", "a dumb terminal"])
def test_without_a_live_terminal_the_output_is_lines(
    kind: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = io.StringIO() if kind == "a file" else terminal
    monkeypatch.setattr("sys.stdout", out)
    show()
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count("\n") == 1
