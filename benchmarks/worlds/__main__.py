"""Run worlds: `python -m benchmarks.worlds [--worlds REGEX] [--seeds N] [--first SEED] ...`.

One process, one core. Seeds up to 999 were used for tuning; the figures that are published come
from seeds of 1000 and above (`--final`).
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.worlds.catalogue import worlds
from benchmarks.worlds.controllers import CONTESTANTS, Learned
from benchmarks.worlds.figures import WARM_UP_S, Against, Figures, against, figures
from benchmarks.worlds.report import report
from benchmarks.worlds.scenario import Scenario
from benchmarks.worlds.world import World

FINAL_SEED = 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.worlds", description=__doc__)
    parser.add_argument("--worlds", default="", metavar="REGEX", help="names to run")
    parser.add_argument("--contestants", default="oracle,proved,learned")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each contestant")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--final", action="store_true", help=f"first seed {FINAL_SEED}")
    parser.add_argument("--seconds", type=float, default=360.0, help="the first 60 s included")
    parser.add_argument("--quick", action="store_true", help="one seed, 150 s")
    parser.add_argument("--list", action="store_true", help="the names of the worlds")
    parser.add_argument("--json", type=Path, help="append one line for each world and contestant")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/worlds.*")
    chosen = parser.parse_args()
    found = [one for name, one in worlds().items() if re.search(chosen.worlds, name)]
    if chosen.list:
        print(*(one.name for one in found), sep="\n")
        return
    first = FINAL_SEED if chosen.final else chosen.first
    seeds = range(first, first + (1 if chosen.quick else chosen.seeds))
    seconds = 150.0 if chosen.quick else chosen.seconds
    everything: list[dict[str, Any]] = []
    for scenario in found:
        rows = race(scenario, chosen.contestants.split(","), seeds, seconds)
        print(scenario.name, *(f"  {line(row)}" for row in rows), sep="\n", flush=True)
        everything += rows
        if chosen.save:  # after each world: a run that is stopped leaves what it has
            whole = report(everything, first_seed=first, seeds=len(seeds), seconds=seconds)
            whole.save("worlds")
        if chosen.json:
            with chosen.json.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)


def race(
    scenario: Scenario, contestants: Sequence[str], seeds: Sequence[int], seconds: float
) -> list[dict[str, Any]]:
    """Run the contestants in one world; the oracle must be the first of them."""
    rows, best, first_minute = [], None, None
    for name in contestants:
        runs = [
            World(scenario, CONTESTANTS[name], seed=seed, lasts_s=seconds).run() for seed in seeds
        ]
        whole, start = figures(runs, WARM_UP_S, seconds), figures(runs, 0, WARM_UP_S)
        best, first_minute = best or whole, first_minute or start
        row = _row(scenario, name, whole, against(whole, best))
        cold = against(start, first_minute)
        row |= {"first_minute_use": cold.use, "first_minute_beyond": cold.beyond}
        row |= _learned([run.controller for run in runs if isinstance(run.controller, Learned)])
        rows.append(row)
    return rows


def _row(scenario: Scenario, name: str, one: Figures, other: Against) -> dict[str, Any]:
    return {
        "world": scenario.name,
        "contestant": name,
        "used": one.used,
        "own": one.own,
        "use": other.use,
        "use_half": other.use_half,
        "launches": one.failing.of,
        "failing": one.failing.percent,
        "beyond": other.beyond,
        "low": other.low,
        "high": other.high,
        "blocked": one.blocked,
    }


def _learned(controllers: Sequence[Learned]) -> dict[str, Any]:
    if not controllers:
        return {}
    times = [second for one in controllers for second in one.cpu_s]
    snapshots = sum(one.snapshots for one in controllers)
    doubts = {
        doubt.value: sum(one.doubts[doubt] for one in controllers) / snapshots
        for one in controllers
        for doubt in one.doubts
    }
    return {"cpu_ms": 1000 * statistics.median(times), "doubts": doubts}


def line(row: dict[str, Any]) -> str:
    """One row as text."""
    text = (
        f"{row['contestant']:9s} used {row['used']:5.1f}%  of oracle {row['use']:6.2f}"
        f" ±{row['use_half']:.2f}  own {row['own']:5.1f}%  launches {row['launches']:6d}"
        f"  failing {row['failing']:6.3f}%  beyond {row['beyond']:+7.3f}"
        f" [{row['low']:+.3f},{row['high']:+.3f}]  blocked {row['blocked']:4.1f}%"
        f"  1st min {row['first_minute_use']:5.1f} {row['first_minute_beyond']:+.3f}"
    )
    if "cpu_ms" in row:
        doubts = " ".join(f"{name} {100 * share:.1f}%" for name, share in row["doubts"].items())
        text += f"  {row['cpu_ms']:.2f} ms  {doubts}"
    return text


if __name__ == "__main__":
    sys.exit(main())
