"""What the pages say of the code is so: the files that they name are there."""

import re
from pathlib import Path

import pytest

from admission.cli.main import build_command_line
from tests.docs.blocks import PAGES, ROOT, SHELL, blocks

TOPS = ("admission", "lua", "tests", "docs", "deploy", "benchmarks", "examples")
# A path in backticks as pages write it: from the top, from inside the package, or a file of lua/.
FILE = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|lua|toml|md))`")
WHERE = ("", "admission", "lua", "docs", "admission/ledger", "tests/ledger")
# Names of the reader's own, and of what a command makes.
NOT_OURS = {"my.toml", "dialer.py"}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_files_of_a_page_exist(page: Path) -> None:
    named = set(FILE.findall((ROOT / page).read_text("utf-8"))) - NOT_OURS
    folders = [*WHERE, str(page.parent)]
    lost = [one for one in named if not any((ROOT / folder / one).is_file() for folder in folders)]
    assert lost == []


def test_the_index_leads_to_every_page() -> None:
    text = "".join(
        (ROOT / page).read_text("utf-8")
        for page in ("README.md", "docs/index.md", "docs/decisions/README.md")
    )
    pages = [page for page in PAGES if page.parts[0] == "docs" and page.name != "index.md"]
    assert [str(page) for page in pages if f"{page.name})" not in text] == []


def in_code(page: Path) -> str:
    """What stands in backticks in a line, and every line of the blocks that are for a shell."""
    words = re.sub(r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.M | re.DOTALL)
    typed = [block.text for block in blocks(page) if block.language in SHELL]
    return "\n".join([*re.findall(r"`([^`\n]+)`", words), *typed])


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_make_targets_of_a_page_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"^make ([a-z][a-z-]*)", in_code(page), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    commands = build_command_line().commands
    named = set(re.findall(r"^(?:\S*bin/)?admission ([a-z][a-z-]*)", in_code(page), re.MULTILINE))
    assert named <= set(commands)
