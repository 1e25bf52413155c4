"""What may go wrong in a run. The seed draws everything else."""

from dataclasses import dataclass, replace
from typing import Final, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What may happen in a run.

    Args:
        foreign: foreign calls: `gated` grow only when the promise holds (foreign_calls.py);
            `free` grow at any time.
        dedicated: the zone's ports are only ours; None: the seed draws it.
        rough: the network loses, doubles and reorders much; else little.
        crashes: dialers die and start again without memory.
        losses: what may happen to the state of Redis.
        clock: `steps`: forward only by little or beyond `max_age`, back by anything, and no
            end of a call is dated with an answer from before a step; `wild`: no such limits.
        mpp_loss: media servers die and return.
        channels: sip and h323, `any` is asked too.
        crowd: few ports, many dialers, no limits: an error soon causes an over-launch.
        asserted: an over-launch fails the run; else it is counted.
        center: a Huawei call centre instead of an Experience Portal (huawei_simulation.py).
        run_ms: how long dialers ask.
    """

    name: str
    foreign: Literal["none", "gated", "free"] = "none"
    dedicated: bool | None = None
    rough: bool = False
    crashes: bool = False
    losses: tuple[Literal["flush", "restore", "run_id", "silence"], ...] = ()
    clock: Literal["steady", "steps", "wild"] = "steady"
    mpp_loss: bool = False
    channels: bool = False
    crowd: bool = False
    asserted: bool = True
    center: bool = False
    run_ms: int = 600_000


ALL_LOSSES: Final = ("flush", "restore", "run_id", "silence")

PLAIN: Final = Scenario(name="plain", dedicated=False)
# In the order in which seeds take them.
SCENARIOS: Final = (
    PLAIN,
    Scenario(name="foreign", foreign="gated", dedicated=False, rough=True),
    Scenario(name="dedicated", dedicated=True, rough=True, crashes=True),
    Scenario(name="crashes", foreign="gated", dedicated=False, crashes=True),
    Scenario(name="state_loss", rough=True, losses=ALL_LOSSES),
    Scenario(name="clock", clock="steps", rough=True),
    Scenario(name="crowd", foreign="gated", dedicated=False, rough=True, crowd=True),
    Scenario(name="channels", foreign="gated", dedicated=False, rough=True, channels=True),
    Scenario(name="mpp_loss", rough=True, mpp_loss=True),
    Scenario(
        name="everything",
        foreign="gated",
        dedicated=False,
        rough=True,
        crashes=True,
        losses=ALL_LOSSES,
        clock="steps",
        channels=True,
    ),
)
# The same with a Huawei call centre's timing: seeds of their own take them in this order.
CENTERS: Final = tuple(
    replace(one, dedicated=False, center=True, run_ms=200_000)
    for one in (
        Scenario(name="center", foreign="gated"),
        Scenario(name="center_rough", foreign="gated", rough=True),
        Scenario(name="center_crashes", foreign="gated", crashes=True),
        Scenario(name="center_losses", foreign="gated", losses=ALL_LOSSES),
        Scenario(name="center_clock", clock="steps", rough=True),
    )
)
# The promise does not cover these: what they cost is shown and not asserted.
COUNTED: Final = (
    Scenario(name="foreign_grows", foreign="free", dedicated=False, asserted=False),
    Scenario(name="wild_clock", clock="wild", rough=True, asserted=False),
)


def center_of(seed: int) -> Scenario:
    """The scenario that a seed of a call centre runs."""
    return CENTERS[seed % len(CENTERS)]


def scenario_of(seed: int) -> Scenario:
    """The scenario that a seed runs."""
    return SCENARIOS[seed % len(SCENARIOS)]
