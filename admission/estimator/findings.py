"""What a state says of the platform and of foreign use, for people."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from admission.estimator.filter_bank import modes_for
from admission.estimator.parameters import Parameters
from admission.estimator.state import State, unpack_bank


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What people are shown of the platform and of foreign use.

    Args:
        claim_median_s, claim_p99_s: time from a launch to its port.
        count_age_s: mean age of the platform's counts.
        foreign_sd_per_s: ports by which foreign use drifts in a second (standard deviation).
        foreign_slope_per_s: its trend, in ports per second.

    Example:
        >>> Findings(claim_median_s=0.5, claim_p99_s=1.0, count_age_s=0.2,
        ...     foreign_sd_per_s=1.7, foreign_slope_per_s=0.0).claim_p99_s
        1.0
    """

    claim_median_s: float
    claim_p99_s: float
    count_age_s: float
    foreign_sd_per_s: float
    foreign_slope_per_s: float


def findings(state: State, parameters: Parameters) -> Findings | None:
    """Read them from a state; None where other parameters wrote it."""
    modes = modes_for(parameters, state.total)
    laws, ages, count = parameters.claim_laws, parameters.count_ages, len(modes)
    bank = unpack_bank(state.bank, len(laws) * len(ages) * count)
    if bank is None:
        return None
    weights = bank.weights
    by_law = [
        sum(weights[i : i + len(ages) * count]) for i in range(0, len(weights), len(ages) * count)
    ]
    platforms = [sum(weights[i : i + count]) for i in range(0, len(weights), count)]
    variance = sum(
        mode.variance_per_s * sum(weights[place::count]) for place, mode in enumerate(modes)
    )
    slope = sum(weight * slope for weight, slope in zip(weights, bank.slopes, strict=True))
    return Findings(
        claim_median_s=_claim_quantile(parameters, by_law, 0.5),
        claim_p99_s=_claim_quantile(parameters, by_law, 0.99),
        count_age_s=sum(
            sum(platforms[place :: len(ages)]) * age.mean_s for place, age in enumerate(ages)
        ),
        foreign_sd_per_s=math.sqrt(variance),
        foreign_slope_per_s=-slope,
    )


def _claim_quantile(parameters: Parameters, weights: Sequence[float], share: float) -> float:
    """The time by which this share of the launched calls has its port, in seconds."""
    laws = list(zip(weights, parameters.claim_laws, strict=True))
    low, high = 0.0, max(law.high_s for law in parameters.claim_laws)
    while high - low > 0.01:
        middle = (low + high) / 2
        claimed = sum(
            weight * min(1.0, max(0.0, (middle - law.low_s) / (law.high_s - law.low_s)))
            for weight, law in laws
        )
        low, high = (middle, high) if claimed < share else (low, middle)
    return high
