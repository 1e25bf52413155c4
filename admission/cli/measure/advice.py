"""From what test calls proved to the times to configure, on the safe side. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, Final

from admission.cli.measure.trace import CallTimes

MARGIN: Final = 1.25  # a few calls do not show the worst one
STEP_MS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Times in ms, sorted."""

    values: tuple[int, ...]

    def at(self, part: float) -> int:
        """The value that this part (0 to 1) of all is not above."""
        if len(self.values) == 1:
            return self.values[0]
        cuts = quantiles(self.values, n=100, method="inclusive")
        return round(cuts[min(98, max(0, round(100 * part) - 1))])

    @property
    def least(self) -> int:
        """The smallest."""
        return self.values[0]

    @property
    def most(self) -> int:
        """The largest."""
        return self.values[-1]

    def fields(self) -> dict[str, Any]:
        """For programs."""
        return {
            "calls": len(self.values),
            "min": self.least,
            "median": self.at(0.5),
            "p90": self.at(0.9),
            "max": self.most,
            "values": list(self.values),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What was measured, and what to configure; all in ms.

    Args:
        claim, lag, release: the spreads; `release` None: nobody knows when the calls ended.
        claim_within_ms, visibility_lag_ms, release_within_ms: to configure.
    """

    claim: Spread
    lag: Spread
    release: Spread | None
    claim_within_ms: int
    visibility_lag_ms: int
    release_within_ms: int | None


def advise(calls: Sequence[CallTimes]) -> Advice:
    """The times to configure.

    How old counts may be shows in two ways: a count that is drawn anew each time flickers, a count
    that is kept for a while is late by a different time for each end. Of what passes between an end
    and the port's being shown free, the lag is one part and the release the other, so together
    they are never less than the longest that was seen.

    Args: calls: at least one.
    """
    claim, flicker = _spread(one.claim for one in calls), [one.stale for one in calls]
    lows = [one.freed_low for one in calls if one.freed_low is not None]
    highs = [one.freed_high for one in calls if one.freed_high is not None]
    soonest = min(highs, default=0)
    lag = _spread([*flicker, *(max(0, low - soonest) for low in lows)])
    releases = [max(0, high - lag.most) for high in highs]
    return Advice(
        claim=claim,
        lag=lag,
        release=_spread(releases) if releases else None,
        claim_within_ms=_up(claim.most),
        visibility_lag_ms=_up(lag.most),
        release_within_ms=_up(max(releases)) if releases else None,
    )


def _spread(values: Any) -> Spread:
    return Spread(values=tuple(sorted(values)))


def _up(ms: int) -> int:
    """With a margin, to a round number."""
    return math.ceil(ms * MARGIN / STEP_MS) * STEP_MS
