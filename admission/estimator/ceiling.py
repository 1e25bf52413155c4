"""The ceiling: quantiles of the available ports at the time for which the ceiling is used."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final, NamedTuple

from admission.estimator.filter_bank import FilterBank
from admission.estimator.parameters import ForeignMode, Parameters, Quantiles

_SQRT_2: Final = math.sqrt(2)
_TOLERANCE: Final = 0.05  # of a quantile, in ports
_MEDIAN: Final = 0.5
_VARIANCE_MIN: Final = 1e-6
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

    def share_below(self, ports: float) -> float:
        """The probability of less than this."""
        erfc, reached = math.erfc, 0.0
        for weight, mean, width in zip(self.weights, self.means, self.widths, strict=True):
            reached += weight * erfc((mean - ports) / width)
        return reached / (2 * sum(self.weights))

    def quantile(self, probability: float, near: float | None = None) -> float:
        """The value below which the mixture lies with this probability, to 0.05.

        Args:
            near: where it probably lies, such as the quantile of an earlier moment.
        """
        parts = list(zip(self.weights, self.means, self.widths, strict=True))
        target = 2 * probability * sum(self.weights)
        erfc = math.erfc

        def is_above(ports: float) -> bool:
            reached = 0.0
            for weight, mean, width in parts:
                reached += weight * erfc((mean - ports) / width)
            return reached < target

        low = min([mean - 5 * width for _, mean, width in parts])
        high = max([mean + 5 * width for _, mean, width in parts])
        if near is not None:
            low, high = _narrow(low, high, near, is_above)
        while high - low > _TOLERANCE:
            middle = (low + high) / 2
            if is_above(middle):
                low = middle
            else:
                high = middle
        return low


def _narrow(
    low: float, high: float, near: float, is_above: Callable[[float], bool]
) -> tuple[float, float]:
    """Bounds of the quantile, found in growing steps from `near`."""
    step = 0.5
    if is_above(near):
        low = max(low, near)
        while near + step < high and is_above(near + step):
            low, step = near + step, 3 * step
        return low, min(high, near + step)
    high = min(high, near)
    while near - step > low and not is_above(near - step):
        high, step = near - step, 3 * step
    return max(low, near - step), high


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


class _Part(NamedTuple):
    """What a forecast needs of one filter; `own`: pending calls, if it is right."""

    weight: float
    level: float
    slope: float
    variance: float
    drift: float
    covariance_twice: float
    slope_variance: float
    own: float
    horizon_s: float


class Forecaster:
    """Predicts the filters to moments at which calls that are granted later take their ports.

    Args:
        end_rate: own ends per second; as many calls are granted in their place.
        launch_delay_s: mean time from grant to launch.
        stated_age_s: age of the count, where it is known.
    """

    def __init__(
        self,
        bank: FilterBank,
        modes: Sequence[ForeignMode],
        parameters: Parameters,
        *,
        end_rate: float,
        launch_delay_s: float,
        stated_age_s: float | None = None,
    ) -> None:
        self._parts: list[_Part] = []
        weights, index = bank.weights, 0
        for law in parameters.claim_laws:
            claim_s = law.mean_s
            own = end_rate * (claim_s + launch_delay_s)
            for age in parameters.count_ages:
                horizon_s = claim_s + (age.mean_s if stated_age_s is None else stated_age_s)
                for mode in modes:
                    if weights[index] >= _WEIGHT_MIN:
                        self._parts.append(
                            _Part(
                                weights[index],
                                bank.levels[index],
                                bank.slopes[index],
                                bank.variances[index],
                                mode.variance_per_s,
                                2 * bank.covariances[index],
                                bank.slope_variances[index],
                                own,
                                horizon_s,
                            )
                        )
                    index += 1
        self._weights = [part.weight for part in self._parts]
        whole = sum(self._weights)
        self._pending = sum([part.weight * part.own for part in self._parts]) / whole

    def forecast(self, ahead_s: float) -> Forecast:
        """The forecast for grants that are made so long after the snapshot."""
        means, widths, joint_means, joint_widths = [], [], [], []
        sqrt = math.sqrt
        for _, level, slope, variance, drift, twice, bend, own, horizon_s in self._parts:
            reach = horizon_s + ahead_s
            mean = level + slope * reach
            spread = variance + reach * (drift + twice + reach * bend)
            if spread < _VARIANCE_MIN:
                spread = _VARIANCE_MIN
            means.append(mean)
            widths.append(_SQRT_2 * sqrt(spread))
            joint_means.append(mean + own)
            joint_widths.append(_SQRT_2 * sqrt(spread + own))
        return Forecast(
            available=Mixture(weights=self._weights, means=means, widths=widths),
            joint=Mixture(weights=self._weights, means=joint_means, widths=joint_widths),
            pending=self._pending,
        )


def safe_ports(
    prediction: Forecast, quantiles: Quantiles, earlier: float | None = None
) -> tuple[float, float]:
    """The ports that may be granted, and the low quantile that this snapshot promises.

    Args:
        earlier: the low quantile of the step before.
    """
    available, joint = prediction.available, prediction.joint
    low = available.quantile(quantiles.low, earlier)
    if not prediction.pending or joint.share_below(low) >= quantiles.joint:
        return low, low
    ports = joint.quantile(quantiles.joint, low)
    if available.share_below(ports) > _MEDIAN:
        ports = available.quantile(_MEDIAN, ports)
    return max(low, ports), low
