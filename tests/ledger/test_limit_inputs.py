"""A limit is computed once in a call, and again after a change of the fields behind it."""

import re

import pytest

from admission.ledger.scripts import MODULES, read_module
from tests.support.rule_zone import RuleZone, policy

# Fields of a pool that rules/limits.lua, rules/ceiling.lua and rules/adaptive_headroom.lua read.
INPUTS = r"(?:ceiling|best|best_w0|t0|w0|set_limit|set_until|adaptive|fed)"
# Files that may assign them: the pool itself, and the headroom between two whole ports.
ASSIGNMENTS = {"state/pool": 4, "rules/adaptive_headroom": 1}


def test_only_pools_change_assigns_the_inputs_of_limits() -> None:
    found = {}
    for name in MODULES:
        code = re.sub(r"--.*", "", read_module(name))
        place = rf"\w+\.{INPUTS}|p\[[^\]]+\]"
        statement = rf"(?:^|\bthen|\belse|\bdo) *(?:{place})(?: *, *[\w.]+)* *=(?!=)"
        assigned = re.findall(statement, code, re.MULTILINE)
        if assigned:
            found[name] = len(assigned)
    assert found.keys() <= ASSIGNMENTS.keys()
    assert all(found[name] <= ASSIGNMENTS[name] for name in found), found


def test_rules_read_no_other_field() -> None:
    """Else INPUTS above would be too few."""
    read = set(
        re.findall(r"\bp\.(\w+)", read_module("rules/limits") + read_module("rules/ceiling"))
    )
    constant = {"rules", "kind", "in_use", "hold", "limit_now", "usable_now"}
    noted = {"total", "t1", "best_t1"}  # stored beside the inputs, and no part of a limit
    assert read - constant - noted <= set(re.findall(r"\w+", INPUTS))


@pytest.mark.usefixtures("on_both")
def test_a_recovery_within_a_call_ends_the_snapshot_of_an_mpp() -> None:
    zone = RuleZone(policy({"mpps": ["m"], "mpp_total": 6}, mpp__m__sip={"limit": 6})).ready()
    zone.ingest(6, {"mpp:m:sip": 2})
    look = {"op": "admit", "id": "0" * 11, "request_id": "r", "campaign": "a", "channel": "sip"}
    look |= {"mpp": "m", "count": 1, "min_count": 1, "body": "b", "dry_run": True, "explain": True}
    after = zone.call(look, {"op": "stepped"}, look)["pools"]
    assert next(pool for pool in after if pool["pool"] == "mpp:m:sip")["limit"] == 6
