"""Where the demo's numbers go: a terminal is given back as it was, a file gets plain lines."""

import io

import pytest

from admission.demo.screen import Table, screen
from admission.demo.table import Numbers
from admission.terminal import CLEAR_LINE, ENTER, HOME, LEAVE, Canvas

NUMBERS = Numbers(place="", seconds=1, zones=(), campaigns=())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def failing() -> None:
    with screen() as shown:
        shown.show(NUMBERS)
        raise RuntimeError


def test_a_terminal_is_given_back_even_after_a_failure(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", terminal)
    with pytest.raises(RuntimeError):
        failing()
    assert terminal.getvalue().startswith(ENTER)
    assert terminal.getvalue().endswith(LEAVE)


def test_the_table_is_drawn_over_itself_without_clearing_the_screen(terminal: Terminal) -> None:
    Table(Canvas(terminal)).show(NUMBERS)
    drawn = terminal.getvalue()
    assert drawn.startswith(HOME)
    assert "\x1b[2J" not in drawn
    assert all(line.endswith(CLEAR_LINE) for line in drawn.split("\r\n")[:-1])


def test_the_table_has_no_more_lines_than_the_window(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "5")
    Table(Canvas(terminal)).show(NUMBERS)
    assert terminal.getvalue().count("\n") == 4


def test_no_colour_where_none_is_wanted(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    Table(Canvas(terminal)).show(NUMBERS)
    assert "m" not in terminal.getvalue().partition("admission")[0]
    assert "\x1b[1m" not in terminal.getvalue()


@pytest.mark.parametrize("kind", ["a file", "a dumb terminal"])
def test_without_a_proper_terminal_there_are_lines(
    kind: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = io.StringIO() if kind == "a file" else terminal
    monkeypatch.setattr("sys.stdout", out)
    with screen() as shown:
        shown.show(NUMBERS)
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count("\n") == 1
