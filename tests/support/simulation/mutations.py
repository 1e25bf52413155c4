"""Faults put into the script one by one, each with the scenario that must reveal it."""

from dataclasses import dataclass
from typing import Final

from tests.support.lua_mutations import LuaMutation
from tests.support.simulation.scenarios import Scenario

CROWD: Final = Scenario(name="crowd", dedicated=False, rough=True, crowd=True)
DEDICATED: Final = Scenario(name="dedicated", dedicated=True, rough=True, crowd=True)
FLUSH: Final = Scenario(name="flush", dedicated=False, losses=("flush",), crowd=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation(LuaMutation):
    """A broken rule, and the simulation that shows it.

    Args:
        scenario: in which the fault shows.
        seed: the first that caught it.
    """

    scenario: Scenario
    seed: int = 0


MUTATIONS: Final = (
    Mutation(
        name="a held end leaves the ceiling as it is",
        tag="held-end-lowers-ceiling",
        scenario=CROWD,
    ),
    Mutation(
        name="credit for a call that never had a port",
        tag="credit-needs-port",
        scenario=CROWD,
        seed=2,
    ),
    Mutation(
        name="credit for an end without a time",
        tag="credit-needs-end-time",
        becomes="record.ended_at = record.ended_at or now",
        scenario=CROWD,
        seed=2,
    ),
    Mutation(
        name="the end notice is not subtracted",
        tag="credit-end-notice",
        becomes="local busy_until = record.ended_at - drift",
        scenario=CROWD,
        seed=20,
    ),
    Mutation(
        name="the lag of the platform's count is forgotten",
        tag="visibility-lag",
        becomes="return op.t0",
        scenario=CROWD,
        seed=1,
    ),
    Mutation(
        name="visible without the time to claim",
        tag="visible-after-claim",
        becomes="visible_by = now + zone.launch_within,",
        scenario=CROWD,
    ),
    Mutation(
        name="a repeat may launch as late as a first",
        tag="replay-launch-deadline",
        becomes="answer.launch_within_ms = live and earlier.launch_within or 0",
        scenario=CROWD,
    ),
    Mutation(
        name="no recovery after a loss",
        tag="loss-begins-recovery",
        scenario=FLUSH,
        seed=1,
    ),
    Mutation(
        name="an older snapshot replaces a newer one",
        tag="snapshot-order",
        becomes="return false",
        scenario=CROWD,
        seed=2,
    ),
    Mutation(
        name="a port is free as soon as its end is reported",
        tag="release-within",
        becomes="if false then",
        scenario=CROWD,
        seed=6,
    ),
    Mutation(
        name="a held one that expires leaves the ceiling as it is",
        tag="expiry-has-no-credit",
        becomes="close(record, 'expired', function() return true end)",
        scenario=CROWD,
    ),
    Mutation(
        name="a launch of unknown outcome ends at once",
        tag="unknown-outcome-waits",
        scenario=CROWD,
        seed=1,
    ),
    Mutation(
        name="the best ceiling survives an end without credit",
        tag="best-ceiling-falls",
        scenario=DEDICATED,
    ),
    Mutation(
        name="a repeated end counts again",
        tag="repeated-end",
        scenario=CROWD,
    ),
)
