"""The pages that are made from the code are what the code says."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from admission.config.sources.huawei import HuaweiCmsSettings
from admission.domain.policy.parts import PoolPolicy
from tests.support.paths import ROOT

DOCS = ROOT / "docs"


def generate(*arguments: str, folder: Path = DOCS) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(folder / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def copied(folder: Path) -> Path:
    """The generator and its pages, where a test may change them."""
    for path in [*DOCS.glob("*.py"), *DOCS.glob("*.md")]:
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


class Incomplete(BaseModel):
    """A table with a field that has no docstring."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    answered: int = 0
    """What it
    means."""
    forgotten: int = 0


def test_a_setting_without_a_meaning_stops_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    page = importlib.import_module("config_page")
    with pytest.raises(LookupError, match=r"Incomplete\.forgotten$"):
        page.descriptions(Incomplete)


def test_a_setting_has_the_meaning_that_stands_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    page = importlib.import_module("config_page")
    inherited = page.descriptions(PoolPolicy)["limit"]
    assert inherited.startswith("Most calls")
    overridden = page.descriptions(HuaweiCmsSettings)["url"]
    assert overridden.startswith("Scheme")
