"""Observations for tests: by hand, and drawn."""

from typing import Any

from hypothesis import strategies as st

from admission.estimator import Counters, Observation, State, Step, learn
from admission.estimator.parameters import BIN_MS, BINS, ENDS_BINS

START_MS = 10_000_000


def observation(second: float = 0.0, **values: Any) -> Observation:
    """A snapshot of an idle pool of 200 ports, so many seconds after the start."""
    t1 = START_MS + round(1000 * second)
    given: dict[str, Any] = {"t0": t1 - 20, "t1": t1, "total": 200, "unused": 200, "in_use": 0}
    return Observation(**(given | values))


def taught(state: State | None, seen: Observation) -> Step:
    """Learn from a snapshot that is new."""
    step = learn(state, seen)
    assert step is not None
    return step


def steady(snapshots: int = 30, **values: Any) -> Step:
    """A pool that has seen the same count every second."""
    step = taught(None, observation(**values))
    for second in range(1, snapshots):
        step = taught(step.state, observation(second, **values))
    return step


@st.composite
def histories(draw: st.DrawFn, longest: int = 12) -> list[Observation]:
    """Snapshots in order, each possible in itself, related to each other in no way."""
    second, totals, found = 0.0, Counters(), []
    for _ in range(draw(st.integers(1, longest))):
        second += draw(st.floats(0.8, 6.0))
        t1 = START_MS + round(1000 * second)
        newest = t1 // BIN_MS
        total = draw(st.sampled_from([20, 200, 200, 200, 2000]))
        ages = st.dictionaries(st.integers(0, BINS), st.integers(1, 9), max_size=6)
        granted = {newest - age: calls for age, calls in draw(ages).items()}
        launched = {newest - age: calls for age, calls in draw(ages).items()}
        ends = st.dictionaries(
            st.integers(0, ENDS_BINS),
            st.lists(st.integers(0, 2 * BINS), min_size=1, max_size=4),
            max_size=4,
        )
        pending = sum(granted.values()) + sum(launched.values())
        totals = Counters(
            reports=totals.reports + draw(st.integers(0, 40)),
            report_delay_ms=totals.report_delay_ms + draw(st.integers(0, 4_000)),
            ends=totals.ends + draw(st.integers(0, 40)),
            failures=totals.failures + draw(st.integers(0, 2)),
            drops=totals.drops + draw(st.integers(0, 3)),
        )
        found.append(
            Observation(
                t0=t1 - draw(st.integers(1, 40)),
                t1=t1,
                total=total,
                unused=draw(st.integers(0, total)),
                in_use=pending + draw(st.integers(0, total)),
                counted_at=draw(st.none() | st.integers(t1 - 2_000, t1)),
                shares_total=draw(st.booleans()),
                granted=granted,
                launched=launched,
                ended_granted=_before(newest, draw(ends)),
                ended_launched=_before(newest, draw(ends)),
                taken_granted=_before(newest, draw(ends)),
                taken_launched=_before(newest, draw(ends)),
                counters=totals,
                failed_at=draw(st.sampled_from([0, t1 - 300, t1 - 5_000])),
                frozen_at=draw(st.sampled_from([0, t1 - 100, t1 - 9_000])),
            )
        )
    return found


def _before(newest: int, ends: dict[int, list[int]]) -> dict[int, list[int]]:
    return {newest - ago: [newest - ago - age for age in ages] for ago, ages in ends.items()}
