"""How many own calls a count is expected to show, from binned ages, for every claim law at once.

A call of age a has taken its port with probability G(a) = (a - low) / (high - low) within the
law's bounds. Sums of 1, a and a^2 over the calls of each bin, taken cumulatively over the bins,
give the sum of G and of G^2 between any two ages in constant time. So the cost grows with the
number of bins and laws, not with the number of calls.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Final

from admission.estimator.observation import Observation
from admission.estimator.parameters import BIN_MS, BINS, ClaimLaw

BIN_S: Final = BIN_MS / 1000
_EXTRA: Final = 26  # bins beyond BINS that a count of 2.5 s ago still needs


Visible = tuple[float, float]  # expected own calls with a port, and the variance of their number


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchReports:
    """What is known of launches that are not reported.

    Args:
        share: of launches that are reported.
        delay_s: mean time from the grant to the launch.

    Example:
        >>> LaunchReports(share=1.0, delay_s=0.03).delay_s
        0.03
    """

    share: float
    delay_s: float


class _Sums:
    """Cumulative sums over bins of increasing age: calls, age, age squared."""

    def __init__(self, calls: Sequence[int], ages: Sequence[float]) -> None:
        first = list(map(mul, calls, ages))
        self.calls = list(accumulate(calls, initial=0))
        self.ages = list(accumulate(first, initial=0.0))
        self.squares = list(accumulate(map(mul, first, ages), initial=0.0))


class AgeBins:
    """The summary of an observation as arrays over age, at any moment of the last 2.5 s."""

    def __init__(self, observation: Observation) -> None:
        self._t1 = observation.t1
        self._newest = observation.t1 // BIN_MS
        self._length = BINS + _EXTRA
        offset = (observation.t1 - self._newest * BIN_MS - BIN_MS / 2) / 1000
        self._offset = offset
        self._ages = [offset + i * BIN_S for i in range(self._length)]
        self._ages[0] = (offset + BIN_S / 2) / 2  # the newest bin is not full yet
        self._granted = self._array(observation.granted.items())
        self._launched = self._array(observation.launched.items())
        pending = sum(self._granted) + sum(self._launched)
        self._settled = max(0, observation.in_use - pending)
        self._events = sorted(
            (observation.t1 - number * BIN_MS - BIN_MS // 2, into, is_live, starts)
            for into, is_live, events in (
                (0, False, observation.ended_launched),
                (1, False, observation.ended_granted),
                (0, True, observation.taken_launched),
                (1, True, observation.taken_granted),
            )
            for number, starts in events.items()
        )

    def _array(self, bins: Iterable[tuple[int, int]]) -> list[int]:
        calls = [0] * self._length
        newest, length = self._newest, self._length
        for number, count in bins:
            age = newest - number
            if age < length:
                calls[max(age, 0)] += count
        return calls

    def visible(
        self, ages_ms: Iterable[int], laws: Sequence[ClaimLaw], reports: LaunchReports
    ) -> dict[int, list[Visible]]:
        """For each moment, so many ms before t1: mean and variance for each claim law.

        A call that ended after the moment is counted there; its end is in the summary. A call whose
        port was reported after the moment counts there by its age, as if nothing were reported: a
        count of that moment need not show its port.
        """
        calls = (self._launched[:], self._granted[:])
        settled, newest, length = self._settled, self._newest, self._length
        found, place = {}, 0
        for ago in sorted(set(ages_ms)):
            while place < len(self._events) and self._events[place][0] < ago:
                _, into, is_live, starts = self._events[place]
                bins = calls[into]
                settled -= len(starts) if is_live else 0
                for start in starts:
                    if newest - start < length:
                        bins[newest - start] += 1
                    else:
                        settled += 1
                place += 1
            found[ago] = self._for_laws(laws, ago / 1000, settled, calls, reports)
        return found

    def _for_laws(
        self,
        laws: Sequence[ClaimLaw],
        ago: float,
        settled: int,
        calls: tuple[list[int], list[int]],
        reports: LaunchReports,
    ) -> list[Visible]:
        means, variances = [float(settled)] * len(laws), [0.0] * len(laws)
        offset, length = self._offset, self._length
        for bins, delay_s in zip(calls, (0.0, reports.delay_s), strict=True):
            if not any(bins):
                continue
            sums = _Sums(bins, self._ages)
            count, first_sum, second_sum = sums.calls, sums.ages, sums.squares
            for place, law in enumerate(laws):
                low = ago + law.low_s
                # A launch that is not reported lies somewhere within twice the mean delay.
                width = law.high_s - law.low_s + 2 * delay_s
                first = min(int((low - offset) / BIN_S + 1), length)
                last = min(int((low + width - offset) / BIN_S + 1), length)
                some = count[last] - count[first]
                ages = first_sum[last] - first_sum[first]
                linear = (ages - low * some) / width
                square = second_sum[last] - second_sum[first] - 2 * low * ages + low * low * some
                means[place] += count[-1] - count[last] + linear
                variances[place] += linear - square / (width * width)
                if delay_s and reports.share > 0.02:
                    # Most launches are reported, this one is not: probably it is not launched yet.
                    soon = min(last, int((ago + 2 * delay_s - offset) / BIN_S + 1))
                    if soon > first:
                        ages = first_sum[soon] - first_sum[first]
                        unlikely = (ages - low * (count[soon] - count[first])) / width
                        means[place] -= reports.share * unlikely
        return [(mean, max(0.0, one)) for mean, one in zip(means, variances, strict=True)]
