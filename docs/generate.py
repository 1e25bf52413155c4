"""Writes the pages that are generated from the code: `python docs/generate.py [--check]`.

With --check it writes nothing; if pages are stale, it names them and exits with code 1.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import api_page
import commands_page
import config_page
import metrics_page
import reasons_page

FOLDER: Final = Path(__file__).parent
PAGES: Final[dict[str, Callable[[], str]]] = {
    "api.md": api_page.page,
    "commands.md": commands_page.page,
    "configuration.md": config_page.page,
    "metrics.md": metrics_page.page,
    "reasons.md": reasons_page.page,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    try:
        pages = {FOLDER / name: make().rstrip() + "\n" for name, make in PAGES.items()}
    except LookupError as fault:
        print(fault, file=sys.stderr)
        return 1
    stale = [path for path, text in pages.items() if not _is_current(path, text)]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.name} is stale: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages[path], "utf-8")
        print(f"wrote docs/{path.name}")
    return 0


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
