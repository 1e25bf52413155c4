"""The pages that are made from the code are what the code says."""

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def generate(*arguments: str, folder: Path = DOCS) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(folder / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def copied(folder: Path) -> Path:
    """The generator and its pages, where a test may change them."""
    for path in [*DOCS.glob("*.py"), DOCS / "settings.toml", *DOCS.glob("*.md")]:
        (folder / path.name).write_text(path.read_text("utf-8"), "utf-8")
    return folder


def test_the_references_are_fresh() -> None:
    done = generate("--check")
    assert done.returncode == 0, done.stderr


def test_a_page_that_was_edited_by_hand_is_found_and_made_again(tmp_path: Path) -> None:
    page = copied(tmp_path) / "configuration.md"
    page.write_text(page.read_text("utf-8").replace("8080", "8081", 1), "utf-8")
    found = generate("--check", folder=tmp_path)
    assert (found.returncode, "configuration.md" in found.stderr) == (1, True)
    assert generate(folder=tmp_path).returncode == 0
    assert page.read_text("utf-8") == (DOCS / "configuration.md").read_text("utf-8")


def test_a_setting_without_a_meaning_stops_the_generator(tmp_path: Path) -> None:
    words = copied(tmp_path) / "settings.toml"
    text = words.read_text("utf-8")
    line = next(line for line in text.splitlines() if line.startswith("headroom = "))
    words.write_text(text.replace(line, ""), "utf-8")
    done = generate("--check", folder=tmp_path)
    assert (done.returncode, "zone.headroom" in done.stderr) == (1, True)


def test_a_meaning_without_a_setting_stops_the_generator(tmp_path: Path) -> None:
    words = copied(tmp_path) / "settings.toml"
    words.write_text(words.read_text("utf-8") + '\n[extra]\ncolour = "Red."\n', "utf-8")
    done = generate("--check", folder=tmp_path)
    assert (done.returncode, "extra.colour" in done.stderr) == (1, True)
