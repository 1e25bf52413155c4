"""The lines that the help of each command shows are commands."""

import shlex

import pytest

from admission.cli.main import command_line
from tests.docs.blocks import ROOT, SHELL, blocks

PAGE = (ROOT / "docs" / "commands.md").relative_to(ROOT)
LINES = [
    line for block in blocks(PAGE) if block.language in SHELL for line in block.text.splitlines()
]


@pytest.mark.parametrize("line", LINES)
def test_it_can_be_typed(line: str) -> None:
    words = shlex.split(line, comments=True)
    own = words[words.index("admission") + 1 :]
    command_line().parse_args(own[: own.index("|")] if "|" in own else own)


def test_there_are_some() -> None:
    assert len(LINES) > 10
