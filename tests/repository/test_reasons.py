"""One list of reasons: in the script, in Python, in the API's description, in the pages."""

import re

from admission.domain.outcomes import Reason
from admission.http.app import create_app
from admission.http.openapi.description import DESCRIPTION
from admission.ledger.scripts import MODULES, find_lua_directory, read_module
from tests.oracle.decide import ENDED_BY_SNAPSHOT
from tests.oracle.fairness import MAKES_CONTEND
from tests.support.http_house import FakeDecider
from tests.support.paths import ROOT

REASONS = [reason.value for reason in Reason]
PAGE = ROOT / "docs" / "reasons.md"


def lua_reasons() -> list[str]:
    prelude = read_module("prelude")
    found = re.search(r"local REASONS = \{(.*?)\}", prelude, re.DOTALL)
    assert found
    return re.findall(r"'(\w+)'", found[1])


def test_the_script_checks_them_in_this_order() -> None:
    assert lua_reasons() == REASONS


def test_the_script_has_a_check_for_each() -> None:
    checks = read_module("rules/checks")
    defined = re.findall(r"^(?:function )?checks\.(\w+)\b(?:\(| =)", checks, re.MULTILINE)
    assert sorted(set(defined) - {"run"}) == sorted(REASONS)


def test_the_script_gives_no_other() -> None:
    texts = [read_module(name) for name in MODULES]
    given = {one for text in texts for one in re.findall(r"\breason = '(\w+)'", text)}
    assert given <= set(REASONS)


def test_the_protocol_explains_each_in_this_order() -> None:
    readme = (find_lua_directory() / "README.md").read_text(encoding="utf-8")
    bullets = re.findall(r"^   \* (`.*)$", readme, re.MULTILINE)
    told = [name for line in bullets for name in re.findall(r"`(\w+)`", line) if name in REASONS]
    assert list(dict.fromkeys(told)) == REASONS


def lua_set(module: str, name: str) -> set[str]:
    text = read_module(module)
    found = re.search(rf"local {name} = set_of\(\{{(.*?)\}}\)", text, re.DOTALL)
    assert found
    return set(re.findall(r"'(\w+)'", found[1]))


def test_the_oracle_counts_each_as_the_script_does() -> None:
    assert lua_set("commands/admit", "ENDED_BY_SNAPSHOT") == set(ENDED_BY_SNAPSHOT)
    assert lua_set("rules/fair_share", "MAKES_CONTEND") == set(MAKES_CONTEND)


def test_the_description_of_the_api_has_the_same() -> None:
    schemas = create_app(FakeDecider())[DESCRIPTION].document["components"]["schemas"]
    assert schemas["Reason"]["enum"] == REASONS


def test_each_has_a_line_that_says_what_to_do() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.+)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [reason for reason, _ in rows] == REASONS
    for reason, cells in rows:
        assert [bool(cell.strip()) for cell in cells.split("|")] == [True] * 3, reason
