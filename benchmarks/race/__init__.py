"""Who decides best? One platform, one crowd of dialers, many ways to ask before a launch.

Everything happens in virtual time and follows from a seed. The platform is the simulated Experience
Portal; ours is the real script on a real Redis, its clock moved by the race. All contestants meet
the same dialers, the same calls of others and, where they look at snapshots, the same photographs.

scenarios.py      what a world is like
dialers.py        a crowd that always wants to launch, and what it reports
world.py          platform, poller, crowd and contestant of one run, and its score
alternatives.py   what is used instead: snapshots, semaphores, and the oracle that sees the truth
ours.py           the ledger's script, under the policies that the race compares
runner.py         runs everything, on all cores
report.py         JSON and Markdown; plot.py: the picture

    python -m benchmarks race          all of it, about 5 minutes on 2 cores
    python -m benchmarks --quick race  half a minute
"""

from benchmarks.report import Report


def run(*, quick: bool) -> Report:
    """Race, and tell."""
    from benchmarks.race.report import report
    from benchmarks.race.runner import race

    worlds, scores = race(is_quick=quick)
    return report(worlds, scores)
