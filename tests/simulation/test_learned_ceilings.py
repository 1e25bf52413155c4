"""Learned ceilings by the real script, in scenarios of benchmarks/worlds with fixed seeds.

Beside the ceilings of the script stands an oracle that sees the platform. The bounds leave room for
the statistical error of one short run; `python -m benchmarks.worlds` resolves it, on the model.
"""

from dataclasses import replace
from typing import Any

import pytest
import redis

from benchmarks.worlds.catalogue import worlds
from benchmarks.worlds.controllers import Oracle
from benchmarks.worlds.figures import Figures, figures
from benchmarks.worlds.scenario import Lie, Scenario
from benchmarks.worlds.world import World
from tests.support.ledger_scenarios import ScriptController, on_script

SCENARIOS = worlds()
SEED, DIALERS, WARM_UP_S, LASTS_S = 7, 3, 30.0, 90.0


def scenario(name: str, **changes: Any) -> Scenario:
    """One with few dialers: each ask is a call of the script."""
    return replace(SCENARIOS[name], dialers=DIALERS, **changes)


def measure(run: World) -> Figures:
    return figures([run.run()], WARM_UP_S, LASTS_S)


@pytest.mark.parametrize(
    ("name", "changes", "least", "more_than_proved"),
    [
        ("07s none", {}, 0.97, 10),
        ("07s waves", {}, 0.93, 8),
        ("30s none", {"poll_s": 0.5}, 0.97, 2),
        ("30s waves", {}, 0.95, 0),
    ],
)
def test_nearly_every_port_is_used_and_few_launches_fail(
    name: str,
    changes: dict[str, Any],
    least: float,
    more_than_proved: float,
    redis_sync: redis.Redis,
    record_property: Any,
) -> None:
    chosen = scenario(name, **changes)
    makers = {
        "oracle": Oracle,
        "proved": on_script(redis_sync, ceilings="proved"),
        "learned": on_script(redis_sync, ceilings="learned"),
    }
    found = {
        which: measure(World(chosen, make, seed=SEED, lasts_s=LASTS_S))
        for which, make in makers.items()
    }
    for which, one in found.items():
        record_property(which, (round(one.used, 1), round(one.failing.percent, 3)))
    oracle, proved, learned = found.values()
    assert learned.used >= least * oracle.used
    assert learned.used >= proved.used + more_than_proved
    assert learned.failing.percent <= oracle.failing.percent + 0.3


class Switching(ScriptController):
    """Turns learned ceilings on and off every 8 s, with calls up."""

    switches = 0

    def snapshot(self, now: float, *counts: Any) -> None:
        if now > 8 * (self.switches + 1):
            self.switches += 1
            self.change_policy(now, ceilings="learned" if self.switches % 2 else "proved")
        super().snapshot(now, *counts)


def test_no_launch_fails_by_a_switch_between_both_ceilings(redis_sync: redis.Redis) -> None:
    run = World(
        scenario("07s none"),
        lambda run: Switching(redis_sync, run, {}),
        seed=SEED,
        lasts_s=LASTS_S,
    )
    one = figures([run.run()], 0, LASTS_S)
    assert run.controller.switches >= 10
    assert one.failing.hits == 0
    assert one.failing.of > 1000


def test_a_frozen_count_is_noticed_and_trusted_again_afterwards(redis_sync: redis.Redis) -> None:
    lie = Lie(begin_s=30.0, end_s=60.0, frozen=True)
    run = World(
        scenario("07s poisson", lie=lie),
        on_script(redis_sync, ceilings="learned"),
        seed=SEED,
        lasts_s=LASTS_S,
    )
    controller = run.run().controller
    assert controller.count("fallback:distrusted") >= 5
    (pool,) = (p for p in controller.zone.one("status")["pools"] if p["pool"] == "channel:sip")
    assert pool["learned"]["in_force"]


def test_service_and_redis_restart_empty_in_the_middle(redis_sync: redis.Redis) -> None:
    chosen = scenario("07s none", restart="lost", restart_at_s=30.0)
    run = World(chosen, on_script(redis_sync, ceilings="learned"), seed=SEED, lasts_s=LASTS_S)
    best = figures([World(chosen, Oracle, seed=SEED, lasts_s=LASTS_S).run()], 60.0, LASTS_S)
    one = figures([run.run()], 60.0, LASTS_S)
    assert one.used >= 0.95 * best.used
    assert one.failing.percent <= 0.3
    assert run.controller.in_force
    assert run.controller.count("fallback:cold") >= 5


def test_counts_with_a_stated_time_are_learned_from(redis_sync: redis.Redis) -> None:
    """Counts up to 2 s old, from before the last one too: the ledger refuses these."""
    chosen = scenario("07s none", age_s=(0.0, 2.0), states_time=True)
    run = World(chosen, on_script(redis_sync, ceilings="learned"), seed=SEED, lasts_s=LASTS_S)
    best = figures([World(chosen, Oracle, seed=SEED, lasts_s=LASTS_S).run()], WARM_UP_S, LASTS_S)
    one = measure(run)
    assert one.used >= 0.94 * best.used
    assert one.failing.percent <= 0.3
