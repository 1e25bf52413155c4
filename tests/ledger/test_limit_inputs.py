"""What is computed once in a call is computed again after a change of what it depends on."""

import re

import pytest

from admission.ledger.scripts import MODULES, read_module
from tests.support.rule_zone import RuleZone, policy

# Fields of a pool that rules/limits.lua, rules/ceiling.lua, rules/adaptive_headroom.lua and the
# checks before the counts read. state/pool.lua alone assigns them: pools.change for the others.
INPUTS = (
    "ceiling", "best", "best_w0", "t0", "w0", "set_limit", "set_until", "adaptive", "fed",
    "contending_classes", "open_until", "probe_until",
    "learned", "lowered", "failed_ceiling", "frozen_at",
)  # fmt: skip
# Other stored fields: set by pools.set, or by an assignment that marks the pool as written.
OTHERS = (
    "in_use", "hold", "unmet", "shrunk", "tat", "slots", "foreign", "group", "total", "unused",
    "events",
)  # fmt: skip
# It runs while a pool is written.
DURING_THE_WRITE = {"effects/pool_gc"}


def list_assignments(name: str, fields: tuple[str, ...]) -> list[str]:
    """Statements of a file of Lua that assign one of those fields of a pool."""
    code = re.sub(r"--.*", "", read_module(name))
    place = rf"\b(?:p|pool|to)\.(?:{'|'.join(fields)})|\b(?:p|pool|to)\[[^\]]+\]"
    statement = rf"(?:^|\bthen|\belse|\bdo)( *(?:{place})(?: *, *[\w.]+)* *=(?!=).*)$"
    return re.findall(statement, code, re.MULTILINE)


def test_only_the_pool_assigns_what_limits_and_checks_depend_on() -> None:
    found = {name: list_assignments(name, INPUTS) for name in MODULES if name != "state/pool"}
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_an_assignment_of_a_count_marks_the_pool() -> None:
    for name in {*MODULES} - DURING_THE_WRITE - {"state/pool"}:
        for text in list_assignments(name, OTHERS):
            assert re.search(r", pool\.is_written = .*, true$", text), (name, text)


def test_the_pool_itself_assigns_in_few_places() -> None:
    assert len(list_assignments("state/pool", INPUTS)) == 4


def test_limits_read_no_other_field() -> None:
    """Else INPUTS above would be too few."""
    rules = map(read_module, ("rules/limits", "rules/ceiling", "rules/learned_ceiling"))
    code = re.sub(r"--.*", "", "\n".join(rules))
    read = set(re.findall(r"\b(?:p|pool)\.(\w+)", code))
    constant = {"rules", "kind", "in_use", "hold", "limit_now", "usable_now"}
    constant |= {"estimate", "estimate_of"}  # of p.learned, which is an input
    noted = {"total", "t1", "best_t1"}  # stored beside the inputs, and no part of a limit
    assert read - constant - noted <= set(INPUTS)


def test_the_checks_before_the_counts_read_no_other_field() -> None:
    """Else a noted pass (early_passed_at) could outlive what it depends on."""
    checks = read_module("rules/checks")
    early = checks[
        checks.index("function checks.zone_paused") : checks.index("A check of one limit")
    ]
    rates = early[
        early.index("function checks.rate_limited") : early.index("function checks.recovering")
    ]
    read = set(re.findall(r"\bpool\.(\w+)", early.replace(rates, "")))
    assert read - {"rules", "kind", "name"} <= set(INPUTS)


@pytest.mark.usefixtures("on_both")
def test_a_recovery_within_a_call_ends_the_snapshot_of_an_mpp() -> None:
    zone = RuleZone(policy({"mpps": ["m"], "mpp_total": 6}, mpp__m__sip={"limit": 6})).ready()
    zone.ingest(6, {"mpp:m:sip": 2})
    look = {"op": "admit", "id": "0" * 11, "request_id": "r", "campaign": "a", "channel": "sip"}
    look |= {"mpp": "m", "count": 1, "min_count": 1, "body": "b", "dry_run": True, "explain": True}
    after = zone.call(look, {"op": "stepped"}, look)["pools"]
    assert next(pool for pool in after if pool["pool"] == "mpp:m:sip")["limit"] == 6
