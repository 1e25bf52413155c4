"""One seed: some simulated minutes, then no requests until nothing is in use."""

from dataclasses import dataclass
from typing import Final

import redis

from admission.ledger.scripts import load
from admission.ledger.store.connection import Script
from tests.support.simulation.checks import check_empty
from tests.support.simulation.huawei_simulation import CenterSimulation
from tests.support.simulation.scenarios import Scenario
from tests.support.simulation.simulation import Simulation

EVENTS_SHOWN: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a seed; `utilisation`: ports of ours ÷ ports that foreign calls left."""

    scenario: str
    seed: int
    run_ms: int
    launches: int
    denied: int
    over_launches: int
    mpp_misses: int
    excused: int
    foreign: int
    utilisation: float
    script_calls: int


class SimulationFailedError(AssertionError):
    """The broken rule, with what is needed to run the seed again."""


def simulate(
    scenario: Scenario, seed: int, client: redis.Redis, script: Script | None = None
) -> Result:
    """Run one seed against the real scripts.

    Args:
        client: of a Redis for this run alone; it is emptied.
        script: a broken one, to test that its fault is found.

    Raises:
        SimulationFailedError: a granted call found no port, or an invariant is broken.
    """
    client.flushall()
    kind = CenterSimulation if scenario.center else Simulation
    simulation = kind(scenario, seed, client, script or load(clock="test"))
    try:
        simulation.loop.run(scenario.run_ms)
        result = _result(simulation, seed)
        _end(simulation)
    except AssertionError as error:
        raise SimulationFailedError(_describe_failure(simulation, seed, error)) from error
    finally:
        simulation.controller.close()
    return result


def _end(simulation: Simulation) -> None:
    """Make no more requests; every call ends and every deadline passes."""
    simulation.closing = simulation.failures.over = True
    policy, drawn = simulation.parameters.policy, simulation.parameters
    deadlines = policy["answer_within_ms"] + policy["max_call_ms"] + policy["retention_ms"]
    simulation.loop.run(simulation.scenario.run_ms + drawn.talk_max_ms + deadlines + 20_000)
    check_empty(simulation.controller)


def _result(simulation: Simulation, seed: int) -> Result:
    truth = simulation.truth
    return Result(
        scenario=simulation.scenario.name,
        seed=seed,
        run_ms=simulation.scenario.run_ms,
        launches=truth.launches,
        denied=truth.denied,
        over_launches=truth.over_launches,
        mpp_misses=truth.mpp_misses,
        excused=truth.excused,
        foreign=simulation.growth.counted,
        utilisation=simulation.utilisation(),
        script_calls=simulation.controller.calls,
    )


def _describe_failure(simulation: Simulation, seed: int, error: AssertionError) -> str:
    events = "\n".join(
        " ".join(map(str, one)) for one in list(simulation.event_log)[-EVENTS_SHOWN:]
    )
    replay = f"ADMISSION_SEED_FIRST={seed} ADMISSION_SEEDS=1 pytest tests/simulation -q"
    return (
        f"{type(error).__name__}: {error}\nseed {seed}, scenario {simulation.scenario.name}\n"
        f"{simulation.parameters.shown()}\nlast events (simulated ms):\n{events}\n"
        f"to run it again: {replay}"
    )
