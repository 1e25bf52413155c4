"""A bank of Kalman filters that follow the ports available to us: interacting multiple models.

One filter stands for each (claim law, age of the count, mode of foreign use). Blom and Bar-Shalom,
"The interacting multiple model algorithm for systems with Markovian switching coefficients", IEEE
Trans. Automatic Control 33 (1988): filters of one platform exchange weight and state between their
modes at each step, and the likelihood of the count moves the weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final, NamedTuple

from admission.estimator.age_bins import Visible
from admission.estimator.parameters import ForeignMode, Parameters

UNKNOWN: Final = 1e6  # variance of the level before the first count, ports^2
_NEGLIGIBLE: Final = 1e-7  # modes of so unlikely a platform need not be mixed
_SQRT_2: Final = math.sqrt(2)


class Expectation(NamedTuple):
    """What one (claim law, age) expects a count to show of own calls.

    Args:
        mean: own calls that have their port, over the possible moments of the count.
        variance: of the count around it: pending calls, the unknown moment, unexplained rest.

    Example:
        >>> Expectation(120.0, 2.5).mean
        120.0
    """

    mean: float
    variance: float

    @classmethod
    def over_moments(cls, visible: Sequence[Visible], floor: float) -> "Expectation":
        """One normal law for a count that was made at one of several moments.

        Args:
            floor: variance that nothing explains.
        """
        if len(visible) == 1:
            mean, variance = visible[0]
            return cls(mean, floor + variance)
        count = len(visible)
        mean = sum([one for one, _ in visible]) / count
        variance = sum([spread + (one - mean) ** 2 for one, spread in visible]) / count
        return cls(mean, floor + variance)


@dataclass(slots=True, kw_only=True)
class FilterBank:
    """Filters in the order of claim law, age, mode; each list has a value for each of them.

    Args:
        weights: probabilities of the combinations.
        levels, variances: available ports and the variance of that estimate.
        slopes, covariances, slope_variances: their trend, in ports per second.

    Example:
        >>> FilterBank.unknown(Parameters(), total=200).mean()
        0.0
    """

    weights: list[float]
    levels: list[float]
    variances: list[float]
    slopes: list[float]
    covariances: list[float]
    slope_variances: list[float]

    @classmethod
    def unknown(cls, parameters: Parameters, total: int) -> "FilterBank":
        """Filters that know nothing yet: the first count sets their level."""
        modes = modes_for(parameters, total)
        platforms = len(parameters.claim_laws) * len(parameters.count_ages)
        size = platforms * len(modes)
        return cls(
            weights=[1 / size] * size,
            levels=[0.0] * size,
            variances=[UNKNOWN] * size,
            slopes=[0.0] * size,
            covariances=[0.0] * size,
            slope_variances=[mode.slope_sd_per_s**2 for mode in modes] * platforms,
        )

    def mean(self) -> float:
        """Expected available ports."""
        return float(sum(map(mul, self.weights, self.levels)))

    def shift(self, ports: float) -> None:
        """Move every level: reservations left without an end, or the total changed."""
        self.levels = [level + ports for level in self.levels]

    def widen(self, ports: float) -> None:
        """Add the square of a change to every variance."""
        self.variances = [variance + ports * ports for variance in self.variances]

    def predict(self, modes: Sequence[ForeignMode], dt_s: float, parameters: Parameters) -> None:
        """Mix, and predict by `dt_s`: nothing is seen."""
        if dt_s:
            self._mix(len(modes), parameters.mode_change)
            self._predict(modes, dt_s, math.exp(-dt_s / parameters.slope_memory_s))

    def correct(
        self,
        unused: int,
        expected: Sequence[Expectation],
        count: int,
        parameters: Parameters,
    ) -> float:
        """Correct with a count.

        Args:
            expected: of own calls, one for each (claim law, age).
            count: number of modes.

        Returns:
            The probability that the prediction gave to a count as low as this one or lower.
        """
        self._leak(len(expected), count, parameters)
        weights, levels, variances = self.weights, self.levels, self.variances
        heavy = parameters.heavy_tail_z
        tail = heavy * math.exp(-heavy / 2)
        exp, erfc, sqrt = math.exp, math.erfc, math.sqrt
        below, i = 0.0, 0
        for seen in expected:
            noise, count_level = seen.variance, unused + seen.mean
            for _ in range(count):
                error = count_level - levels[i]
                whole = variances[i] + noise
                gain = variances[i] / whole
                levels[i] += gain * error
                variances[i] = gain * noise
                if slope_gain := self.covariances[i] / whole:
                    self.slopes[i] += slope_gain * error
                    own = self.slope_variances[i] - slope_gain * self.covariances[i]
                    self.slope_variances[i] = max(0.0, own)
                    self.covariances[i] = slope_gain * noise
                z = error * error / whole
                root = sqrt(whole)
                weight = weights[i]
                below += weight * erfc(-(error + 0.5) / (root * _SQRT_2))
                weights[i] = weight * (exp(-z / 2) if z < heavy else tail / z) / root
                i += 1
        total = sum(weights)
        self.weights = [weight / total for weight in weights]
        return below / 2

    def _mix(self, count: int, change: float) -> None:
        """Let the modes of one platform exchange weight and state."""
        all_weights, all_levels, all_variances = self.weights, self.levels, self.variances
        stay = 1 - change
        for first in range(0, len(all_weights), count):
            last = first + count
            weights = all_weights[first:last]
            whole = sum(weights)
            if whole < _NEGLIGIBLE:
                continue
            levels, variances = all_levels[first:last], all_variances[first:last]
            mean = spread = 0.0
            for weight, level in zip(weights, levels, strict=True):
                mean += weight * level
            mean /= whole
            i, come = first, change * whole / count
            for weight, level, variance in zip(weights, levels, variances, strict=True):
                spread += weight * (variance + (level - mean) ** 2)
            spread /= whole
            for weight, old, variance in zip(weights, levels, variances, strict=True):
                all_weights[i] = weight = stay * weight + come
                part = come / weight
                all_levels[i] = level = old + part * (mean - old)
                all_variances[i] = (1 - part) * (variance + (old - level) ** 2) + part * (
                    spread + (mean - level) ** 2
                )
                i += 1

    def _leak(self, size: int, count: int, parameters: Parameters) -> None:
        """Let weight flow to the neighbouring claim laws, and a little to every platform."""
        drift, jump = parameters.law_drift, parameters.platform_change
        weights = self.weights
        stride = count * len(parameters.count_ages)
        evenly = [jump / size * sum(weights[mode::count]) for mode in range(count)] * size
        stay = 1 - jump - 2 * drift
        lower = weights[:stride] + weights[:-stride]  # the outermost laws keep what would leave
        upper = weights[stride:] + weights[-stride:]
        self.weights = [
            stay * own + drift * (below + above) + even
            for own, below, above, even in zip(weights, lower, upper, evenly, strict=True)
        ]

    def _predict(self, modes: Sequence[ForeignMode], dt_s: float, fade: float) -> None:
        count, size, kept = len(modes), len(self.weights), fade * fade
        for place, mode in enumerate(modes):
            drift, fresh = mode.variance_per_s * dt_s, (1 - kept) * mode.slope_sd_per_s**2
            for i in range(place, size, count):
                if not fresh:
                    self.variances[i] += drift
                    continue
                own, before = self.slope_variances[i], self.covariances[i]
                if before * before > self.variances[i] * own:  # mixing narrowed one of both
                    before = math.copysign(math.sqrt(self.variances[i] * own), before)
                covariance = before + dt_s * own
                self.levels[i] += self.slopes[i] * dt_s
                self.variances[i] += drift + dt_s * (covariance + before)
                self.slopes[i] *= fade
                self.covariances[i] = fade * covariance
                self.slope_variances[i] = kept * own + fresh


def modes_for(parameters: Parameters, total: int) -> tuple[ForeignMode, ...]:
    """The modes of foreign use for a pool of this size."""
    scale = max(1, total) / 200
    return tuple(
        ForeignMode(
            variance_per_s=mode.variance_per_s * scale, slope_sd_per_s=mode.slope_sd_per_s * scale
        )
        for mode in parameters.foreign_modes
    )
