"""What is installed is pinned with digests, for everything that pyproject.toml asks for."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

FOLDER = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
BASE = PROJECT["project"]["dependencies"]
WANTED = {
    "build": PROJECT["build-system"]["requires"],
    "run": BASE + EXTRAS["embedded"],
    "dev": BASE + EXTRAS["embedded"] + EXTRAS["dev"],
    "browser": EXTRAS["browser"],
    "bench": EXTRAS["bench"],
}
DIGEST = r"--hash=sha256:[0-9a-f]{64}"


def read(name: str) -> str:
    """A list with those that it includes."""
    text = (FOLDER / f"{name}.txt").read_text("utf-8")
    return "".join(map(read, re.findall(r"^-r (\w+)\.txt$", text, re.MULTILINE))) + text


def pinned(name: str) -> dict[str, str]:
    """Package -> version."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", read(name), re.MULTILINE))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.name)
def test_every_package_is_pinned_with_digests_and_no_index_is_named(path: Path) -> None:
    entry = rf"[a-z0-9-]+==\S+(?: ; [^\n\\]+)? \\\n(?:    {DIGEST} \\\n)*    {DIGEST}\n"
    rest = re.sub(entry, "", path.read_text("utf-8"))
    lines = [line for line in rest.splitlines() if not re.fullmatch(r"#.*|-r \w+\.txt", line)]
    assert lines == []


@pytest.mark.parametrize("name", WANTED)
def test_the_pins_fit_what_the_project_asks_for(name: str) -> None:
    versions = pinned(name)
    for text in WANTED[name]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), text


@pytest.mark.parametrize("name", WANTED)
def test_a_list_is_whole(name: str) -> None:
    """With digests pip installs nothing that a list does not name."""
    versions = pinned(name)
    missing = set()
    for package in versions:
        try:
            needed = map(Requirement, requires(package) or ())
        except PackageNotFoundError:
            continue  # for another platform, or of a list that is not installed
        for one in needed:
            is_wanted = not one.marker or one.marker.evaluate({"extra": ""})
            if is_wanted and canonicalize_name(one.name) not in versions:
                missing.add(f"{package} needs {one}")
    assert missing == set()
