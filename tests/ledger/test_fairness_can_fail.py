"""Each rule of who gets the next port, broken once: the random driver must see it."""

from random import Random

import pytest
import redis

from admission.ledger import scripts
from tests.ledger import virtual_zone
from tests.ledger.fair_rules import MUTATIONS
from tests.ledger.test_fairness_against_oracle import KINDS, drawn

SEEDS = 25


@pytest.mark.parametrize(("name", "rule", "broken"), MUTATIONS, ids=[m[0] for m in MUTATIONS])
def test_the_driver_sees(name: str, rule: str, broken: str, redis_sync: redis.Redis, monkeypatch):
    right = scripts.load("test").source
    assert rule in right, "the rule is written differently now: mend the mutation"
    client, source = redis_sync, right.replace(rule, broken)
    wrong = scripts.Script(source=source, sha=client.script_load(source))
    monkeypatch.setattr(virtual_zone, "load", lambda clock: wrong)
    seeds = ((kind, seed) for seed in range(SEEDS) for kind in KINDS)
    assert any(drawn(client, kind, Random(seed)) for kind, seed in seeds)
