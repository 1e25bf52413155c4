"""The contestants: oracle, proved, dedicated, seen, learned."""

import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist

from admission.estimator import (
    Counters,
    Doubt,
    Estimate,
    Observation,
    Parameters,
    State,
    learn,
)
from admission.estimator.parameters import BIN_MS, BINS, ENDS_BINS
from benchmarks.worlds.scenario import CALLS
from benchmarks.worlds.world import ANSWERED, QUERY_S, World

DEFAULT_CLAIM_S = 3.5  # launch_within 1 s + claim_within 2 s + visibility_lag 0.5 s
VISIBILITY_LAG_S = 0.5
END_NOTICE_S = 0.2


@dataclass(slots=True)
class Reservation:
    channel: int
    granted_at: float
    launched_at: float | None = None
    taken_at: float | None = None

    @property
    def taken(self) -> bool:
        return self.taken_at is not None


class Ledger:
    """What every contestant keeps: live reservations for each channel."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._count = len(world.channels)
        self.lose_state()

    def lose_state(self) -> None:
        self.live: dict[int, Reservation] = {}
        self.in_use = [0] * self._count
        self.ceilings = [0] * self._count

    def allows(self, now: float, channel: int) -> bool:
        return self.in_use[channel] + 1 <= self.ceilings[channel]

    def granted(self, now: float, call: int, channel: int) -> None:
        self.live[call] = Reservation(channel, now)
        self.in_use[channel] += 1

    def launched(self, now: float, call: int) -> None:
        pass

    def port_taken(self, now: float, call: int) -> None:
        pass

    def snapshot(self, now: float, total: int, unused: list[int], counted_at: float | None) -> None:
        pass

    def ended(self, now: float, call: int, failed: bool, at: float) -> None:
        self._leave(call)

    def dropped(self, now: float, call: int) -> None:
        self._leave(call)

    def _leave(self, call: int) -> Reservation | None:
        one = self.live.pop(call, None)
        if one is not None:
            self.in_use[one.channel] -= 1
        return one


class Oracle(Ledger):
    """Sees the ports and the launches on their way."""

    def allows(self, now: float, channel: int) -> bool:
        one = self._world.channels[channel]
        return one.used + one.in_flight < one.ports


class Proved(Ledger):
    """`unused + held`: what is older than `claim_s` at the snapshot is held."""

    claim_s = DEFAULT_CLAIM_S
    dedicated = False

    def lose_state(self) -> None:
        super().lose_state()
        self._t0 = self._t1 = -9.0
        self._total = -1
        self._kept = [-9.0] * self._count  # t1 of the snapshot of each ceiling that is kept
        self._window = [-9.0] * self._count

    def snapshot(self, now: float, total: int, unused: list[int], counted_at: float | None) -> None:
        self._t0, self._t1 = now - QUERY_S, now
        held = [0] * self._count
        for one in self.live.values():
            held[one.channel] += self._visible_by(one) < now
        for channel in range(self._count):
            ceiling = unused[channel] + held[channel]
            better = ceiling >= self.ceilings[channel] or total != self._total
            if better or not self.dedicated:
                self.ceilings[channel] = ceiling
                self._kept[channel] = self._window[channel] = now
        self._total = total

    def _visible_by(self, one: Reservation) -> float:
        latest = one.granted_at + self.claim_s
        return latest if one.taken_at is None else min(latest, one.taken_at + VISIBILITY_LAG_S)

    def port_taken(self, now: float, call: int) -> None:
        one = self.live.get(call)
        if one is not None:
            one.taken_at = now

    def ended(self, now: float, call: int, failed: bool, at: float) -> None:
        one = self._leave(call)
        if one is None:
            return
        if failed and self.dedicated:
            self._total = -1  # the newest snapshot alone counts from now on
        held = self._visible_by(one) < self._window[one.channel]
        if held and (failed or at - END_NOTICE_S < self._kept[one.channel]):
            self.ceilings[one.channel] -= 1

    def dropped(self, now: float, call: int) -> None:
        one = self._leave(call)
        if one is not None and (self.dedicated or self._visible_by(one) < self._t1):
            self.ceilings[one.channel] -= 1


class Measured(Proved):
    """Proved, with the worst times of this very world."""

    def lose_state(self) -> None:
        super().lose_state()
        scenario = self._world.scenario
        self.claim_s = scenario.launch_s[1] + scenario.claim.longest_s + scenario.age_s[1]


class Dedicated(Measured):
    """`ports = "dedicated"` with the worst times of this world: safe only without foreign use."""

    dedicated = True


class Seen(Ledger):
    """No contestant but a limit: the rule of the estimator, with the truth at each snapshot.

    Foreign use is counted exactly, its rate and holding time and the mean claim time are known.
    What it loses happens between two snapshots: no estimator can win it back.
    """

    parameters = Parameters()

    def lose_state(self) -> None:
        super().lose_state()
        self._new = False

    def snapshot(self, now: float, total: int, unused: list[int], counted_at: float | None) -> None:
        self._new = True

    def allows(self, now: float, channel: int) -> bool:
        if self._new:
            self._new = False
            self._see()
        return super().allows(now, channel)

    def _see(self) -> None:
        world, scenario = self._world, self._world.scenario
        draws = random.Random(5)
        claim = sum(scenario.claim.law(world.now, draws) for _ in range(50)) / 50
        claim += sum(scenario.launch_s) / 2
        horizon = claim + 0.6 * scenario.poll_s
        stay = math.exp(-horizon / scenario.foreign_call_s)
        kind = CALLS[scenario.calls]
        length = sum(kind.ring_s) / 2 + ANSWERED * kind.talk_s
        for index, channel in enumerate(world.channels):
            share = 1.0 if self._count == 1 else (0.7, 0.3)[index]
            rate = scenario.scale * scenario.foreign_rate(world.now) * share
            foreign = len(channel.foreign)
            arriving = rate * scenario.foreign_call_s * (1 - stay)
            mean = foreign * stay + arriving
            variance = foreign * stay * (1 - stay) + arriving
            pending = claim * (channel.ports - foreign) / (length + claim)
            unseen = self.in_use[index] - channel.in_flight - len(channel.own)
            available = channel.ports + unseen - mean
            low = _normal(self.parameters.low_quantile, available, variance)
            joint = _normal(self.parameters.joint_quantile, available + pending, variance + pending)
            self.ceilings[index] = math.floor(max(low, min(available, joint)) + 0.5)


def _normal(share: float, mean: float, variance: float) -> float:
    return NormalDist(mean, math.sqrt(variance)).inv_cdf(share) if variance > 0 else mean


@dataclass(slots=True)
class PoolSummary:
    """The integers that the ledger keeps of a pool for the estimator: the contract, in Python."""

    granted: Counter[int] = field(default_factory=Counter)
    launched: Counter[int] = field(default_factory=Counter)
    ended_granted: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    ended_launched: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    taken_granted: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    taken_launched: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    reports: int = 0
    report_delay_ms: int = 0
    ends: int = 0
    failures: int = 0
    drops: int = 0
    failed_at: int = 0
    frozen_at: int = 0
    burst_at: int = 0
    burst: int = 0
    state: str = ""
    estimate: Estimate | None = None
    lowered: int = 0  # by drops since the snapshot
    failed_ceiling: int = 1 << 30

    def ceiling(self, now_ms: int) -> int:
        """The learned ceiling at a moment: the step of the newest estimate, as events moved it."""
        estimate = self.estimate
        assert estimate is not None
        step = (now_ms - self.learned_at) // estimate.step_ms
        ceiling = estimate.ceilings[min(step, len(estimate.ceilings) - 1)] - self.lowered
        return min(ceiling, self.failed_ceiling)

    learned_at: int = 0


class Learned(Proved):
    """The larger of both ceilings while the learned one is trusted, else the proved one.

    The proved one has its defaults. While the estimate is cold, the smaller of both counts.
    """

    parameters = Parameters()

    def __init__(self, world: World) -> None:
        self.cpu_s: list[float] = []
        self.snapshots = 0
        self.doubts: Counter[Doubt] = Counter()
        self.distrusted: list[tuple[float, frozenset[Doubt]]] = []
        super().__init__(world)

    def lose_state(self) -> None:
        super().lose_state()
        self.pools = [PoolSummary() for _ in range(self._count)]

    def allows(self, now: float, channel: int) -> bool:
        pool = self.pools[channel]
        estimate = pool.estimate
        proved = super().allows(now, channel)
        if estimate is None or _ms(now) >= estimate.valid_until:
            return proved
        if estimate.doubts - {Doubt.COLD}:
            return proved
        if pool.frozen_at:
            return False
        wanted = self.in_use[channel] + 1
        learned = wanted <= pool.ceiling(_ms(now))
        if not estimate.trusted:
            return learned and proved
        return learned or (proved and wanted <= pool.failed_ceiling)

    def granted(self, now: float, call: int, channel: int) -> None:
        super().granted(now, call, channel)
        pool = self.pools[channel]
        pool.granted[_bin(now)] += 1

    def launched(self, now: float, call: int) -> None:
        one = self.live.get(call)
        if one is None or one.launched_at is not None:
            return
        pool = self.pools[one.channel]
        pool.reports += 1
        pool.report_delay_ms += _ms(now) - _ms(one.granted_at)
        self._unbin(one)
        one.launched_at = now
        if not one.taken:
            pool.launched[_bin(now)] += 1

    def port_taken(self, now: float, call: int) -> None:
        one = self.live.get(call)
        if one is None or one.taken:
            return
        self._unbin(one)
        pool = self.pools[one.channel]
        if one.launched_at is None:
            pool.taken_granted[_bin(now)].append(_bin(one.granted_at))
        else:
            pool.taken_launched[_bin(now)].append(_bin(one.launched_at))
        super().port_taken(now, call)

    def _unbin(self, one: Reservation) -> None:
        if one.taken:
            return
        pool = self.pools[one.channel]
        reported = one.launched_at is not None
        start = one.launched_at if one.launched_at is not None else one.granted_at
        bins, number = (pool.launched if reported else pool.granted), _bin(start)
        if bins[number] > 0:
            bins[number] -= 1

    def ended(self, now: float, call: int, failed: bool, at: float) -> None:
        one = self.live.get(call)
        if one is None:
            return
        self._unbin(one)
        super().ended(now, call, failed, at)
        pool = self.pools[one.channel]
        pool.ends += 1
        if failed:
            pool.failures += 1
            if _ms(now) > pool.failed_at + 200 and pool.estimate is not None:
                full = self.in_use[one.channel] - pool.estimate.pending
                pool.failed_ceiling = min(pool.failed_ceiling, max(0, full))
            pool.failed_at = _ms(now)
            return
        if one.launched_at is None:
            pool.ended_granted[_bin(at)].append(_bin(one.granted_at))
        else:
            pool.ended_launched[_bin(at)].append(_bin(one.launched_at))
        if now - at < 0.5:
            self._count_burst(pool, now)

    @staticmethod
    def _count_burst(pool: PoolSummary, now: float) -> None:
        moment = _ms(now)
        if moment - pool.burst_at >= 200:
            pool.burst_at, pool.burst = moment, 0
        pool.burst += 1
        if pool.estimate is not None and pool.burst > pool.estimate.burst_limit:
            pool.frozen_at = moment

    def dropped(self, now: float, call: int) -> None:
        one = self.live.get(call)
        if one is None:
            return
        self._unbin(one)
        super().dropped(now, call)
        pool = self.pools[one.channel]
        pool.drops += 1
        pool.lowered += 1
        pool.failed_ceiling -= 1

    def snapshot(self, now: float, total: int, unused: list[int], counted_at: float | None) -> None:
        super().snapshot(now, total, unused, counted_at)
        for channel, pool in enumerate(self.pools):
            observation = self.observe(now, channel, total, unused[channel], counted_at)
            begin = time.process_time()
            state = State.load(pool.state) if pool.state else None
            step = learn(state, observation, self.parameters)
            if step is None:
                continue
            pool.state = step.state.dump()
            self.cpu_s.append(time.process_time() - begin)
            pool.estimate, pool.learned_at = step.estimate, _ms(now)
            pool.lowered, pool.failed_ceiling = 0, 1 << 30
            if step.estimate.lifts_freeze:
                pool.frozen_at = 0
            self.snapshots += 1
            self.doubts.update(step.estimate.doubts)
            if step.estimate.doubts:
                self.distrusted.append((now, step.estimate.doubts))

    def observe(
        self, now: float, channel: int, total: int, unused: int, counted_at: float | None
    ) -> Observation:
        pool, newest = self.pools[channel], _bin(now)
        for bins in (pool.granted, pool.launched):
            for number in [n for n, calls in bins.items() if n < newest - BINS or not calls]:
                del bins[number]
        ended = (pool.ended_granted, pool.ended_launched)
        for ends in (*ended, pool.taken_granted, pool.taken_launched):
            for number in [number for number in ends if number < newest - ENDS_BINS]:
                del ends[number]
        return Observation(
            t0=_ms(now - QUERY_S),
            t1=_ms(now),
            total=total,
            unused=unused,
            in_use=self.in_use[channel],
            counted_at=None if counted_at is None else _ms(counted_at),
            shares_total=self._count > 1,
            granted=dict(pool.granted),
            launched=dict(pool.launched),
            ended_granted=dict(pool.ended_granted),
            ended_launched=dict(pool.ended_launched),
            taken_granted=dict(pool.taken_granted),
            taken_launched=dict(pool.taken_launched),
            counters=Counters(
                reports=pool.reports,
                report_delay_ms=pool.report_delay_ms,
                ends=pool.ends,
                failures=pool.failures,
                drops=pool.drops,
            ),
            failed_at=pool.failed_at,
            frozen_at=pool.frozen_at,
        )


def _ms(seconds: float) -> int:
    return 1_000_000 + int(seconds * 1000)


def _bin(seconds: float) -> int:
    return _ms(seconds) // BIN_MS


CONTESTANTS: dict[str, Callable[[World], Ledger]] = {
    "oracle": Oracle,
    "proved": Proved,
    "measured": Measured,
    "dedicated": Dedicated,
    "seen": Seen,
    "learned": Learned,
}
