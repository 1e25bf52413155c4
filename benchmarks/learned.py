"""Learned ceilings by the real script: a platform in virtual time, dialers, faults.

Scenarios of `benchmarks/worlds` (their model of a platform and of dialers) with these contestants:

    oracle      sees the ports and the launches on their way
    proved      the script with `ceilings = "proved"` and the default times
    learned     the script with `ceilings = "learned"`; the estimator learns as a replica does
    dedicated   the script with `ports = "dedicated"` and the times of the scenario, where no
                foreign calls come

Each of the first scenarios has so many launches that 95% intervals resolve 0.1% of them. Virtual
time: the figures do not depend on the machine. One process; scenarios begin in order of importance
and none begins after `BUDGET_S`, so that a run is bounded: the result says what it left out, and is
written after each scenario.

    python -m benchmarks learned           about 35 minutes on a quiet machine
    python -m benchmarks --quick learned   some scenarios, short
    LEARNED_LAUNCHES=9000 python -m benchmarks learned   no more launches than that in a scenario
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import redis

from benchmarks.report import RESULTS, Report, machine, machine_line, table
from benchmarks.worlds.catalogue import worlds
from benchmarks.worlds.controllers import Oracle
from benchmarks.worlds.figures import WARM_UP_S, Against, Figures, against, figures
from benchmarks.worlds.scenario import Scenario
from benchmarks.worlds.world import World
from tests.support.ledger_scenarios import ScriptController, on_script
from tests.support.redis_server import RedisServer

FIRST_SEED: Final = 3000  # no parameter was chosen with these seeds
RUN_S: Final = 660.0  # one run, the first 60 s apart
PROVED_S: Final = 360.0
RESOLVING: Final = 40_000  # launches that resolve 0.1%
RUNS_MAX: Final = 8
BUDGET_S: Final = 2_000
DIALERS: Final = 4  # each ask is a call of the script
BOUND_PERCENT: Final = 0.1  # launches that fail beyond the oracle's


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One scenario of `benchmarks/worlds`.

    Args:
        name: of the scenario.
        launches: runs are added until the learned ceiling has made so many.
        seconds: of each run.
        changes: fields of the scenario that differ.
    """

    name: str
    launches: int = 12_000
    seconds: float = RUN_S
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def scenario(self) -> Scenario:
        """The scenario, with few dialers."""
        found = worlds()[self.name]
        dialers = found.dialers if sum(found.ports) > 200 else DIALERS
        return replace(found, dialers=dialers, **self.changes)


CASES: Final = (
    *(
        Case(name=f"07s {name}", launches=RESOLVING)
        for name in (
            *("waves", "surges", "poisson restart lost", "waves poll 5", "waves age 0-2"),
            *("poisson 5% ends lost", "poisson dialers die", "none", "poisson"),
            *("poisson claim jumping", "poisson 2 channels", "poisson two applications"),
        )
    ),
    Case(name="07s none ring reported", launches=RESOLVING),
    Case(name="30s none ring reported"),
    Case(name="30s poisson ring reported", launches=6_000),
    Case(name="15s waves"),
    Case(name="30s none"),
    Case(name="30s waves", launches=6_000),
    Case(name="07s rival"),
    Case(name="07s counts 10% too high", seconds=360.0, launches=6_000),
    Case(name="07s counts noisy", seconds=360.0, launches=6_000),
    Case(name="07s counts frozen", seconds=360.0, launches=6_000),
    Case(name="07s claim 6-10", launches=6_000),
    Case(name="07s second system", launches=6_000),
    Case(name="07s poisson 20 ports", launches=2_000),
    Case(name="07s poisson claim drifting", launches=RESOLVING),
    Case(name="07s poisson restart kept", launches=RESOLVING),
    Case(name="07s poisson 2000 ports", launches=RESOLVING, seconds=260.0),
    Case(name="05s poisson", launches=RESOLVING),
    Case(name="05s waves poll 5", launches=RESOLVING),
    Case(name="07s poisson poll .2", launches=RESOLVING),
    Case(name="07s poisson age 0-2", launches=RESOLVING),
    Case(name="07s waves age 0-2 stated", launches=RESOLVING),
    Case(name="07s none server lost", launches=RESOLVING),
    Case(name="15s surges", launches=6_000),
    Case(name="30s poisson", launches=6_000),
)
QUICK: Final = ("07s none", "07s waves", "07s poisson restart lost", "07s counts frozen")


def run(*, quick: bool) -> Report:
    """Run the scenarios and return the report."""
    began, rows = time.monotonic(), []
    most = int(os.environ.get("LEARNED_LAUNCHES") or RESOLVING)
    cases = [one for one in CASES if one.name in QUICK] if quick else [*CASES]
    found = _report([], cases)
    with RedisServer().start() as server, server.client() as client:
        for done, case in enumerate(cases, 1):
            if time.monotonic() - began > BUDGET_S:
                break
            bounded = replace(case, launches=min(case.launches, most))
            short = replace(case, launches=1, seconds=240.0) if quick else bounded
            rows.append(measure(short, client))
            print(_line(rows[-1]), file=sys.stderr, flush=True)
            found = _report(rows, cases[done:])
            found.save("learned", RESULTS / "quick" if quick else RESULTS)
    return found


def _report(rows: list[dict[str, Any]], left_out: list[Case]) -> Report:
    names = [case.name for case in left_out]
    data = {"machine": machine(), "first_seed": FIRST_SEED, "rows": rows, "left_out": names}
    return Report(data=data, markdown=_markdown(data))


def measure(case: Case, client: redis.Redis, proved_s: float = PROVED_S) -> dict[str, Any]:
    """Run all contestants of one scenario.

    Args:
        client: of a server that is emptied before each run.
        proved_s: duration of the runs with proved ceilings.
    """
    scenario, learned, oracle = case.scenario, [], []
    launches = 0
    while launches < case.launches and len(learned) < RUNS_MAX:
        seed = FIRST_SEED + len(learned)
        client.flushall()
        learned.append(_run(scenario, on_script(client, ceilings="learned"), seed, case.seconds))
        oracle.append(_run(scenario, Oracle, seed, case.seconds))
        launches += sum(block.launches for block in learned[-1].blocks)
    best = figures(oracle, WARM_UP_S, case.seconds)
    one = figures(learned, WARM_UP_S, case.seconds)
    cold = against(figures(learned, 0, WARM_UP_S), figures(oracle, 0, WARM_UP_S))
    row = {"scenario": case.name, "runs": len(learned), "seconds": case.seconds}
    row |= {"oracle": _summary(best, against(best, best))}
    row |= {"learned": _summary(one, against(one, best)), "first_minute": asdict(cold)}
    row |= _trust([run.controller for run in learned])
    row |= _others(scenario, client, proved_s)
    return row


def _run(scenario: Scenario, make: Any, seed: int, seconds: float) -> World:
    return World(scenario, make, seed=seed, lasts_s=seconds).run()


def _others(scenario: Scenario, client: redis.Redis, seconds: float) -> dict[str, Any]:
    """The proved ceiling, and the dedicated policy where it is valid: one run each."""
    policies: dict[str, dict[str, Any]] = {"proved": {}}
    if scenario.foreign == "none":
        times = {
            "launch_within_ms": round(1000 * scenario.launch_s[1]),
            "claim_within_ms": round(1000 * scenario.claim.longest_s),
            "visibility_lag_ms": round(1000 * scenario.age_s[1]),
        }
        policies["dedicated"] = {"ports": "dedicated", **times}
    best = figures([_run(scenario, Oracle, FIRST_SEED, seconds)], WARM_UP_S, seconds)
    found = {}
    for name, policy in policies.items():
        client.flushall()
        ran = _run(scenario, on_script(client, ceilings="proved", **policy), FIRST_SEED, seconds)
        one = figures([ran], WARM_UP_S, seconds)
        found[name] = _summary(one, against(one, best))
    return found


def _summary(one: Figures, other: Against) -> dict[str, Any]:
    return {
        "used": round(one.used, 2),
        "use": round(other.use, 2),
        "use_half": round(other.use_half, 2),
        "launches": one.failing.of,
        "failing": round(one.failing.percent, 4),
        "beyond": round(other.beyond, 4),
        "low": round(other.low, 4),
        "high": round(other.high, 4),
        "blocked": round(one.blocked, 2),
    }


def _trust(controllers: list[ScriptController]) -> dict[str, Any]:
    snapshots = sum(one.snapshots for one in controllers)
    distrusted = sum(one.distrusted for one in controllers)
    trusted = all(one.in_force for one in controllers)
    return {"distrusted": round(distrusted / snapshots, 4), "trusted_at_the_end": trusted}


def _line(row: dict[str, Any]) -> str:
    one, proved = row["learned"], row["proved"]
    return (
        f"{row['scenario']:32s} use {one['use']:6.2f} ±{one['use_half']:.2f} (proved"
        f" {proved['use']:6.2f}) launches {one['launches']:6d} beyond {one['beyond']:+.3f}"
        f" [{one['low']:+.3f}, {one['high']:+.3f}] blocked {one['blocked']:.1f}"
        f" (proved {proved['blocked']:.1f}) distrusted {100 * row['distrusted']:.1f}%"
    )


def judge(row: dict[str, Any]) -> str:
    """Whether the interval of failing launches lies below the bound."""
    one = row["learned"]
    if one["high"] < BOUND_PERCENT:
        return "yes"
    return "**no**" if one["low"] > BOUND_PERCENT else "open"


def _rows(data: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    for row in data["rows"]:
        one, proved, cold = row["learned"], row["proved"], row["first_minute"]
        dedicated = f"{row['dedicated']['use']:.1f}" if "dedicated" in row else "-"
        yield (
            row["scenario"],
            f"{row['oracle']['used']:.1f}",
            f"{proved['use']:.1f}",
            dedicated,
            f"{one['use']:.1f} ± {one['use_half']:.1f}",
            f"{one['launches']:,}",
            f"{one['beyond']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})",
            judge(row),
            f"{proved['blocked']:.1f} / {one['blocked']:.1f}",
            f"{100 * row['distrusted']:.1f}",
            f"{cold['use']:.1f} / {cold['beyond']:+.2f}",
        )


def _markdown(data: dict[str, Any]) -> str:
    head = (
        *("scenario", "oracle, % of ports", "proved", "dedicated", "learned", "launches"),
        *("failing beyond", "below 0.1", "blocked, proved / learned", "distrusted, %"),
        "first minute: use / failing",
    )
    lines = [
        "# Learned ceilings by the script",
        "",
        machine_line(data["machine"]),
        "Virtual time: the figures do not depend on it. How to read them:",
        "docs/decisions/learned-ceilings.md. Use in % of the oracle's; `failing beyond`: launches",
        "that found no port, in points beyond the oracle's, with the 95% interval; `below 0.1`:",
        "whether that interval lies below 0.1 (open: it contains 0.1).",
        "",
        table(head, list(_rows(data))),
    ]
    if data["left_out"]:
        lines += [f"Not run, the time was up: {', '.join(data['left_out'])}.", ""]
    return "\n".join(lines)
