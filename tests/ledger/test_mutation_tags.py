"""Each comment tag of the Lua belongs to a mutation, and each mutation to one tag."""

from collections import Counter

import pytest
import redis

from admission.ledger import scripts
from tests.ledger.fairness_rules import MUTATIONS as FAIRNESS
from tests.ledger.test_recount import MUTATIONS as RECOUNT
from tests.ledger.test_rules_can_fail import MUTATIONS as RULES
from tests.ledger.test_unit_of_work_can_fail import MUTATIONS as UNIT_OF_WORK
from tests.support.lua_mutations import LuaMutation, mutate, tags
from tests.support.simulation.mutations import MUTATIONS as SIMULATED

MUTATIONS: list[LuaMutation] = [*RULES, *FAIRNESS, *SIMULATED, *RECOUNT, *UNIT_OF_WORK]


def test_each_tag_stands_once_and_has_a_mutation() -> None:
    found = Counter(tags(scripts.load("test").source))
    assert [tag for tag, times in found.items() if times > 1] == []
    assert set(found) == {mutation.tag for mutation in MUTATIONS}


def test_names_are_unique_within_a_table() -> None:
    for table in (RULES, FAIRNESS, SIMULATED, RECOUNT, UNIT_OF_WORK):
        assert len({mutation.name for mutation in table}) == len(table)


def test_every_mutated_script_compiles(redis_sync: redis.Redis) -> None:
    for mutation in MUTATIONS:
        redis_sync.script_load(mutation.script().source)


@pytest.mark.parametrize("source", ["x = 1", "x = 1 -- mutation: a\ny = 2 -- mutation: a"])
def test_an_absent_or_a_double_tag_is_an_error(source: str) -> None:
    with pytest.raises(LookupError, match="mutation: a"):
        mutate(source, "a", "")


def test_a_mutation_replaces_its_line() -> None:
    assert mutate("a()\n  b() -- mutation: t\nc()", "t", "d()").source == "a()\nd()\nc()"
