"""The three ways of the data in ARCHITECTURE.md name functions and types that exist."""

import ast
import re

import pytest

from tests.docs.blocks import ROOT

PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
WAYS = ("admission", "snapshot", "end report")
# `name` (`file`), or `name` and `other` (`file`): files from the top or below admission/.
NAMED = re.compile(r"((?:`[\w.]+`(?:,| and)\s+)*`[\w.]+`)\s+\(`([\w/]+\.(?:py|lua))`\)")


def read_way(name: str) -> str:
    begin = PAGE.index(
        f"## The way of an {name}" if name != "snapshot" else f"## The way of a {name}"
    )
    return PAGE[begin : PAGE.index("\n## ", begin + 1)]


def find_names(way: str) -> list[tuple[str, str]]:
    return [
        (name, file)
        for names, file in NAMED.findall(read_way(way))
        for name in re.findall(r"`([\w.]+)`", names)
    ]


def defined_in_python(text: str) -> set[str]:
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{one.name}"
                for one in node.body
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return found


def defined_in_lua(text: str) -> set[str]:
    named = re.findall(r"^(?:local )?function ([\w.]+)\(", text, re.MULTILINE)
    indexed = re.findall(r"^(\w+)\['(\w+)'\] = function\(", text, re.MULTILINE)
    return {*named, *(f"{table}.{name}" for table, name in indexed)}


@pytest.mark.parametrize("way", WAYS)
def test_a_way_names_what_exists(way: str) -> None:
    names = find_names(way)
    assert len(names) >= 5
    lost = []
    for name, file in names:
        path = ROOT / file if file.startswith("lua/") else ROOT / "admission" / file
        text = path.read_text("utf-8") if path.is_file() else ""
        defined = defined_in_python(text) if file.endswith(".py") else defined_in_lua(text)
        if name not in defined:
            lost.append(f"{name} ({file})")
    assert lost == []
