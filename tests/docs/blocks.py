"""The fenced blocks of the pages, and how each is to be run.

A comment before a block says how; it goes for that block alone:

    <!-- run: service -->   in a shell (or Python) beside a running demo service; also the default
    <!-- run: shell -->     in a shell alone
    <!-- not run: why -->   it is not, for this reason

`http://127.0.0.1:8080` in a block becomes the address of the service, and ADMISSION_URL names it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

PAGES = sorted(
    path.relative_to(ROOT)
    for place in ("*.md", "docs/**/*.md", "deploy/**/*.md", "lua/*.md", "tests/*.md")
    for path in ROOT.glob(place)
)
SHELL = ("sh", "bash", "shell", "console")
PYTHON = ("python", "py")
# A comment, perhaps; then a fence, what is in it, and the same fence.
_BLOCK = re.compile(
    r"(?:^<!-- (?P<how>(?:not )?run): (?P<what>.*?) -->\n+)?"
    r"^(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block.

    Args:
        page: relative to the top of the tree.
        line: of the fence, from 1.
        how: `service` or `shell`, empty: not run.
        why: it is not run.
    """

    page: Path
    line: int
    language: str
    text: str
    how: str
    why: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """All blocks of a page, in order."""
    return read((ROOT / page).read_text("utf-8"), page)


def read(text: str, page: Path) -> Iterator[Block]:
    """All blocks of a text, in order."""
    for found in _BLOCK.finditer(text):
        runs = found["how"] != "not run"
        yield Block(
            page=page,
            line=text.count("\n", 0, found.start("fence")) + 1,
            language=found["language"],
            text=found["text"],
            how=(found["what"] or "service") if runs else "",
            why="" if runs else found["what"],
        )
