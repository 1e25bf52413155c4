"""The report of the race over HTTP; the race itself runs in real time."""

import pytest

from benchmarks.race_http import LEARNED, ORACLE, PROVED, Score, report


def score(used: float) -> Score:
    return Score(used=used, launches=1000, failed=1)


@pytest.mark.parametrize(
    ("used", "verdict"), [(85.5, "**no** (92.9%)"), (85.7, "yes (93.2%)"), (80.0, "**no** (87.0%)")]
)
def test_the_scenario_with_the_least_use_decides_on_the_target(used: float, verdict: str) -> None:
    good = {ORACLE: score(92.0), PROVED: score(62.0), LEARNED: score(90.0)}
    other = {ORACLE: score(92.0), PROVED: score(62.0), LEARNED: score(used)}
    text = report({"one": good, "another": other}, 40.0).markdown
    assert f"at least 93% of the oracle's ports: {verdict}" in text
    assert "| one | learned | 90.0 | 97.8 | 1,000 | 0.10 |" in text
