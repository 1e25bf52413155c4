"""The examples in the help of each command are valid commands."""

import shlex
from typing import Any

import pytest

from admission.cli.main import build_command_line
from tests.docs.blocks import ROOT, SHELL, blocks

PAGE = (ROOT / "docs" / "commands.md").relative_to(ROOT)
LINES = [
    line for block in blocks(PAGE) if block.language in SHELL for line in block.text.splitlines()
]


def disarm(command: Any) -> Any:
    """The same command, which parses its arguments and then does nothing."""
    command.callback = lambda **_: 0
    for below in getattr(command, "commands", {}).values():
        disarm(below)
    return command


@pytest.mark.parametrize("line", LINES)
def test_the_example_is_a_valid_command(line: str) -> None:
    words = shlex.split(line, comments=True)
    own = words[words.index("admission") + 1 :]
    arguments = own[: own.index("|")] if "|" in own else own
    assert disarm(build_command_line()).main(arguments, standalone_mode=False) == 0


def test_the_page_has_examples() -> None:
    assert len(LINES) > 10
