# ruff: noqa: E501 - a rule and its mutation stand side by side
"""Each rule of who gets the next port, broken once: the random driver must see it."""

from random import Random

import pytest
import redis

from admission.ledger import scripts
from tests.ledger import virtual_zone
from tests.ledger.test_fairness_against_oracle import KINDS, drawn

SEEDS = 25
# What it means, the rule, what it becomes.
MUTATIONS = [
    ("classes are ignored", "if tonumber(class) <= my_class then", "if true then"),
    ("weights are ignored", "local weight, mine = rules.weight or 1,", "local weight, mine = 1,"),
    ("hunger ends at once", "local HUNGER_MS_MIN = 1000", "local HUNGER_MS_MIN = 0"),
    ("nothing is left for the hungry", "local left = free - r.units", "local left = free"),
    ("all is left for the hungry", "and left or 0)), r.ends", "and 0 or 0)), r.ends"),
    ("reserved makes nobody hungry", "'reserved', 'fair_share', 'rate_limited',\n})", "'fair_share', 'rate_limited',\n})"),
    ("what never comes makes hungry", "if not could_give(one, ask) then return nil end", ""),
    ("guarantees are not kept", "- others - (zone.priority_reserve", "- (zone.priority_reserve"),
    ("no trunk reservation", "(zone.priority_reserve[class] or 0)\nend", "0\nend"),
    ("rates have one more", "floor((p.rules.burst * each", "floor(((p.rules.burst + 1) * each"),
    ("a breaker never opens", "failures * 100 >= rules.failures_percent * calls", "false"),
    ("a probe closes it whatever came", "if failed == 1 then open(p) else", "if false then else"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rule", "broken"), MUTATIONS, ids=[m[0] for m in MUTATIONS])
def test_the_driver_sees(name: str, rule: str, broken: str, redis_sync: redis.Redis, monkeypatch):
    right = scripts.load("test").source
    assert rule in right, "the rule is written differently now: mend the mutation"
    client, source = redis_sync, right.replace(rule, broken)
    wrong = scripts.Script(source=source, sha=client.script_load(source))
    monkeypatch.setattr(virtual_zone, "load", lambda clock: wrong)
    seeds = ((kind, seed) for seed in range(SEEDS) for kind in KINDS)
    assert any(drawn(client, kind, Random(seed)) for kind, seed in seeds)
