"""A comparison of admission policies: one platform, the same dialers, many ways to decide.

Time is virtual, and a seed determines every run. The platform is the simulated Experience
Portal; this service is the real script on a real Redis, with the virtual clock. All contestants
meet the same dialers, the same foreign calls and the same snapshots.

scenarios.py      the scenarios
dialers.py        dialers with unmet demand, and their reports
simulation.py     platform, poller, dialers and contestant of one run, and its score
alternatives.py   alternatives: snapshots, semaphores, and the oracle that knows the truth
ours.py           the ledger's script, under the policies that the race compares
runner.py         runs everything, on all cores
report.py         JSON and Markdown; plot.py: the plot

    python -m benchmarks race          all of it, about 10 minutes on 2 cores
    python -m benchmarks --quick race  half a minute

RACE_PROCESSES=1 keeps it to one process. The same over HTTP: benchmarks/race_http.py.
"""

from benchmarks.report import Report


def run(*, quick: bool) -> Report:
    """Run all scenarios and return the report."""
    from benchmarks.race.report import report
    from benchmarks.race.runner import race

    worlds, scores = race(is_quick=quick)
    return report(worlds, scores)
