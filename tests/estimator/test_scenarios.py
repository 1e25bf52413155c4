"""Learned ceilings in small scenarios with fixed seeds, against the bounds of docs/decisions.

The bounds have room for the statistical error of one short run; benchmarks/worlds resolves them.
"""

from dataclasses import replace

import pytest

from admission.estimator import Doubt, State
from benchmarks.worlds.catalogue import worlds as scenarios
from benchmarks.worlds.controllers import Learned, Oracle, Proved
from benchmarks.worlds.figures import figures
from benchmarks.worlds.scenario import Lie, Scenario
from benchmarks.worlds.world import World

SCENARIOS = scenarios()
SEED = 7


def run(scenario: Scenario, make: type, seconds: float = 150.0, seed: int = SEED) -> World:
    return World(scenario, make, seed=seed, lasts_s=seconds).run()


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("07s none", 0.97),
        ("07s poisson", 0.94),
        ("07s poisson launch 0-1 half reported", 0.94),
        ("07s poisson port taken", 0.94),
        ("05s none 5% ends lost", 0.94),
        ("07s none 2 channels", 0.95),
        ("30s none", 0.97),
    ],
)
def test_nearly_every_port_is_used_and_few_launches_fail(name, least):
    oracle, learned = run(SCENARIOS[name], Oracle), run(SCENARIOS[name], Learned)
    best, ours = figures([oracle], 60, 150), figures([learned], 60, 150)
    assert ours.used >= least * best.used
    assert ours.failing.percent <= best.failing.percent + 0.3
    assert not learned.controller.doubts.keys() - {Doubt.COLD}


def test_it_uses_ten_points_more_than_the_proved_ceiling_with_short_calls():
    scenario = SCENARIOS["07s poisson"]
    proved, learned = run(scenario, Proved), run(scenario, Learned)
    assert figures([learned], 60, 150).used >= figures([proved], 60, 150).used + 10


def test_a_mass_of_ends_does_not_make_launches_fail():
    """A quarter of the ports and their calls go at 90 s."""
    scenario = replace(SCENARIOS["07s none server lost"], media_server_s=(90.0, 130.0))
    assert figures([run(scenario, Learned)], 0, 150).failing.percent <= 0.3


def test_a_denied_request_changes_nothing():
    class Watched(Learned):
        denied = 0

        def allows(self, now: float, channel: int) -> bool:
            before = repr((self.pools, self.live, self.in_use))
            allowed = super().allows(now, channel)
            assert repr((self.pools, self.live, self.in_use)) == before
            self.denied += not allowed
            return allowed

    scenario = run(replace(SCENARIOS["07s none"], ports=(20,)), Watched, 30.0)
    assert scenario.controller.denied > 50


def test_the_stored_state_is_small():
    scenario = run(SCENARIOS["07s poisson"], Learned, 30.0)
    text = scenario.controller.pools[0].state
    assert len(text) < 4_000
    assert State.load(text) is not None


LIES = {
    Doubt.FROZEN_COUNT: (Lie(begin_s=60.0, end_s=100.0, frozen=True), 7),
    Doubt.RESTLESS: (Lie(begin_s=60.0, end_s=120.0, noise=40), 7),
    Doubt.FAILING: (Lie(begin_s=60.0, end_s=150.0, added=20), 30),
}


@pytest.mark.parametrize("doubt", LIES)
def test_a_wrong_count_is_doubted_and_trusted_again_afterwards(doubt):
    lie, calls = LIES[doubt]
    scenario = Scenario(name="lie", calls=calls, foreign="poisson", lie=lie)
    controller = run(scenario, Learned, 420.0 if doubt is Doubt.FAILING else 240.0).controller
    during = [now for now, doubts in controller.distrusted if doubt in doubts]
    assert during
    assert lie.begin_s < min(during) < lie.end_s
    assert controller.pools[0].estimate.trusted


def test_a_second_system_on_the_same_ports_is_doubted():
    controller = run(SCENARIOS["07s second system"], Learned, 300.0, seed=1).controller
    assert controller.doubts[Doubt.SURPRISED] + controller.doubts[Doubt.RESTLESS] > 10


def test_a_claim_time_far_outside_the_family_is_doubted():
    controller = run(SCENARIOS["07s claim 6-10"], Learned, 240.0).controller
    assert controller.doubts[Doubt.SURPRISED] + controller.doubts[Doubt.RESTLESS] > 10
