"""Each rule of who gets the next port, broken once: the random driver must see it."""

from random import Random

import pytest
import redis

from tests.ledger.fairness_rules import MUTATIONS
from tests.ledger.test_fairness_against_oracle import KINDS, Call, difference, drawn
from tests.support import virtual_zone
from tests.support.lua_mutations import LuaMutation

SEEDS = 25


def find_difference(client: redis.Redis) -> list[Call] | None:
    """The calls of the first run in which script and oracle differ; None if there is none."""
    seeds = ((kind, seed) for seed in range(SEEDS) for kind in KINDS)
    runs = (drawn(client, kind, Random(seed)) for kind, seed in seeds)
    return next((calls for calls in runs if calls), None)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_generated_requests_detect(mutation: LuaMutation, redis_sync: redis.Redis, monkeypatch):
    wrong = mutation.script()
    with monkeypatch.context() as broken:
        broken.setattr(virtual_zone, "load", lambda clock: wrong)
        calls = find_difference(redis_sync)
    assert calls
    # Calls in which the sound script differs from the oracle too would detect every mutation.
    assert difference(redis_sync, calls) is None
