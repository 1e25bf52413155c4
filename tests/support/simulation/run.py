"""One seed: some simulated minutes, then silence until nothing is left."""

from dataclasses import dataclass
from typing import Final

import redis

from admission.ledger.scripts import load
from admission.ledger.store.connection import Script
from tests.support.simulation.checks import check_empty
from tests.support.simulation.huawei_world import CenterWorld
from tests.support.simulation.scenarios import Scenario
from tests.support.simulation.world import World

DIARY_SHOWN: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one seed came to; `utilisation`: ports used by us ÷ ports that others left."""

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
    """What broke, with everything that is needed to see it again."""


def simulate(
    scenario: Scenario, seed: int, client: redis.Redis, script: Script | None = None
) -> Result:
    """Run one seed against the real scripts.

    Args:
        client: of a Redis that nobody else uses; it is emptied.
        script: other than the real one, to see that its faults are found.

    Raises:
        SimulationFailedError: a granted call found no port, or an invariant is broken.
    """
    client.flushall()
    kind = CenterWorld if scenario.center else World
    world = kind(scenario, seed, client, script or load(clock="test"))
    try:
        world.loop.run(scenario.run_ms)
        result = _result(world, seed)
        _end(world)
    except AssertionError as error:
        raise SimulationFailedError(_told(world, seed, error)) from error
    finally:
        world.controller.close()
    return result


def _end(world: World) -> None:
    """Nobody asks any more; every call ends and every deadline passes."""
    world.closing = world.failures.over = True
    policy, drawn = world.parameters.policy, world.parameters
    deadlines = policy["answer_within_ms"] + policy["max_call_ms"] + policy["retention_ms"]
    world.loop.run(world.scenario.run_ms + drawn.talk_max_ms + deadlines + 20_000)
    check_empty(world.controller)


def _result(world: World, seed: int) -> Result:
    truth = world.truth
    return Result(
        scenario=world.scenario.name,
        seed=seed,
        run_ms=world.scenario.run_ms,
        launches=truth.launches,
        denied=truth.denied,
        over_launches=truth.over_launches,
        mpp_misses=truth.mpp_misses,
        excused=truth.excused,
        foreign=world.growth.counted,
        utilisation=world.utilisation(),
        script_calls=world.controller.calls,
    )


def _told(world: World, seed: int, error: AssertionError) -> str:
    events = "\n".join(" ".join(map(str, one)) for one in list(world.diary)[-DIARY_SHOWN:])
    replay = f"ADMISSION_SEED_FIRST={seed} ADMISSION_SEEDS=1 pytest tests/simulation -q"
    return (
        f"{type(error).__name__}: {error}\nseed {seed}, scenario {world.scenario.name}\n"
        f"{world.parameters.shown()}\nlast events (simulated ms):\n{events}\nagain: {replay}"
    )
