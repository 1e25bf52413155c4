"""What the pages say of the code is so: the files that they name are there."""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT

TOPS = ("admission", "lua", "tests", "docs", "deploy", "benchmarks", "examples")
# A path in backticks as pages write it: from the top, from inside the package, or a file of lua/.
FILE = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|lua|toml|md))`")
WHERE = ("", "admission", "lua", "docs", "admission/ledger", "tests/ledger")
# Names of the reader's own, and of what a command makes.
NOT_OURS = {"my.toml", "dialer.py"}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_files_that_it_names_are_there(page: Path) -> None:
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
