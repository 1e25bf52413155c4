"""The ceiling: quantiles of the available ports at the time for which the ceiling is used."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final

from admission.estimator.filter_bank import FilterBank
from admission.estimator.parameters import ForeignMode, Parameters

_SQRT_2: Final = math.sqrt(2)
_WEIGHT_MIN: Final = 3e-4  # lighter filters do not move a quantile of 0.2% by a tenth of a port


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """A mixture of normal laws: weights (not normalised), means, and sqrt(2) times deviations.

    Example:
        >>> round(Mixture(weights=(1.0,), means=(5.0,), widths=(1.0,)).quantile(0.5))
        5
    """

    weights: Sequence[float]
    means: Sequence[float]
    widths: Sequence[float]

    def mean(self) -> float:
        """Mean of the mixture."""
        return float(sum(map(mul, self.weights, self.means))) / sum(self.weights)

    def quantile(self, probability: float) -> float:
        """The value below which the mixture lies with this probability, to 0.05."""
        parts = list(zip(self.weights, self.means, self.widths, strict=True))
        target = 2 * probability * sum(self.weights)
        low = min([mean - 5 * width for _, mean, width in parts])
        high = max([mean + 5 * width for _, mean, width in parts])
        erfc = math.erfc
        while high - low > 0.05:
            middle = (low + high) / 2
            reached = 0.0
            for weight, mean, width in parts:
                reached += weight * erfc((mean - middle) / width)
            if reached < target:
                low = middle
            else:
                high = middle
        return low


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Available ports at the horizon, and the same with own pending calls added.

    Args:
        available: the ports available to us.
        joint: `available` plus the own calls that are still to take their port.
        pending: expected number of those.

    Example:
        >>> one = Mixture(weights=(1.0,), means=(5.0,), widths=(1.0,))
        >>> Forecast(available=one, joint=one, pending=0.0).pending
        0.0
    """

    available: Mixture
    joint: Mixture
    pending: float


def forecast(
    bank: FilterBank,
    modes: Sequence[ForeignMode],
    parameters: Parameters,
    *,
    ahead_s: float,
    end_rate: float,
    launch_delay_s: float,
) -> Forecast:
    """Predict the filters to the moment at which calls that are granted later take their ports.

    Args:
        ahead_s: from the snapshot to the grants.
        end_rate: own ends per second; as many calls are granted in their place.
        launch_delay_s: mean time from grant to launch.
    """
    weights, means, widths, joint_means, joint_widths = [], [], [], [], []
    pending = 0.0
    row = 0
    count = len(modes)
    for law in parameters.claim_laws:
        own = end_rate * (law.mean_s + launch_delay_s)
        for age in parameters.count_ages:
            horizon = age.mean_s + law.mean_s + ahead_s
            for mode in range(count):
                index = row * count + mode
                weight = bank.weights[index]
                if weight < _WEIGHT_MIN:
                    continue
                level = bank.levels[index] + bank.slopes[index] * horizon
                variance = (
                    bank.variances[index]
                    + modes[mode].variance_per_s * horizon
                    + horizon
                    * (2 * bank.covariances[index] + horizon * bank.slope_variances[index])
                )
                variance = max(variance, 1e-6)
                pending += weight * own
                weights.append(weight)
                means.append(level)
                widths.append(_SQRT_2 * math.sqrt(variance))
                joint_means.append(level + own)
                joint_widths.append(_SQRT_2 * math.sqrt(variance + own))
            row += 1
    return Forecast(
        available=Mixture(weights=weights, means=means, widths=widths),
        joint=Mixture(weights=weights, means=joint_means, widths=joint_widths),
        pending=pending / sum(weights),
    )


def safe_ports(prediction: Forecast, parameters: Parameters) -> tuple[float, float]:
    """The ports that may be granted, and the low quantile that this snapshot promises."""
    low = prediction.available.quantile(parameters.low_quantile)
    if not prediction.pending:
        return low, low
    joint = prediction.joint.quantile(parameters.joint_quantile)
    if joint <= low:
        return low, low
    return max(low, min(prediction.available.quantile(0.5), joint)), low
