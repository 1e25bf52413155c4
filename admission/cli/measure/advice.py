"""The times to configure, derived from what test calls proved. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, Final

from admission.cli.measure.trace import CallTimes

MARGIN: Final = 1.25  # a few calls do not show the slowest one
STEP_MS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Times in ms, sorted.

    Example:
        `Distribution(values=(100, 150, 900)).quantile(0.5)` is 150.
    """

    values: tuple[int, ...]

    def quantile(self, part: float) -> int:
        """Return the value that the part (0 to 1) of all values does not exceed."""
        if len(self.values) == 1:
            return self.values[0]
        cuts = quantiles(self.values, n=100, method="inclusive")
        return round(cuts[min(98, max(0, round(100 * part) - 1))])

    @property
    def least(self) -> int:
        """The smallest value."""
        return self.values[0]

    @property
    def most(self) -> int:
        """The largest value."""
        return self.values[-1]

    def fields(self) -> dict[str, Any]:
        """Return the distribution as JSON values."""
        return {
            "calls": len(self.values),
            "min": self.least,
            "median": self.quantile(0.5),
            "p90": self.quantile(0.9),
            "max": self.most,
            "values": list(self.values),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What was measured, and what to configure; all in ms.

    Args:
        claim, lag, release: distributions; `release` is None if no end of a call is known.
        claim_within_ms, visibility_lag_ms, release_within_ms: settings of the policy.

    Example:
        `advise([CallTimes(claim=310, stale=20)]).claim_within_ms` is 400.
    """

    claim: Distribution
    lag: Distribution
    release: Distribution | None
    claim_within_ms: int
    visibility_lag_ms: int
    release_within_ms: int | None

    def fields(self) -> dict[str, Any]:
        """Return the advice as JSON values."""
        return {
            "claim_within_ms": self.claim_within_ms,
            "visibility_lag_ms": self.visibility_lag_ms,
            "release_within_ms": self.release_within_ms,
            "claim": self.claim.fields(),
            "lag": self.lag.fields(),
            "release": self.release.fields() if self.release else None,
        }


def advise(calls: Sequence[CallTimes]) -> Advice:
    """Return the times to configure.

    The age of counts shows in two ways: a count that the platform computes for each request
    flickers; a count that the platform caches is late by a different time for each end. The time
    from an end until the port is shown free is lag plus release time, so the two settings together
    are never less than the longest such time.

    Args: calls: at least one.
    """
    claim, flicker = _distribute(one.claim for one in calls), [one.stale for one in calls]
    lows = [one.freed_low for one in calls if one.freed_low is not None]
    highs = [one.freed_high for one in calls if one.freed_high is not None]
    soonest = min(highs, default=0)
    lag = _distribute([*flicker, *(max(0, low - soonest) for low in lows)])
    releases = [max(0, high - lag.most) for high in highs]
    return Advice(
        claim=claim,
        lag=lag,
        release=_distribute(releases) if releases else None,
        claim_within_ms=_add_margin(claim.most),
        visibility_lag_ms=_add_margin(lag.most),
        release_within_ms=_add_margin(max(releases)) if releases else None,
    )


def _distribute(values: Iterable[int]) -> Distribution:
    return Distribution(values=tuple(sorted(values)))


def _add_margin(ms: int) -> int:
    return math.ceil(ms * MARGIN / STEP_MS) * STEP_MS
