"""What holds of every history of snapshots, and what single events do."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings

from admission.estimator import Counters, Doubt, Parameters, State, findings, learn
from admission.estimator.estimator import DEFAULTS
from admission.estimator.parameters import BIN_MS
from tests.estimator.pools import START_MS, histories, observation, steady, taught


@settings(max_examples=25)
@given(histories(8))
def test_a_ceiling_never_exceeds_the_count_and_what_it_may_not_show(history):
    state = None
    for seen in history:
        step = taught(state, seen)
        state = step.state
        most = seen.unused + seen.in_use + seen.recent_ends
        assert all(0 <= ceiling <= most for ceiling in step.estimate.ceilings)


@settings(max_examples=25)
@given(histories(8))
def test_a_restored_state_continues_like_the_original(history):
    kept = stored = None
    for seen in history:
        step = taught(kept, seen)
        again = taught(State.load(stored) if stored else None, seen)
        assert again == step
        kept, stored = step.state, step.state.dump()
        assert State.load(stored) == kept


@settings(max_examples=25)
@given(histories(8))
def test_no_snapshot_is_learned_from_twice(history):
    state = None
    for seen in history:
        state = taught(state, seen).state
        assert learn(state, seen) is None
        assert learn(state, replace(seen, t0=seen.t0 - 1, unused=0)) is None


@settings(max_examples=25)
@given(histories(8))
def test_a_smaller_target_never_has_the_larger_ceiling(history):
    cautious = Parameters.for_target(0.0001)
    state = None
    for seen in history:
        step = taught(state, seen)
        wary = learn(state, seen, cautious)
        assert wary is not None
        pairs = zip(wary.estimate.ceilings, step.estimate.ceilings, strict=True)
        assert all(low <= high for low, high in pairs)
        state = step.state


@settings(max_examples=25)
@given(histories(8))
def test_findings_are_within_what_the_hypotheses_can_say(history):
    state = None
    for seen in history:
        state = taught(state, seen).state
        found = findings(state, DEFAULTS)
        assert found is not None
        assert 0 <= found.claim_median_s <= found.claim_p99_s <= 4.6
        assert 0 <= found.count_age_s <= 1.6


def test_an_idle_pool_may_be_filled():
    assert steady().estimate.ceilings == (200,)
    assert steady().estimate.trusted


def test_ports_that_others_use_are_not_available():
    assert steady(unused=140).estimate.ceilings == (140,)


def test_settled_calls_are_available_to_us():
    assert steady(unused=40, in_use=100).estimate.ceilings == (140,)


def test_lost_ends_do_not_lower_what_may_be_granted():
    """30 reservations are live whose calls are over: `in_use` and the ceiling contain both."""
    assert steady(unused=100, in_use=130).estimate.ceilings == (230,)


def test_the_first_snapshots_are_not_trusted():
    first = taught(None, observation())
    assert first.estimate.doubts == {Doubt.COLD}
    assert not steady(5).estimate.trusted
    assert steady(7).estimate.trusted


def test_a_dropped_reservation_takes_its_port_along():
    before = steady(unused=40, in_use=100)
    seen = observation(30, unused=40, in_use=99, counters=Counters(drops=1))
    assert taught(before.state, seen).estimate.ceilings == (139,)


@pytest.mark.parametrize("shares_total", [False, True])
def test_another_total_is_believed_at_once(shares_total):
    before = steady(unused=40, in_use=100)
    seen = observation(30, total=150, unused=0, in_use=90, shares_total=shares_total)
    assert taught(before.state, seen).estimate.ceilings[0] <= 91


def test_other_parameters_begin_anew():
    few = Parameters(claim_laws=DEFAULTS.claim_laws[:2])
    step = learn(steady().state, observation(40), few)
    assert step is not None
    assert step.state.snapshots == 1
    assert findings(steady().state, few) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"v":0}', "null", '{"v":1,"snapshot":[1]}'])
def test_a_state_that_cannot_be_read_is_none(text):
    assert State.load(text) is None


def test_a_slow_poll_gets_a_ceiling_that_falls_with_time():
    step = taught(None, observation(unused=100, in_use=100))
    for i, unused in enumerate((96, 90, 97, 91, 99, 93, 97, 90, 95, 99, 92), start=1):
        step = taught(step.state, observation(5 * i, unused=unused, in_use=100))
    ceilings = step.estimate.ceilings
    assert len(ceilings) >= 4
    assert list(ceilings) == sorted(ceilings, reverse=True)
    assert ceilings[0] > ceilings[-1]


def test_only_a_younger_count_lifts_the_freeze():
    state = steady(unused=40, in_use=100).state
    t1 = START_MS + 30_000
    early = observation(30, unused=40, in_use=100, frozen_at=t1 - 50)
    late = observation(30, unused=40, in_use=100, frozen_at=t1 - 5_000)
    assert not taught(state, early).estimate.lifts_freeze
    assert taught(state, late).estimate.lifts_freeze
    assert not taught(state, observation(30)).estimate.lifts_freeze


def test_a_failing_launch_lowers_the_ceiling_that_follows():
    step = steady(unused=20, in_use=100)
    t1 = START_MS + 30_000
    plain = observation(30, unused=20, in_use=100)
    failed = replace(plain, failed_at=t1 - 300, counters=Counters(failures=1, ends=1))
    lower = taught(step.state, failed).estimate.ceilings[0]
    assert lower < taught(step.state, plain).estimate.ceilings[0]


def test_a_count_with_a_stated_time_says_nothing_of_the_age_of_counts():
    """100 calls were launched 1 to 1.5 s ago, and the count does not show them."""
    newest = (START_MS + 30_000) // BIN_MS
    granted = {newest - age: 20 for age in range(10, 15)}
    state = steady(unused=200).state
    fresh = observation(30, unused=200, in_use=100, granted=granted)
    stated = replace(fresh, counted_at=fresh.t1 - 1_500)
    before, guessed, known = (
        findings(one, DEFAULTS)
        for one in (state, taught(state, fresh).state, taught(state, stated).state)
    )
    assert before is not None
    assert guessed is not None
    assert known is not None
    assert guessed.count_age_s > before.count_age_s + 0.1
    assert known.count_age_s == pytest.approx(before.count_age_s, abs=0.02)


def test_the_same_stated_count_teaches_once():
    state = taught(None, observation(unused=60, in_use=100, counted_at=START_MS)).state
    again = taught(state, observation(1, unused=60, in_use=100, counted_at=START_MS)).state
    earlier = taught(again, observation(2, unused=90, in_use=100, counted_at=START_MS - 1)).state
    assert state.bank == again.bank == earlier.bank
    assert earlier.counted_at == START_MS
    newer = taught(again, observation(2, unused=60, in_use=100, counted_at=START_MS + 1_900)).state
    assert newer.bank != again.bank


def test_an_older_stated_count_leaves_more_ports():
    counts = (96, 90, 97, 91, 99, 93, 97, 90, 95, 99, 92)
    found = []
    for age_ms in (0, 2_000):
        state = None
        for second, unused in enumerate(counts):
            stated = START_MS + 1_000 * second - age_ms
            seen = observation(second, unused=unused, in_use=100, counted_at=stated)
            step = taught(state, seen)
            state = step.state
        found.append(step.estimate.low)
    assert found[1] < found[0] - 0.5


def test_a_count_that_is_older_than_what_the_ledger_keeps_teaches_nothing():
    state = steady(unused=40, in_use=100).state
    t1 = START_MS + 30_000
    old = observation(30, unused=199, in_use=100, counted_at=t1 - 2_600)
    step = taught(state, old)
    assert step.estimate.doubts == {Doubt.OLD_COUNT}
    assert step.estimate.available == pytest.approx(140, abs=2)
    back = observation(31, unused=40, in_use=100, counted_at=t1 + 900)
    assert taught(step.state, back).estimate.trusted


def calibrated(ends: int, failures: int, snapshots: int = 60) -> float:
    """The calibration after snapshots that each follow so many ends and failures."""
    step = taught(None, observation(unused=40, in_use=160))
    for second in range(1, snapshots):
        counters = Counters(ends=second * ends, failures=second * failures)
        seen = observation(second, unused=40, in_use=160, counters=counters)
        step = taught(step.state, seen)
    assert step.state.calibration is not None
    return step.state.calibration


def test_launches_that_find_their_ports_raise_the_quantiles_to_a_bound():
    limits = DEFAULTS.calibration
    assert limits.first < calibrated(20, 0) < limits.most
    assert calibrated(100_000, 0) == limits.most


def test_failing_launches_lower_the_quantiles_to_a_bound():
    limits = DEFAULTS.calibration
    assert calibrated(0, 1, snapshots=2) == pytest.approx(limits.first - limits.per_failure)
    assert calibrated(20, 1_000) == limits.least


def test_the_share_of_failing_launches_that_is_steered_for_moves_nothing():
    limits = DEFAULTS.calibration
    ends = round(1 / (limits.goal * DEFAULTS.overlaunch_target))
    assert calibrated(ends, 1) == pytest.approx(limits.first, abs=0.02)


def test_a_lower_calibration_leaves_more_ports():
    counts = [40 + shift for shift in (0, 3, -2, 4, -4, 1, 0, -3)]
    found = []
    for scale in (DEFAULTS.calibration.least, DEFAULTS.calibration.most):
        state = None
        for second, unused in enumerate(counts):
            seen = observation(second, unused=unused, in_use=100)
            state = taught(replace(state, calibration=scale) if state else None, seen).state
        assert state is not None
        last = observation(len(counts), unused=40, in_use=100)
        found.append(taught(replace(state, calibration=scale), last).estimate.ceilings[0])
    assert found[0] < found[1]


def test_a_state_of_a_version_without_calibration_is_read():
    state = steady(unused=40, in_use=100).state
    stored = json.loads(state.dump())
    del stored["calibration"]
    assert State.load(json.dumps(stored)) == replace(state, calibration=None)


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0])
def test_a_target_is_a_share(target):
    with pytest.raises(ValueError, match="share between 0 and 1"):
        Parameters.for_target(target)
