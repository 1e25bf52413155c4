"""The simulation notices each of these faults in the script: it can fail."""

from typing import Final

import pytest
import redis

from tests.support.simulation.mutations import MUTATIONS, Mutation
from tests.support.simulation.run import SimulationFailedError, simulate

# From the seed that first caught it; a change of the simulation may move it a little.
SEEDS_TRIED: Final = 12


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_fault_in_the_script_is_found(mutation: Mutation, redis_sync: redis.Redis) -> None:
    script = mutation.script()

    for seed in range(mutation.seed, mutation.seed + SEEDS_TRIED):
        try:
            simulate(mutation.scenario, seed, redis_sync, script)
        except SimulationFailedError:
            return
    pytest.fail(f"{SEEDS_TRIED} seeds from {mutation.seed} on found nothing wrong")
