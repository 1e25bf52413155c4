"""Tests of the model against what happens; see "Distrust" in estimator.py."""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from admission.estimator.parameters import DistrustParameters

_CAP: Final = 1.25  # of an alarm: older evidence does not delay the way back


class Doubt(StrEnum):
    """Why the learned ceiling is not used.

    Example:
        >>> Doubt("cold")
        <Doubt.COLD: 'cold'>
    """

    COLD = "cold"
    SURPRISED = "surprised"
    FROZEN_COUNT = "frozen_count"
    RESTLESS = "restless"
    FAILING = "failing"
    OLD_COUNT = "old_count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Evidence against the model, and the doubts that it has raised.

    Args:
        surprise: cumulative sum of the surprise at counts that are too low, in nats.
        frozen: evidence in nats that the count stands still.
        restless: mean weight of the most restless mode over the last snapshots.
        failures: unexplained failures less the allowance.
        doubts: those that hold now.

    Example:
        >>> Evidence().doubts
        frozenset()
    """

    surprise: float = 0.0
    frozen: float = 0.0
    restless: float = 0.0
    failures: float = 0.0
    doubts: frozenset[Doubt] = frozenset()

    def after_count(
        self,
        probability: float,
        *,
        unchanged: bool,
        moved: float,
        restless: float,
        limits: DistrustParameters,
    ) -> "Evidence":
        """Judge a count.

        Args:
            probability: that the prediction gave to a count as low as this one.
            unchanged: it equals the one before, and is neither empty nor the total.
            moved: variance of the change that own calls alone make between two counts, ports^2.
            restless: weight of the most restless mode.
        """
        nats = min(limits.surprise_cap, -math.log(max(probability, 1e-9)))
        surprise = max(0.0, self.surprise + nats - limits.surprise_allowance)
        still = max(0.0, 0.5 * math.log(2 * math.pi * (moved + 1e-9))) if unchanged else 0.0
        frozen = self.frozen + still if unchanged else 0.0
        return replace(
            self,
            surprise=min(surprise, limits.surprise_alarm * _CAP),
            frozen=min(frozen, limits.frozen_alarm * _CAP),
            restless=self.restless + limits.restless_gain * (restless - self.restless),
        )

    def after_launches(
        self, launches: int, unexplained: int, *, dt_s: float, limits: DistrustParameters
    ) -> "Evidence":
        """Judge failures of launches in the `dt_s` seconds since the last snapshot."""
        failures = self.failures * math.exp(-dt_s / limits.failure_memory_s)
        failures += unexplained - launches * limits.failure_allowance
        return replace(self, failures=min(max(0.0, failures), limits.failure_alarm * _CAP))

    def judged(self, limits: DistrustParameters) -> "Evidence":
        """Raise doubts at the alarms, withdraw them where things have calmed down."""
        levels = (
            (Doubt.SURPRISED, self.surprise, limits.surprise_alarm, limits.surprise_calm),
            (Doubt.FROZEN_COUNT, self.frozen, limits.frozen_alarm, 1e-9),
            (Doubt.RESTLESS, self.restless, limits.restless_alarm, limits.restless_calm),
            (Doubt.FAILING, self.failures, limits.failure_alarm, limits.failure_calm),
        )
        doubts = {
            doubt
            for doubt, level, alarm, calm in levels
            if level >= alarm or (doubt in self.doubts and level > calm)
        }
        return replace(self, doubts=frozenset(doubts))
