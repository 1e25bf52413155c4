"""The parts, each against a plain computation of the same."""

import doctest
import importlib
import math
import pkgutil
import sys
from random import Random
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import admission.estimator
from admission.estimator import Observation, learn
from admission.estimator.age_bins import AgeBins, LaunchReports
from admission.estimator.ceiling import Mixture
from admission.estimator.distrust import Doubt, Evidence
from admission.estimator.filter_bank import Expectation, FilterBank, modes_for
from admission.estimator.parameters import (
    BIN_MS,
    BINS,
    CLAIM_LAWS,
    ClaimLaw,
    CountAge,
    DistrustParameters,
    ForeignMode,
    Parameters,
)
from tests.estimator.pools import START_MS, observation, taught

LAWS = (ClaimLaw(low_s=0.0, high_s=1.0), ClaimLaw(low_s=0.5, high_s=2.0))


def share(age_s: float, law: ClaimLaw) -> float:
    """G of a law."""
    return min(1.0, max(0.0, (age_s - law.low_s) / (law.high_s - law.low_s)))


@given(
    st.lists(st.integers(0, 9_000), max_size=40),
    st.lists(st.tuples(st.integers(0, 2_300), st.integers(100, 9_000)), max_size=20),
    st.sampled_from([0, 100, 700, 1_900]),
)
def test_expected_calls_agree_with_a_sum_over_the_calls(ages, ends, ago):
    """`ages` of live calls; `ends` as (ended so long ago, lasted): within a bin of each call."""
    t1 = START_MS + 57
    granted: dict[int, int] = {}
    ended: dict[int, list[int]] = {}
    for age in ages:
        granted[(t1 - age) // BIN_MS] = granted.get((t1 - age) // BIN_MS, 0) + 1
    for end, length in ends:
        ended.setdefault((t1 - end) // BIN_MS, []).append((t1 - end - length) // BIN_MS)
    seen = Observation(
        t0=t1 - 1,
        t1=t1,
        total=200,
        unused=0,
        in_use=len(ages),
        granted=granted,
        ended_granted=ended,
    )
    visible = AgeBins(seen).visible([ago], LAWS, LaunchReports(share=0.0, delay_s=0.0))[ago]
    for law, (mean, variance) in zip(LAWS, visible, strict=True):
        bounds = []
        for error in (-BIN_MS, BIN_MS):
            up = [share((age - ago + error) / 1000, law) for age in ages]
            up += [
                share((end + length - ago + error) / 1000, law)
                for end, length in ends
                if end < ago + error / 2
            ]
            bounds.append(sum(up))
        assert bounds[0] - 1e-6 <= mean <= bounds[1] + 1e-6
        assert 0 <= variance <= (len(ages) + len(ends)) / 4 + 1e-6


@pytest.mark.parametrize(
    ("ago", "mean"),
    [(0, 10.0), (300, 10.0), (500, 7.0 + 3 * 0.4), (800, 7.0 + 3 * 0.1), (1_000, 7.0)],
)
@pytest.mark.parametrize("field", ["taken_granted", "taken_launched"])
def test_a_count_need_not_show_a_port_that_was_reported_after_it(
    field: str, ago: int, mean: float
) -> None:
    newest = START_MS // BIN_MS
    seen = observation(t1=START_MS + 50, in_use=10, **{field: {newest - 4: [newest - 9] * 3}})
    visible = AgeBins(seen).visible([ago], LAWS, LaunchReports(share=0.0, delay_s=0.0))[ago]
    assert visible[0][0] == pytest.approx(mean)


def test_calls_older_than_the_bins_have_their_port():
    seen = observation(in_use=70, granted={START_MS // BIN_MS - BINS - 1: 5})
    visible = AgeBins(seen).visible([100], CLAIM_LAWS, LaunchReports(share=0.0, delay_s=0.0))
    assert visible[100] == [(70.0, 0.0)] * len(CLAIM_LAWS)


def test_most_launches_are_reported_so_an_unreported_one_is_likely_not_launched():
    granted = {START_MS // BIN_MS - 3: 10}
    bins = AgeBins(observation(in_use=10, granted=granted))
    rare = bins.visible([0], LAWS, LaunchReports(share=0.0, delay_s=0.5))[0]
    usual = bins.visible([0], LAWS, LaunchReports(share=0.9, delay_s=0.5))[0]
    assert usual[0][0] < rare[0][0]


def test_one_filter_is_a_kalman_filter():
    single = Parameters(
        claim_laws=CLAIM_LAWS[:1],
        count_ages=(CountAge(ages_s=(0.0,)),),
        foreign_modes=(ForeignMode(variance_per_s=2.0, slope_sd_per_s=0.0),),
    )
    modes = modes_for(single, 200)
    bank = FilterBank.unknown(single, 200)
    random, level, variance = Random(1), 0.0, 1e6
    for _ in range(50):
        count, own, noise = random.randint(0, 200), random.uniform(0, 50), random.uniform(0.1, 9)
        bank.predict(modes, 0.5, single)
        bank.correct(count, [Expectation(own, noise)], 1, single)
        variance += 2.0 * 0.5
        gain = variance / (variance + noise)
        level += gain * (count + own - level)
        variance *= 1 - gain
        assert bank.levels[0] == pytest.approx(level)
        assert bank.variances[0] == pytest.approx(variance)


def test_a_trend_is_followed():
    parameters = Parameters()
    modes = modes_for(parameters, 200)
    bank = FilterBank.unknown(parameters, 200)
    size = len(parameters.claim_laws) * len(parameters.count_ages)
    for second in range(40):
        bank.predict(modes, 1.0, parameters)
        bank.correct(150 - 3 * second, [Expectation(0.0, 0.5)] * size, len(modes), parameters)
    slope = sum(weight * slope for weight, slope in zip(bank.weights, bank.slopes, strict=True))
    assert -3.5 < slope < -1.5  # the prior pulls it towards none
    assert bank.mean() == pytest.approx(150 - 3 * 39, abs=2)
    assert sum(bank.weights) == pytest.approx(1)


MIXTURES = st.lists(
    st.tuples(st.floats(0.01, 1), st.floats(0, 300), st.floats(0.01, 30)), min_size=1, max_size=9
).map(
    lambda parts: Mixture(
        weights=[part[0] for part in parts],
        means=[part[1] for part in parts],
        widths=[part[2] for part in parts],
    )
)


@given(MIXTURES)
def test_quantiles_are_monotone(mixture):
    found = [mixture.quantile(share) for share in (0.0005, 0.002, 0.05, 0.5, 0.9, 0.999)]
    assert found == sorted(found)


@given(MIXTURES, st.sampled_from([0.002, 0.08, 0.5]))
def test_a_quantile_is_where_the_mixture_has_that_probability(mixture, probability):
    def below(value: float) -> float:
        parts = zip(mixture.weights, mixture.means, mixture.widths, strict=True)
        whole = sum(mixture.weights)
        return sum(w * math.erfc((mean - value) / d) for w, mean, d in parts) / whole / 2

    value = mixture.quantile(probability)
    assert below(value - 0.06) <= probability <= below(value + 0.06)


@given(MIXTURES, st.sampled_from([0.002, 0.08, 0.5]), st.floats(-400, 700))
def test_a_quantile_does_not_depend_on_where_its_search_begins(mixture, probability, near):
    found = mixture.quantile(probability, near)
    assert mixture.share_below(found - 0.06) <= probability <= mixture.share_below(found + 0.06)


class TestEvidence:
    LIMITS = DistrustParameters()

    def judged(
        self, evidence: Evidence, counts: int, *, probability: float = 0.5, **values: Any
    ) -> Evidence:
        given = {"unchanged": False, "moved": 0.0, "restless": 0.0} | values
        for _ in range(counts):
            evidence = evidence.after_count(probability, **given, limits=self.LIMITS)
            evidence = evidence.judged(self.LIMITS)
        return evidence

    def test_counts_as_predicted_hardly_ever_raise_a_doubt(self):
        random, evidence, doubted = Random(1), Evidence(), 0
        for _ in range(20_000):
            evidence = self.judged(evidence, 1, probability=random.random())
            doubted += bool(evidence.doubts)
        assert doubted < 60  # 0.3%: an alarm ends after some ten snapshots

    def test_counts_that_are_too_low_raise_one_that_ends_by_itself(self):
        surprised = self.judged(Evidence(), 4, probability=1e-4)
        assert surprised.doubts == {Doubt.SURPRISED}
        assert self.judged(surprised, 3).doubts == {Doubt.SURPRISED}
        assert not self.judged(surprised, 20).doubts

    def test_a_count_that_own_calls_must_move_is_frozen(self):
        frozen = self.judged(Evidence(), 20, unchanged=True, moved=5.0)
        assert frozen.doubts == {Doubt.FROZEN_COUNT}
        assert not self.judged(frozen, 1).doubts

    def test_a_count_that_nothing_moves_is_not_frozen(self):
        assert not self.judged(Evidence(), 5_000, unchanged=True, moved=0.0).doubts

    def test_restlessness_that_lasts_is_doubted(self):
        restless = self.judged(Evidence(), 60, restless=1.0)
        assert restless.doubts == {Doubt.RESTLESS}
        assert not self.judged(restless, 40).doubts

    def test_failures_that_the_prediction_excludes_are_doubted_until_launches_succeed(self):
        failing = Evidence()
        for _ in range(7):
            failing = failing.after_launches(20, 1, dt_s=1.0, limits=self.LIMITS)
            failing = failing.judged(self.LIMITS)
        assert failing.doubts == {Doubt.FAILING}
        calm = failing.after_launches(100, 0, dt_s=120.0, limits=self.LIMITS)
        assert not calm.judged(self.LIMITS).doubts


def calls_made(seen: Observation) -> int:
    """Python functions called by one step from a warm state."""
    state = taught(None, observation(in_use=seen.in_use, total=seen.total)).state
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        learn(state, seen)
    finally:
        sys.setprofile(None)
    return count


def test_the_work_does_not_grow_with_the_calls():
    newest = (START_MS + 1_000) // BIN_MS

    def crowded(calls: int) -> Observation:
        return observation(
            1,
            total=2_000,
            unused=500,
            in_use=70 * calls,
            granted={newest - age: calls for age in range(BINS)},
            ended_granted={newest - ago: [newest - ago - 30] * calls for ago in range(25)},
            taken_granted={newest - ago: [newest - ago - 9] * calls for ago in range(25)},
        )

    assert calls_made(crowded(30)) < 1.3 * calls_made(crowded(3))


@pytest.mark.parametrize(
    "name", [module.name for module in pkgutil.iter_modules(admission.estimator.__path__)]
)
def test_the_examples_of_the_docstrings_hold(name):
    failed, _ = doctest.testmod(importlib.import_module(f"admission.estimator.{name}"))
    assert failed == 0
