"""Simulations in virtual time: in no seed does a granted call find no port.

ADMISSION_SEEDS=200 runs more of them, ADMISSION_SEED_FIRST=123 begins elsewhere. The report of
a run ends with the figures of each scenario.
"""

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

import pytest
import redis

from tests.support.simulation.run import simulate
from tests.support.simulation.scenarios import COUNTED, PLAIN, SCENARIOS, Scenario, scenario_of

# They found a fault in the scripts once.
PINNED: Final = (65, 158)
FIRST: Final = int(os.environ.get("ADMISSION_SEED_FIRST", "0"))
COUNT: Final = int(os.environ.get("ADMISSION_SEEDS", "0"))
SEEDS: Final = range(FIRST, FIRST + COUNT) if COUNT else (*range(FIRST, FIRST + 18), *PINNED)
COUNTED_SEEDS: Final = range(1, 3)
# Ports kept busy over these, by dialers that pause after each denial.
PLAIN_SEEDS: Final = range(3)
PLAIN_UTILISATION: Final = 0.5


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed}-{scenario_of(seed).name}")
def test_a_granted_call_finds_a_port(
    seed: int, redis_sync: redis.Redis, record_property: Callable[[str, object], None]
) -> None:
    result = simulate(scenario_of(seed), seed, redis_sync)

    record_property("simulated", asdict(result))
    assert result.over_launches == 0


@pytest.mark.parametrize("scenario", COUNTED, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("seed", COUNTED_SEEDS)
def test_over_launches_outside_the_assumptions_are_counted(
    scenario: Scenario,
    seed: int,
    redis_sync: redis.Redis,
    record_property: Callable[[str, object], None],
) -> None:
    result = simulate(scenario, seed, redis_sync)

    record_property("simulated", asdict(result))
    assert result.launches > 0


def test_ports_are_used(redis_sync: redis.Redis) -> None:
    results = [simulate(PLAIN, seed, redis_sync) for seed in PLAIN_SEEDS]

    assert all(result.launches > 0 for result in results)
    assert sum(result.utilisation for result in results) / len(results) > PLAIN_UTILISATION


def test_a_seed_gives_the_same_run_again(redis_sync: redis.Redis) -> None:
    everything = SCENARIOS[-1]

    assert simulate(everything, 1, redis_sync) == simulate(everything, 1, redis_sync)
