"""Runs every contestant in every world, on all cores."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from benchmarks.race.alternatives import ALTERNATIVES, Maker
from benchmarks.race.ours import DEDICATED, OURS
from benchmarks.race.scenarios import SCENARIOS, Scenario, quick
from benchmarks.race.simulation import Score, Simulation

CONTESTANTS: Final[dict[str, Maker]] = {**ALTERNATIVES, **OURS}
SEEDS: Final = range(1, 3)
QUICK: Final = ("dedicated", "lost-ends", "inbound", "inbound-ccxml", "short-inbound", "placed")
# Scenario and contestant -> its score over all seeds.
Scores = dict[tuple[str, str], Score]
Run = tuple[Scenario, int, str]


def race(*, is_quick: bool) -> tuple[list[Scenario], Scores]:
    """All runs. Returns: the worlds, and the scores in them."""
    worlds = [quick(one) for one in SCENARIOS if one.name in QUICK] if is_quick else [*SCENARIOS]
    seeds = SEEDS[:1] if is_quick else SEEDS
    runs = sorted(_runs(worlds, seeds), key=_cost, reverse=True)
    scores: Scores = {}
    with ProcessPoolExecutor(int(os.environ.get("RACE_PROCESSES") or os.cpu_count() or 1)) as pool:
        for (world, _, name), score in zip(runs, pool.map(_run, runs), strict=True):
            before = scores.get((world.name, name))
            scores[world.name, name] = before + score if before else score
    return worlds, scores


def _runs(worlds: list[Scenario], seeds: range) -> Iterator[Run]:
    """Whether a contestant takes part: the dedicated policy is valid only without foreign calls."""
    for world in worlds:
        for name in CONTESTANTS:
            if name != DEDICATED or world.is_dedicated:
                yield from ((world, seed, name) for seed in seeds)


def _cost(run: Run) -> int:
    """Long ones go first, so that all cores end together."""
    world, _, name = run
    return world.ports * world.lasts_ms * (20 if name in OURS else 1)


def _run(run: Run) -> Score:
    world, seed, name = run
    return Simulation(world, seed, CONTESTANTS[name]).run()
