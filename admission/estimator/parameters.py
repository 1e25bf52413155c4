"""What the estimator assumes of every platform: one set of values for all zones."""

import math
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

BIN_MS: Final = 100  # width of an age bin; see "Bins" in estimator.py
BINS: Final = 72  # ages up to 7.2 s; older calls have taken their port under every claim law

ENDS_BINS: Final = 25  # ends of the last 2.5 s: counts of up to 2 s ago still show these calls


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLaw:
    """A launched call takes its port between `low_s` and `high_s` after the launch, uniformly.

    Example:
        >>> ClaimLaw(low_s=0.0, high_s=1.0).mean_s
        0.5
    """

    low_s: float
    high_s: float

    @property
    def mean_s(self) -> float:
        """Mean time from the launch to the port, in seconds."""
        return (self.low_s + self.high_s) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CountAge:
    """How old the platform's count is when it is answered: equally likely ages in seconds.

    Example:
        >>> CountAge(ages_s=(0.1, 0.3)).mean_s
        0.2
    """

    ages_s: tuple[float, ...]

    @property
    def mean_s(self) -> float:
        """Mean age in seconds."""
        return sum(self.ages_s) / len(self.ages_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignMode:
    """How restless foreign use is, for a pool of 200 ports; both values grow with the total.

    Args:
        variance_per_s: ports^2 by which the available ports drift in a second.
        slope_sd_per_s: standard deviation of their trend, in ports per second; 0: no trend.

    Example:
        >>> ForeignMode(variance_per_s=3.0, slope_sd_per_s=1.0).variance_per_s
        3.0
    """

    variance_per_s: float
    slope_sd_per_s: float


# Powers of about 1.55: a claim time between two laws is described by their mixture to within 10%.
CLAIM_LAWS: Final = tuple(
    ClaimLaw(low_s=0.0, high_s=high) for high in (0.25, 0.4, 0.65, 1.0, 1.5, 2.2, 3.2, 4.5)
)
# Counted on request; cached for up to 2 s; refreshed on a schedule that the poller follows.
COUNT_AGES: Final = (
    CountAge(ages_s=(0.1, 0.3)),
    CountAge(ages_s=(0.3, 1.0, 1.7)),
    CountAge(ages_s=(1.5,)),
)
# No foreign use; some inbound calls per second; waves, surges, a lost media server.
FOREIGN_MODES: Final = (
    ForeignMode(variance_per_s=0.003, slope_sd_per_s=0.0),
    ForeignMode(variance_per_s=3.0, slope_sd_per_s=1.0),
    ForeignMode(variance_per_s=50.0, slope_sd_per_s=4.0),
)


class Quantiles(NamedTuple):
    """Shares of the outcomes that the ceiling may be above; see "The ceiling" in estimator.py.

    Example:
        >>> Quantiles(low=0.08, joint=0.0007).low
        0.08
    """

    low: float
    joint: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Values for every zone; docs/decisions/learned-ceilings.md has what the defaults achieve.

    Args:
        claim_laws, count_ages, foreign_modes: the hypotheses; each combination has a filter.
        low_quantile: of the available ports; the ceiling stands there when no call is pending.
        joint_quantile: of available ports plus own pending calls; see "The ceiling".
        mode_change, platform_change: probability for each snapshot that foreign use changes its
            mode, and that claim law and age of the count change to any others.
        law_drift: probability for each snapshot that the claim law becomes the next longer one, and
            that it becomes the next shorter one.
        slope_memory_s: a trend of foreign use is forgotten with this time constant.
        count_variance: ports^2 of a count that nothing else explains.
        heavy_tail_z: squared normalised innovation from which on the tail of the likelihood
            falls as 1/z instead of exp(-z/2): one absurd count does not end a hypothesis.
        cold_snapshots, cold_s: the estimate is not used before so many snapshots and seconds.
        interval_ms: a snapshot teaches nothing if it began less than this after the last one that
            did: both miss the same pending calls, and the filters take errors for independent.
        step_s: between two slow snapshots the ceiling has steps of about this length.
        valid_intervals: the ceiling may be used for so many usual intervals after its snapshot.
        overlaunch_target: share of launches that may fail.
        calibration: how the quantiles follow the failures that are seen.

    Example:
        >>> Parameters.for_target(0.001) == Parameters()
        True
    """

    claim_laws: tuple[ClaimLaw, ...] = CLAIM_LAWS
    count_ages: tuple[CountAge, ...] = COUNT_AGES
    foreign_modes: tuple[ForeignMode, ...] = FOREIGN_MODES
    low_quantile: float = 0.08
    joint_quantile: float = 0.0007
    mode_change: float = 0.03
    platform_change: float = 0.002
    law_drift: float = 0.0005
    slope_memory_s: float = 20.0
    count_variance: float = 0.1
    heavy_tail_z: float = 16.0
    cold_snapshots: int = 5
    cold_s: float = 5.0
    interval_ms: int = 750
    step_s: float = 1.0
    valid_intervals: float = 2.5
    overlaunch_target: float = 0.001
    calibration: "CalibrationParameters" = field(default_factory=lambda: CalibrationParameters())
    distrust: "DistrustParameters" = field(default_factory=lambda: DistrustParameters())

    @classmethod
    def for_target(cls, overlaunch_target: float) -> "Parameters":
        """The quantiles that belong to a target share of failing launches (0.001 = 0.1%).

        A smaller target leaves more ports to inbound calls and uses fewer.
        """
        if not 0 < overlaunch_target < 1:
            raise ValueError(f"overlaunch_target is a share between 0 and 1: {overlaunch_target}")
        defaults = cls()
        low, joint = defaults.scale_quantiles(overlaunch_target / DEFAULT_TARGET)
        return replace(
            defaults,
            low_quantile=low,
            joint_quantile=joint,
            overlaunch_target=overlaunch_target,
        )

    def scale_quantiles(self, ratio: float) -> "Quantiles":
        """The quantiles that belong to so many times the target."""
        return Quantiles(
            low=min(0.3, self.low_quantile * math.sqrt(ratio)),
            joint=min(0.1, self.joint_quantile * ratio),
        )


DEFAULT_TARGET: Final = 0.001  # 0.1% of launches: one in a thousand contacts


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationParameters:
    """How the quantiles follow the failures that are seen; see "Calibration" in estimator.py.

    Args:
        goal: share of failing launches that is steered for, as a part of the target.
        per_failure: by how much one failing launch lowers the logarithm of the scale.
        first: logarithm of the scale of a new state.
        least, most: its bounds.

    Example:
        >>> CalibrationParameters(most=0.0).most
        0.0
    """

    goal: float = 0.25
    per_failure: float = 0.8
    first: float = -0.2
    least: float = -1.0
    most: float = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class DistrustParameters:
    """When the estimate is not trusted any more; see "Distrust" in estimator.py.

    Args:
        surprise_allowance, surprise_cap: nats that a snapshot may surprise for free, and at most.
        surprise_alarm, surprise_calm: sums at which trust ends and comes back.
        frozen_alarm: nats of evidence that the count does not move though own calls do.
        restless_gain: of the running mean of the most restless mode's weight.
        restless_alarm, restless_calm: means at which trust ends and comes back.
        failure_probability: a failure that was less likely than this is unexplained.
        failure_allowance: unexplained failures for each launch that are forgotten.
        failure_memory_s: older failures are forgotten with this time constant.
        failure_alarm, failure_calm: unexplained failures at which trust ends and comes back.

    Example:
        >>> DistrustParameters(surprise_alarm=20.0).surprise_alarm
        20.0
    """

    surprise_allowance: float = 1.6
    surprise_cap: float = 8.0
    surprise_alarm: float = 12.0
    surprise_calm: float = 1.0
    frozen_alarm: float = 16.0
    restless_gain: float = 0.03
    restless_alarm: float = 0.65
    restless_calm: float = 0.4
    failure_probability: float = 0.02
    failure_allowance: float = 0.001
    failure_memory_s: float = 120.0
    failure_alarm: float = 6.0
    failure_calm: float = 3.0
