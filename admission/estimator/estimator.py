"""Learned ceilings: how many reservations a pool of ports carries, learned from its snapshots.

THEORY OF OPERATION

Known and unknown. A snapshot says how many ports of a pool were unused, at a moment that lies an
unknown time back. The ledger knows when each reservation was granted, of some when the launch was
reported, and when they ended. Unknown are the moment at which a launched call takes its port, and
all of foreign use (inbound calls, other dialers).

The idea. Let M be the number of own calls that the count is expected to show: the sum of G(age)
over the reservations that were live at the moment of the count, G the probability that a call of
that age has its port. Then

        available = unused + M

is the number of ports that own reservations may hold. Own launches and ends do not move it: a port
that an own call takes leaves `unused` and enters M. Foreign use moves it, and so do reservations
that hold no port any more. So `available` changes slowly and is seen through noise: a filter
follows it, and the ceiling is a low quantile of it at the time at which it is used. An error of G
that is the same in each snapshot goes into `available` and does no harm while the own load is
steady; when the load moves, the filters of a better G win.

A call whose port is reported (`port_taken`) counts in M from that report on, and before it by its
age as the others do. A count that is older than the report need not show the port: with M = 1 the
error would be the larger the more calls report, and the filters would take it for foreign use.

A call counts in M until the end that its dialer saw, and its reservation in `in_use` as long. So
the delay between an end and its dialer, and lost ends, need no parameter: `available` contains what
these reservations hold.

Filters. Each combination of three hypotheses has a Kalman filter (filter_bank.py):
  claim law     a launched call takes its port U(0, b) after the launch, b from 0.25 to 4.5 s
  count age     the count is 0-0.4 s, 0-2 s, or 1.5 s old. Where the source states the time of the
                count, that counts: the same count twice teaches once
  foreign mode  still, moving, restless: variance per second, and a trend
At each snapshot (1) the modes of one platform exchange a few percent of weight and state, and
weight flows to the neighbouring laws and a little to all others, so that a changed platform is
found; (2) each filter predicts; (3) M and its variance are computed for each law and age from bins
(age_bins.py): calls that may or may not have their port, the unknown moment of the count, and a
floor; (4) each filter is corrected with unused + M; (5) its weight is multiplied by the likelihood,
with a heavy tail, since one absurd count must not end a hypothesis.

Polls on demand may follow each other within 0.2 s. Counts so near to each other miss the same
pending calls: their errors are not independent, short claim laws would win, and the ceiling would
stand too high. So a snapshot teaches only if it began `interval_ms` after the last one that did.

The ceiling (ceiling.py). All filters together are a mixture of normal laws. Two quantiles are
taken, and the larger one counts:
  low    the `low_quantile` of `available`.
  joint  a launch fails only if foreign use takes more than the margin AND all of the ports that are
         still free for pending own calls. Their number is about (rate of ends) x (mean claim time),
         with Poisson variance. `joint` is the `joint_quantile` of available + pending, but never
         more than the median of `available`.
With short calls many are pending and the ceiling stands at the median; with long calls few are, and
`low` counts. The ceiling never exceeds unused + in_use + recent ends: the count plus everything
that the platform might not show. Between slow snapshots the ceiling is a list, one for each second
or so: it falls as fast as the forecast widens, instead of being as low as its end for all the time.

Calibration. No family of hypotheses is the platform: in waves the quantiles above let too many
launches fail, with counts of unknown age too few. So both are scaled by a number that follows what
happens: each failing launch lowers its logarithm by `per_failure`, each end raises it so that a
share of `goal` times the target balances them. It stays between bounds: where foreign calls compete
for the last port, launches fail whatever the ceiling is, and the lower bound keeps ports in use. A
caller who reports failures or ends without number moves the ceiling no further than the bounds.

Between two snapshots own ends do not move the ceiling. Four events do, in the ledger's script:
  drop     a reservation that expires without an end leaves M without entering `unused`:
           minus one.
  failed   a call that had a port and failed may have lost it with its media server: minus one until
           the next snapshot.
  failure  a launch that finds no port says unused = 0, now: until the next snapshot no more than
           in_use - pending. The next snapshot corrects the filters with it first.
  mass     more ends within 200 ms than `burst_limit` (four deviations above their rate), other than
           calls without an answer: a part of the platform may be gone with the ports they held.
           Nothing is granted until a count that is surely younger (`lifts_freeze`).

Resets. Another total: each variance grows by the square of the change, and the level moves by it
where no other pool shares that total. Silence: variances grow with time; the ceiling is not valid
for longer than 2.5 usual intervals. Recovery or another version: `None` as state begins anew.

Distrust (distrust.py). The caller uses the larger of this ceiling and the proved one (unused +
held), and the proved one alone while one of these holds:
  cold          fewer than 5 snapshots or 5 s; until then the smaller of both ceilings
  surprised     a cumulative sum of -ln P(count this low or lower) exceeds its alarm
  frozen_count  the count stays the same though own calls must have moved it; nothing is learned
                from a frozen count
  restless      the most restless mode explains the counts for too long: noise, a second dialer
  failing       launches failed though the prediction held that for nearly impossible
  old_count     the source states that the count was made before ENDS_BINS; it teaches nothing
Each ends by itself when its evidence falls below a lower bound. The share of failing launches alone
is no measure: where foreign calls compete for the last port, an oracle's launches fail too.

THE CONTRACT WITH THE LEDGER

What the script keeps for each snapshot-fed channel pool, integers all; a bin is zone ms // BIN_MS.

| field              | changes
|--------------------|-----------------------------------------------------------------------------
| granted[bin]       | +n at a grant of n. -1 at the first launch report, at `port_taken`, at an
|                    | end, drop or withdrawal of a reservation that still counts here.
| launched[bin]      | +1 at the first launch report unless `port_taken` came before, in the bin of
|                    | the report. -1 at `port_taken`, end, drop. Bins older than BINS are deleted
|                    | at ingest; a later -1 for a deleted bin does nothing.
| ended_granted[bin],| At an end of a call that had a port (an outcome that earns a credit,
| ended_launched[bin]| `port_taken`, or held): append its start bin, of the launch report if it was
|                    | reported, else of the grant. The key is the bin of `ended_at`, else of now.
|                    | Keys older than ENDS_BINS are deleted at ingest.
| taken_granted[bin],| At the first `port_taken` of a call: append its start bin, as above. The key
| taken_launched[bin]| is the bin of now. Keys older than ENDS_BINS are deleted at ingest.
| reports,           | Running totals. report_delay_ms sums launched_at - granted_at of first
| report_delay_ms,   | reports; ends counts every end report, failures those with `no_resource`,
| ends, failures,    | drops expiries; a withdrawn grant counts in none of these three.
| drops              |
| failed_at          | now, at `no_resource`.
| burst_at, burst    | Begin of the present window of 200 ms, and the ends in it; ends stated to be
|                    | older than 500 ms and calls without an answer do not count.
| frozen_at          | now, when burst exceeds burst_limit. 0 at a learn with lifts_freeze, if the
|                    | value is still the one of the observation.
| state              | `State.dump()`, opaque text.
| learned_t0         | t0 of the state. A learn names the learned_t0 that its observation came with
|                    | and is refused if the stored one differs: no snapshot is learned from twice.
| learned_at         | t1 of the observation, where the first step begins.
| ceilings, step_ms, | Of the newest estimate. The ceiling at `now` is ceilings[min(last, (now -
| pending,           | learned_at) / step_ms)] - lowered, at most failed_ceiling; it is used if
| burst_limit,       | doubts is empty, now < valid_until, and granted at all only if frozen_at =
| valid_until,       | 0.
| doubts             |
| lowered            | +1 at a drop, and at a failed call with a port. At a learn: drops less those
|                    | of the observation.
| failed_ceiling     | At a failure over 200 ms after the last: min(itself, max(0, in_use after it
|                    | - pending)). -1 at a drop. Removed at a learn.

A reservation that is adopted, or whose grant predates the fields, is in no bin: what `in_use` has
beyond the bins counts as having a port.

SOURCES. Measurement-based admission control filters the measured foreign load: Gibbens and Kelly,
"Measurement-based connection admission control", ITC 15 (1997); Grossglauser and Tse, "A framework
for robust measurement-based admission control", IEEE/ACM Trans. Networking 7 (1999): the error of
the estimate belongs in the margin, hence quantiles of a posterior instead of a point estimate;
Jamin, Danzig, Shenker and Zhang, "A measurement-based admission control algorithm for integrated
service packet networks", IEEE/ACM Trans. Networking 5 (1997). The bank is the interacting multiple
model filter of Blom and Bar-Shalom (1988); the surprise is a one-sided CUSUM: Page, "Continuous
inspection schemes", Biometrika 41 (1954). The calibration is the adaptive conformal inference of
Gibbs and Candes, "Adaptive conformal inference under distribution shift", NeurIPS 34 (2021).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from admission.estimator.age_bins import AgeBins, LaunchReports
from admission.estimator.ceiling import Forecaster, safe_ports
from admission.estimator.distrust import Doubt, Evidence
from admission.estimator.filter_bank import Expectation, FilterBank, modes_for
from admission.estimator.observation import Observation
from admission.estimator.parameters import BIN_MS, ENDS_BINS, Parameters
from admission.estimator.state import State, pack_bank, unpack_bank

DEFAULTS: Final = Parameters()

_RATE_S: Final = 4.0  # time constant of the rate of ends
_BURST_MS: Final = 200  # ends that come within so long of each other belong to one event
_STEPS_MAX: Final = 12
_WITHIN_STEP: Final = 0.6  # where between two snapshots the mean grant lies, a little late
_FAILURE_REACH_MS: Final = 2_000  # an older failure is not learned from: its calls are not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The answer to one snapshot. Integers are what the ledger stores; see the contract.

    Args:
        ceilings: reservations that the pool may hold, for each step of the time until the next
            snapshot; the last one holds on.
        step_ms: length of a step.
        pending: expected own calls without a port yet.
        burst_limit: more ends than this within 200 ms freeze the pool.
        lifts_freeze: this snapshot shows what a mass of ends left behind.
        valid_until: zone ms from which on the ceiling is not to be used any more.
        available: expected ports available to us, own calls included.
        low: `Parameters.low_quantile` of that in the first step.
        doubts: why the proved ceiling is to be used instead.

    Example:
        >>> learn(None, Observation(t0=0, t1=20, total=20, unused=20, in_use=0)).estimate.trusted
        False
    """

    ceilings: tuple[int, ...]
    step_ms: int
    pending: int
    burst_limit: int
    lifts_freeze: bool
    valid_until: int
    available: float
    low: float
    doubts: frozenset[Doubt]

    @property
    def trusted(self) -> bool:
        """Whether the ceiling may be used."""
        return not self.doubts


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A new state and its estimate.

    Example:
        >>> step = learn(None, Observation(t0=0, t1=20, total=20, unused=20, in_use=0))
        >>> step.state.snapshots
        1
    """

    state: State
    estimate: Estimate


def learn(
    state: State | None, observation: Observation, parameters: Parameters = DEFAULTS
) -> Step | None:
    """Learn from one snapshot.

    Args:
        state: as the snapshot before left it; None for a new pool or after a recovery.

    Returns:
        None if nothing is learned from the snapshot: it is not newer than the state, or it follows
        the last one within `Parameters.interval_ms`.
    """
    if state is not None and observation.t0 < state.t0 + max(1, parameters.interval_ms):
        return None
    return _Update(state, observation, parameters).run()


class _Update:
    """One snapshot on its way through the filters."""

    def __init__(
        self, state: State | None, observation: Observation, parameters: Parameters
    ) -> None:
        self._seen, self._parameters = observation, parameters
        self._modes = modes_for(parameters, observation.total)
        size = len(parameters.claim_laws) * len(parameters.count_ages) * len(self._modes)
        bank = unpack_bank(state.bank, size) if state else None
        if state is None or bank is None:
            bank = FilterBank.unknown(parameters, observation.total)
            state = self._begin()
        self._old, self._bank = state, bank
        self._events = observation.counters.since(state.counters)
        self._bins = AgeBins(observation)
        self._dt_s = max(0, observation.t1 - state.t1) / 1000
        self._moved_s, self._counted_at = self._dt_s, observation.counted_at
        if observation.counted_at is not None and state.counted_at is not None:
            self._counted_at = max(observation.counted_at, state.counted_at)
            self._moved_s = (self._counted_at - state.counted_at) / 1000

    def _begin(self) -> State:
        seen = self._seen
        return State(
            t0=seen.t0,
            t1=seen.t1,
            total=seen.total,
            unused=seen.unused,
            born_at=seen.t1,
            snapshots=0,
            counters=seen.counters,
            failed_at=seen.failed_at,
        )

    def run(self) -> Step:
        """Learn from what happened since the last snapshot, then from the count."""
        statistics = self._statistics()
        reports = LaunchReports(share=statistics.report_share, delay_s=statistics.launch_delay_s)
        self._shift()
        evidence, dt_s = self._failure(statistics.evidence, reports)
        expected = self._expected(self._ages(), reports)
        self._bank.predict(self._modes, dt_s, self._parameters)
        probability = 1.0
        if not self._is_known_already():
            probability = self._correct(self._seen.unused, expected)
        visible = self._average([one.mean for one in expected])
        statistics = replace(statistics, visible=visible)
        if self._old.snapshots:
            evidence = self._judge(evidence, probability, visible, expected)
        state = replace(statistics, bank=pack_bank(self._bank), evidence=evidence)
        return Step(state=state, estimate=self._estimate(state))

    def _statistics(self) -> State:
        """The state with the usual interval, rates and shares brought up to this snapshot."""
        old, seen, events, dt_s = self._old, self._seen, self._events, self._dt_s
        interval_s, rate = old.interval_s, old.end_rate
        if dt_s:
            interval_s += 0.2 * (min(dt_s, 3 * interval_s) - interval_s)
            rate += (1 - math.exp(-dt_s / _RATE_S)) * (events.ends / dt_s - rate)
        share, delay_s = old.report_share, old.launch_delay_s
        if events.ends:
            now = min(1.0, events.reports / events.ends)
            share += (1 - 0.98**events.ends) * (now - share)
        if events.reports:
            mean_s = events.report_delay_ms / events.reports / 1000
            gain = 1 - 0.98**events.reports if old.launch_delay_s else 1.0
            delay_s += gain * (mean_s - delay_s)
        return replace(
            old,
            t0=seen.t0,
            t1=seen.t1,
            total=seen.total,
            unused=seen.unused,
            snapshots=old.snapshots + 1,
            interval_s=interval_s,
            end_rate=rate,
            report_share=share,
            launch_delay_s=delay_s,
            calibration=self._calibrate(),
            counted_at=self._counted_at,
            counters=seen.counters,
            failed_at=seen.failed_at,
        )

    def _calibrate(self) -> float:
        """The scale of the quantiles after the launches since the last snapshot."""
        limits = self._parameters.calibration
        scale = limits.first if self._old.calibration is None else self._old.calibration
        allowed = limits.goal * self._parameters.overlaunch_target * self._events.ends
        scale += limits.per_failure * (allowed - self._events.failures)
        return max(limits.least, min(scale, limits.most))

    def _shift(self) -> None:
        """Move the filters by what moved the available ports for a known reason."""
        old, seen = self._old, self._seen
        if self._events.drops:
            self._bank.shift(-self._events.drops)
        if old.snapshots and seen.total != old.total:
            self._bank.widen(seen.total - old.total)
            if not seen.shares_total:
                self._bank.shift(seen.total - old.total)

    def _failure(self, evidence: Evidence, reports: LaunchReports) -> tuple[Evidence, float]:
        """Learn from the newest failing launch: the pool was full at that moment.

        Returns:
            The evidence with the failures judged, and the seconds left to predict.
        """
        seen, dt_s = self._seen, self._moved_s
        limits = self._parameters.distrust
        ago = seen.t1 - seen.failed_at
        if not self._events.failures or ago > _FAILURE_REACH_MS or not self._old.snapshots:
            return self._launched(evidence, 0), dt_s
        before_s = max(0.0, dt_s - ago / 1000)
        single = [(ago,)] * len(self._parameters.count_ages)
        self._bank.predict(self._modes, before_s, self._parameters)
        probability = self._correct(0, self._expected(single, reports))
        unexplained = int(probability < limits.failure_probability)
        return self._launched(evidence, unexplained), dt_s - before_s

    def _launched(self, evidence: Evidence, unexplained: int) -> Evidence:
        limits = self._parameters.distrust
        return evidence.after_launches(
            self._events.ends, unexplained, dt_s=self._dt_s, limits=limits
        )

    def _correct(self, unused: int, expected: Sequence[Expectation]) -> float:
        return self._bank.correct(unused, expected, len(self._modes), self._parameters)

    def _is_known_already(self) -> bool:
        """Whether nothing is to be learned from the count: it is frozen, too old, or no new one."""
        seen, old = self._seen, self._old
        if self._is_too_old():
            return True
        if seen.counted_at is not None and old.counted_at is not None and old.snapshots:
            return seen.counted_at <= old.counted_at
        return Doubt.FROZEN_COUNT in old.evidence.doubts and seen.unused == old.unused

    def _get_stated_age_s(self) -> float | None:
        """The age of the newest count that was learned from, where its time is stated."""
        return None if self._counted_at is None else (self._seen.t1 - self._counted_at) / 1000

    def _is_too_old(self) -> bool:
        """Whether the ledger does not know any more what its calls did when the count was made."""
        age_s = self._get_stated_age_s()
        return age_s is not None and 1000 * age_s > ENDS_BINS * BIN_MS

    def _ages(self) -> list[tuple[int, ...]]:
        """For each hypothesis on the age of the count: moments at which it was made, ms ago."""
        base = self._seen.t1 - self._seen.counted_ms
        if self._seen.counted_at is not None:
            known_ms = max(0, min(base, ENDS_BINS * BIN_MS))
            return [(known_ms,)] * len(self._parameters.count_ages)
        return [
            tuple(base + round(1000 * age_s) for age_s in age.ages_s)
            for age in self._parameters.count_ages
        ]

    def _expected(
        self, ages_ms: Sequence[tuple[int, ...]], reports: LaunchReports
    ) -> list[Expectation]:
        visible = self._bins.visible(
            (ago for ages in ages_ms for ago in ages), self._parameters.claim_laws, reports
        )
        floor = self._parameters.count_variance
        return [
            Expectation.over_moments([visible[ago][law] for ago in ages], floor)
            for law in range(len(self._parameters.claim_laws))
            for ages in ages_ms
        ]

    def _average(self, values: Sequence[float]) -> float:
        """Mean over the platforms (claim law, age) by their weights."""
        return sum(weight * value for weight, value in zip(self._platforms(), values, strict=True))

    def _platforms(self) -> list[float]:
        count = len(self._modes)
        weights = self._bank.weights
        return [sum(weights[i : i + count]) for i in range(0, len(weights), count)]

    def _judge(
        self,
        evidence: Evidence,
        probability: float,
        visible: float,
        expected: Sequence[Expectation],
    ) -> Evidence:
        old, seen = self._old, self._seen
        still = seen.unused == old.unused and 0 < seen.unused < seen.total
        floor = self._parameters.count_variance
        pending = self._average([one.variance - floor for one in expected])
        moved = 2 * pending + (visible - old.visible) ** 2
        limits = self._parameters.distrust
        count = len(self._modes)
        return evidence.after_count(
            probability,
            unchanged=still,
            moved=moved,
            restless=sum(self._bank.weights[count - 1 :: count]),
            limits=limits,
        ).judged(limits)

    def _estimate(self, state: State) -> Estimate:
        seen, parameters = self._seen, self._parameters
        steps = max(1, min(_STEPS_MAX, round(state.interval_s / parameters.step_s)))
        step_s = state.interval_s / steps
        most = seen.unused + seen.in_use + seen.recent_ends
        ceilings: list[int] = []
        lows: list[float] = []
        pending = 0.0
        quantiles = parameters.scale_quantiles(math.exp(state.calibration or 0.0))
        forecaster = Forecaster(
            self._bank,
            self._modes,
            parameters,
            end_rate=state.end_rate,
            launch_delay_s=state.launch_delay_s,
            stated_age_s=self._get_stated_age_s(),
        )
        for step in range(steps):
            ahead_s = (step + (_WITHIN_STEP if steps == 1 else 1.0)) * step_s
            prediction = forecaster.forecast(ahead_s)
            ports, low = safe_ports(prediction, quantiles, lows[-1] if lows else None)
            ceilings.append(max(0, min(math.floor(ports + 0.5), most)))
            lows.append(low)
            pending = prediction.pending
        burst = _BURST_MS / 1000 * state.end_rate
        return Estimate(
            ceilings=tuple(ceilings),
            step_ms=max(1, round(1000 * step_s)),
            pending=round(pending),
            burst_limit=math.floor(3 + burst + 4 * math.sqrt(burst)),
            lifts_freeze=self._lifts_freeze(),
            valid_until=seen.t1 + int(1000 * parameters.valid_intervals * state.interval_s) + 500,
            available=self._bank.mean(),
            low=lows[0],
            doubts=self._doubts(state),
        )

    def _lifts_freeze(self) -> bool:
        """Whether the count is younger than the mass of ends that froze the pool."""
        if not self._seen.frozen_at:
            return False
        oldest_s = [
            max(age.ages_s)
            for _ in self._parameters.claim_laws
            for age in self._parameters.count_ages
        ]
        reach_ms = 1000 * self._average(oldest_s) + _BURST_MS
        return self._seen.counted_ms > self._seen.frozen_at + reach_ms

    def _doubts(self, state: State) -> frozenset[Doubt]:
        cold = (
            state.snapshots < self._parameters.cold_snapshots
            or state.t1 - state.born_at < 1000 * self._parameters.cold_s
        )
        found = set(state.evidence.doubts)
        if cold:
            found.add(Doubt.COLD)
        if self._is_too_old():
            found.add(Doubt.OLD_COUNT)
        return frozenset(found)
