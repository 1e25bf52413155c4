"""A Huawei call centre in virtual time: no granted call finds its licences or its agent taken.

ADMISSION_SEEDS and ADMISSION_SEED_FIRST choose the seeds, as in test_simulation.py.
"""

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

import pytest
import redis

from tests.support.simulation.mutations import MUTATIONS
from tests.support.simulation.run import SimulationFailedError, simulate
from tests.support.simulation.scenarios import CENTERS, center_of

FIRST: Final = int(os.environ.get("ADMISSION_SEED_FIRST", "0"))
COUNT: Final = int(os.environ.get("ADMISSION_SEEDS", "0")) or 20
BUSY: Final = 0.2  # of the voice licences' time, beside foreign calls
SEEDS_TRIED: Final = 10
# Faults of the script that must be found here as well.
FAULTS: Final = tuple(
    mutation
    for mutation in MUTATIONS
    if mutation.name
    in ("visible without the time to claim", "a held end leaves the ceiling as it is")
)


@pytest.mark.parametrize(
    "seed", range(FIRST, FIRST + COUNT), ids=lambda seed: f"{seed}-{center_of(seed).name}"
)
def test_a_granted_call_finds_its_licences_and_its_agent(
    seed: int, redis_sync: redis.Redis, record_property: Callable[[str, object], None]
) -> None:
    result = simulate(center_of(seed), seed, redis_sync)

    record_property("simulated", asdict(result))
    assert result.over_launches == 0


def test_ports_are_used(redis_sync: redis.Redis) -> None:
    results = [simulate(CENTERS[0], seed, redis_sync) for seed in range(3)]

    assert all(result.launches > 0 for result in results)
    assert sum(result.utilisation for result in results) / len(results) > BUSY


@pytest.mark.parametrize("mutation", FAULTS, ids=lambda mutation: mutation.name)
def test_a_fault_in_the_script_is_found(mutation, redis_sync: redis.Redis) -> None:
    script = mutation.script()

    for seed in range(SEEDS_TRIED):
        try:
            simulate(center_of(seed), seed, redis_sync, script)
        except SimulationFailedError:
            return
    pytest.fail(f"{SEEDS_TRIED} seeds found nothing wrong")
