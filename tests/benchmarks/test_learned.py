"""The benchmark of learned ceilings by the script: a small case, and its judgement."""

import pytest
import redis

from benchmarks.learned import CASES, QUICK, Case, judge, measure


def test_a_case_has_the_figures_of_every_contestant(redis_sync: redis.Redis) -> None:
    case = Case(name="07s none 20 ports", launches=1, seconds=75.0)
    row = measure(case, redis_sync, proved_s=75.0)
    assert row["runs"] == 1
    assert 0 < row["proved"]["used"] < row["oracle"]["used"] < 100
    assert row["learned"]["use"] > row["proved"]["use"]
    assert row["dedicated"]["failing"] == 0
    assert row["trusted_at_the_end"]


def test_every_case_is_a_scenario() -> None:
    assert all(case.scenario.calls for case in CASES)
    assert set(QUICK) <= {case.name for case in CASES}


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(-0.1, 0.09, "yes"), (0.05, 0.2, "open"), (0.11, 0.2, "**no**")]
)
def test_an_interval_that_contains_the_bound_decides_nothing(
    low: float, high: float, verdict: str
) -> None:
    assert judge({"learned": {"low": low, "high": high}}) == verdict
