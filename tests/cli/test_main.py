"""The command line itself: help, mistyped words, renamed options, start-up."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from admission import __version__
from admission.cli.main import build_command_line, main
from admission.cli.output import print_report
from admission.cli.status import render_zone

ESCAPE = re.compile("\x1b\\[[0-9;?]*[a-z]")
ZONE = {
    "zone": "East",
    "pools": [{"pool": "campaign:" + "x" * 200, "in_use": 1, "limit": 2, "room": 1}],
}


class Terminal:
    """Standard output that claims to be a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("TERM", "xterm"), ("COLUMNS", "80"), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    return Terminal()


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"admission {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["token"]])
def test_a_group_without_a_command_is_a_usage_error_and_prints_the_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "Show this message and exit." in capsys.readouterr().err


def test_a_mistyped_command_is_answered_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["statsu"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "admission: No such command 'statsu'. Did you mean 'status'?"


def test_a_mistyped_option_is_answered_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["top", "--iteration", "1"]) == 2
    assert "--iterations" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        (["measure", "East"], "--look-ms", "--poll-interval-ms"),
        (["measure", "East"], "--quiet-s", "--settle-s"),
        (["measure", "East"], "--ring-s", "--launch-timeout-s"),
        (["top"], "--times", "--iterations"),
        (["top"], "--every", "--interval"),
    ],
)
def test_a_renamed_option_is_answered_with_its_new_name(
    command: list[str], old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, old, "1"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"admission: {old} was renamed: use {new}"
    assert new in [name for one in options_of(command[0]) for name in one.opts]


def options_of(command: str) -> list:
    return build_command_line().commands[command].params


@pytest.mark.parametrize(
    "section", ["Service:", "Platforms:", "Admissions by hand:", "Operations:"]
)
def test_the_help_in_a_pipe_has_sections_and_no_escape_codes(
    section: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert section in text.splitlines()
    assert "\x1b" not in text
    assert "─" not in text


def test_the_help_in_a_terminal_has_the_same_sections_in_boxes(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", terminal)
    assert main(["ask", "--help"]) == 0
    for section in ("Request", "Connection", "Output"):
        assert f" {section} " in terminal.text
    assert "╭─" in terminal.text


def test_a_table_in_a_pipe_is_neither_cut_nor_styled(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(render_zone(ZONE))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["campaign:" + "x" * 200, "1", "2", "1"]
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in "".join(lines)


def test_a_table_in_a_terminal_fits_its_width(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", terminal)
    print_report(render_zone(ZONE))
    assert "\x1b[1mEast" in terminal.text
    assert max(len(ESCAPE.sub("", line)) for line in terminal.text.splitlines()) <= 80


def test_no_color_switches_colours_off(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout", terminal)
    print_report(render_zone(ZONE | {"problem": {"detail": "the store does not answer"}}))
    assert "the store does not answer" in terminal.text
    assert "31m" not in terminal.text


def test_building_the_command_line_imports_neither_rich_nor_aiohttp() -> None:
    code = (
        "import sys; from admission.cli.main import build_command_line; build_command_line(); "
        "print(sorted({'rich', 'aiohttp', 'redis', 'admission.sim', "
        "'admission.config', 'admission.client'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(shell: str, tmp_path: Path) -> None:
    variables = {
        "bash": {"COMP_WORDS": "admission sta", "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "admission sta"},
        "fish": {
            "_TYPER_COMPLETE_ARGS": "admission sta",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
    }[shell]
    environ = {"_ADMISSION_COMPLETE": f"complete_{shell}", "HOME": str(tmp_path), **variables}
    found = subprocess.run(
        [sys.executable, "-m", "admission"], capture_output=True, text=True, env=environ
    )
    assert "status" in found.stdout
    assert "audit" not in found.stdout
