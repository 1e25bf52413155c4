"""All benchmarks, or those that are named: `python -m benchmarks [--quick] [PART ...]`.

A part is a module of this package with `run(*, quick: bool) -> Report`. Figures are ratios of
servers in one run; absolute times are reported with the machine, and no test asserts them.
Whole runs are written to benchmarks/results/, quick ones to benchmarks/results/quick/ (not kept).
"""

import argparse
import importlib
import time
from typing import Final

from benchmarks.report import RESULTS

PARTS: Final = (
    *("ledger", "recount", "http", "scale", "wait", "fairness"),
    *("race", "race_http", "learned"),
)


def main() -> None:
    """Run the parts in order and print their tables."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="two minutes for all, rougher")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for name in chosen.parts or PARTS:
        run_part(name, quick=chosen.quick)


def run_part(name: str, *, quick: bool) -> None:
    """Measure one part, write and print its report."""
    started = time.monotonic()
    report = importlib.import_module(f"benchmarks.{name}").run(quick=quick)
    report.save(name, RESULTS / "quick" if quick else RESULTS)
    print(report.markdown, f"({name}: {time.monotonic() - started:.0f} s)\n", sep="\n", flush=True)


if __name__ == "__main__":
    main()
