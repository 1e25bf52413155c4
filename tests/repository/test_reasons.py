"""One table of reasons: in the script, in Python, in the API's description, in the pages."""

import re
from typing import Any

from admission.domain.outcomes import Reason
from admission.http.app import create_app
from admission.http.context import APP_CONTEXT
from admission.ledger.scripts import MODULES, read_module
from tests.support.http_server import FakeDecider

REASONS = [reason.value for reason in Reason]


def lua_rows() -> dict[str, dict[str, Any]]:
    """The rows of rules/reasons.lua: name -> flags."""
    rows = re.findall(r"^  \{ name = '(\w+)'(.*?) \},", read_module("rules/reasons"), re.MULTILINE)
    return {name: dict.fromkeys(re.findall(r", (\w+) = true", flags), True) for name, flags in rows}


def test_the_script_checks_them_in_this_order() -> None:
    assert list(lua_rows()) == REASONS


def test_the_script_has_a_check_for_each() -> None:
    checks, limits = read_module("rules/checks"), read_module("rules/limits")
    defined = re.findall(r"^function checks\.(\w+)\(", checks, re.MULTILINE)
    defined += re.findall(r"^  \{ reason = '(\w+)'", limits, re.MULTILINE)
    assert sorted(set(defined) - {"run", "decide"}) == sorted(REASONS)


def test_the_script_gives_no_other() -> None:
    texts = [read_module(name) for name in MODULES]
    given = {one for text in texts for one in re.findall(r"\breason = '(\w+)'", text)}
    assert given <= set(REASONS)


def test_the_script_has_the_same_flags() -> None:
    for name, flags in lua_rows().items():
        facts = Reason(name).facts
        assert flags.get("by_snapshot", False) == facts.ended_by_snapshot, name
        assert flags.get("contends", False) == facts.contends, name


def test_the_description_of_the_api_has_the_same() -> None:
    schemas = create_app(FakeDecider())[APP_CONTEXT].description.document["components"]["schemas"]
    assert schemas["Reason"]["enum"] == REASONS
