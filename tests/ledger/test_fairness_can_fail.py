"""Each rule of who gets the next port, broken once: the random driver must see it."""

from random import Random

import pytest
import redis

from tests.ledger.fairness_rules import MUTATIONS
from tests.ledger.test_fairness_against_oracle import KINDS, drawn
from tests.support import virtual_zone
from tests.support.lua_mutations import LuaMutation

SEEDS = 25


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_generated_requests_detect(mutation: LuaMutation, redis_sync: redis.Redis, monkeypatch):
    wrong = mutation.script()
    monkeypatch.setattr(virtual_zone, "load", lambda clock: wrong)
    seeds = ((kind, seed) for seed in range(SEEDS) for kind in KINDS)
    assert any(drawn(redis_sync, kind, Random(seed)) for kind, seed in seeds)
