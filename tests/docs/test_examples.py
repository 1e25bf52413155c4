"""Every example of README and docs/ does what it shows."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, PYTHON, ROOT, SHELL, Block, blocks
from tests.support.service_process import ServiceProcess

EXAMPLE_S = 120
PRINTED_URL = "http://127.0.0.1:8080"
EVERY = [block for page in PAGES for block in blocks(page)]
RUN = [block for block in EVERY if block.language in (*SHELL, *PYTHON) and block.how]
PAGES_THAT_RUN = sorted({block.page for block in RUN})


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The demo, as `make run` starts it: for all pages.

    On a busy machine an example may take longer to start than a launch may take.
    """
    running = ServiceProcess(tmp_path_factory.mktemp("demo"))
    patch = {"launch_within_ms": 60_000}
    assert running.call("PATCH", "/v1/zones/East/policy", patch)[0] == 200
    yield running
    running.stop()


def command_of(block: Block, url: str) -> list[str]:
    text = block.text.replace(PRINTED_URL, url)
    if block.language in PYTHON:
        return [sys.executable, "-c", text]
    # As a user types it: `$ ` is a prompt, and a line without it is output.
    prompted = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    return ["bash", "-euo", "pipefail", "-c", "\n".join(prompted) or text]


@pytest.mark.parametrize("page", PAGES_THAT_RUN, ids=str)
def test_the_examples_of(page: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    of_page = [block for block in RUN if block.page == page]
    # The programs of this installation first, under the names that the pages use.
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    for name in ("admission", "examples", "deploy"):
        if (ROOT / name).is_dir():
            (tmp_path / name).symlink_to(ROOT / name)
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    url = ""
    if any(block.how == "service" for block in of_page):
        url = request.getfixturevalue("service").url
    for block in of_page:
        run(block, url, tmp_path, path)


def run(block: Block, url: str, folder: Path, environ: dict[str, str]) -> None:
    """One example; it must end well, and show no problem of the service."""
    done = subprocess.run(
        command_of(block, url),
        cwd=folder,
        env=os.environ | environ | {"ADMISSION_URL": url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=EXAMPLE_S,
    )
    said = f"{block.place}\n{block.text}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    assert not re.search(r'"status": *[45]\d\d', done.stdout), said


def test_an_example_that_is_not_run_has_a_reason() -> None:
    assert [block.place for block in EVERY if not block.how and len(block.why) < 10] == []


def test_how_an_example_is_run_is_one_of_the_ways() -> None:
    assert {block.how for block in RUN} <= {"service", "shell"}


@pytest.mark.parametrize("language", ["json", "toml"])
def test_the_data_in_the_pages_can_be_read(language: str) -> None:
    read = {"json": json.loads, "toml": tomllib.loads}[language]
    wrong = []
    for block in EVERY:
        if block.language == language:
            try:
                read(block.text)
            except ValueError as fault:
                wrong.append(f"{block.place}: {fault}")
    assert wrong == []


def test_no_link_leads_nowhere() -> None:
    broken = []
    for page in PAGES:
        text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            there = (ROOT / page).parent / path if path else ROOT / page
            if not there.exists() or (anchor and anchor not in anchors(there)):
                broken.append(f"{page}: {target}")
    assert broken == []


def anchors(page: Path) -> set[str]:
    """What a heading is called in a link, by the common rule of Markdown viewers."""
    if page.suffix != ".md":
        return set()
    text = page.read_text("utf-8")
    given = set(re.findall(r'<a id="([^"]+)">', text))
    titles = re.findall(r"^#+ (.+)$", re.sub(r"<a id=[^>]+></a>", "", text), re.MULTILINE)
    return given | {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-").strip() for title in titles
    }
