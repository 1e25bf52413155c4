"""One run of a world: a platform with ports, greedy dialers, foreign use, and a controller.

Discrete events, one seed, no real time. The controller learns of the world through its methods
alone, in the order in which a ledger would; only the oracle looks at the world itself.
"""

import heapq
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from benchmarks.worlds.scenario import CALLS, Scenario

BLOCK_S = 15.0  # figures are kept for blocks of this length; they are taken as independent
ANSWERED = 0.4
NOTICE_S = (0.02, 0.1)  # the dialer reports an end so long after it
QUERY_S = 0.02


@dataclass(slots=True)
class Block:
    """Sums over one block of time. `used`, `own` and `ports` are port-seconds."""

    used: float = 0.0
    own: float = 0.0
    ports: float = 0.0
    launches: int = 0
    failures: int = 0
    arrivals: int = 0
    blocked: int = 0


class Controller(Protocol):
    """Decides on launches; `now` never goes back."""

    def allows(self, now: float, channel: int) -> bool: ...
    def granted(self, now: float, call: int, channel: int) -> None: ...
    def launched(self, now: float, call: int) -> None: ...
    def port_taken(self, now: float, call: int) -> None: ...
    def ended(self, now: float, call: int, failed: bool, at: float) -> None: ...
    def dropped(self, now: float, call: int) -> None: ...
    def snapshot(
        self, now: float, total: int, unused: list[int], counted_at: float | None
    ) -> None: ...
    def lose_state(self) -> None: ...


@dataclass(slots=True)
class Call:
    number: int
    channel: int
    dialer: int
    granted_at: float


@dataclass(slots=True)
class Channel:
    """Ports of one channel and who has them; `history` is (total, unused) since each moment."""

    ports: int
    used: int = 0
    in_flight: int = 0
    own: dict[int, Call] = field(default_factory=dict)
    foreign: set[int] = field(default_factory=set)
    moments: list[float] = field(default_factory=lambda: [-9.0])
    history: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history.append((self.ports, self.ports))


class World:
    """A scenario with a seed. The same seed gives the same draws to every controller.

    Args:
        make: builds the controller for this world.
    """

    def __init__(
        self,
        scenario: Scenario,
        make: "Callable[[World], Controller]",
        *,
        seed: int,
        lasts_s: float,
    ) -> None:
        self.scenario, self.lasts_s = scenario, lasts_s
        self.channels = [Channel(ports=ports) for ports in scenario.ports]
        self.blocks = [Block() for _ in range(int(lasts_s / BLOCK_S) + 1)]
        self.now = 0.0
        self.random = Random(seed)
        self._foreign = Random(seed + 1_000_003)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self._accounted = 0.0
        self._down = False
        self._late: list[Callable[[], None]] = []
        self._dead: set[int] = set()
        self._died_at = -1.0
        self._open: dict[int, Call] = {}  # granted, and no end reported yet
        self._lied: list[int] | None = None
        self.controller = make(self)

    def run(self) -> "World":
        scenario = self.scenario
        self._at(0.0, self._poll)
        for dialer in range(scenario.dialers):
            self._at(2 + self.random.random(), self._ask, dialer)
        if scenario.foreign in ("rival", "second"):
            self._at(0.7, self._take_free)
        elif scenario.foreign != "none":
            self._at(0.5, self._arrive)
        if scenario.restart:
            self._at(scenario.restart_at_s, self._crash)
        if scenario.dialers_die_s:
            self._at(scenario.dialers_die_s, self._kill_dialers)
        if scenario.media_server_s:
            lost, back = scenario.media_server_s
            self._at(lost + self.random.random(), self._lose_server)
            self._at(back + self.random.random(), self._return_server)
        while self._events and self._events[0][0] <= self.lasts_s:
            self.now, _, do, arguments = heapq.heappop(self._events)
            do(*arguments)
        self.now = self.lasts_s - 1e-9
        self._account()
        return self

    # Time and accounts

    def _at(self, when: float, do: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (when, self._next(), do, arguments))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _block(self) -> Block:
        return self.blocks[int(self.now / BLOCK_S)]

    def _account(self) -> None:
        used = sum(channel.used for channel in self.channels)
        own = sum(len(channel.own) for channel in self.channels)
        ports = sum(channel.ports for channel in self.channels)
        time = self._accounted
        while time < self.now:
            index = int(time / BLOCK_S)
            end = min(self.now, (index + 1) * BLOCK_S)
            block = self.blocks[index]
            block.used += used * (end - time)
            block.own += own * (end - time)
            block.ports += ports * (end - time)
            time = end
        self._accounted = self.now

    def _change(self, channel: Channel, used: int) -> None:
        channel.used += used
        channel.moments.append(self.now)
        channel.history.append((channel.ports, channel.ports - channel.used))

    # The service

    def _report(self, report: Callable[[], None]) -> None:
        """Dialers repeat a report until the service takes it."""
        if self._down:
            self._late.append(report)
        else:
            report()

    def _poll(self) -> None:
        scenario = self.scenario
        if not self._down:
            counted_at = self.now - self._foreign.uniform(*scenario.age_s)
            seen = []
            for channel in self.channels:
                place = bisect_right(channel.moments, counted_at) - 1
                seen.append(channel.history[max(0, place)])
            unused = self._answered_counts([one[1] for one in seen], sum(one[0] for one in seen))
            stated = counted_at if scenario.states_time else None
            total = sum(one[0] for one in seen)
            self.controller.snapshot(self.now, total, unused, stated)
        self._at(self.now + scenario.poll_s, self._poll)

    def _answered_counts(self, unused: list[int], total: int) -> list[int]:
        """The counts as the platform answers them: it may lie for a while."""
        lie = self.scenario.lie
        if lie is None or not lie.begin_s <= self.now < lie.end_s:
            self._lied = None
            return unused
        if lie.frozen:
            self._lied = self._lied or unused
            return list(self._lied)
        wrong = lie.added + self._foreign.randint(-lie.noise, lie.noise)
        return [min(total, max(0, count + wrong)) for count in unused]

    def _crash(self) -> None:
        self._down = True
        if self.scenario.restart == "lost":
            self.controller.lose_state()
        self._at(self.now + 5, self._recover)

    def _recover(self) -> None:
        self._down = False
        late, self._late = self._late, []
        for report in late:
            report()

    # Dialers and their calls

    def _ask(self, dialer: int) -> None:
        pause = self.scenario.pause_s
        if dialer in self._dead or (pause and self.now % pause[0] < pause[1]):
            self._at(self.now + 0.1, self._ask, dialer)
            return
        index = dialer % len(self.channels)
        if self._down or not self.controller.allows(self.now, index):
            self._at(self.now + self.random.uniform(0.05, 0.15), self._ask, dialer)
            return
        call = Call(self._next(), index, dialer, self.now)
        channel = self.channels[index]
        self._open[call.number] = call
        self.controller.granted(self.now, call.number, index)
        if self.random.random() < self.scenario.dead_grants:
            self._at(self.now + self.scenario.expiry_s, self._report, self._drop(call))
        else:
            channel.in_flight += 1
            self._at(self.now + self.random.uniform(*self.scenario.launch_s), self._launch, call)
        self._at(self.now + 0.02, self._ask, dialer)

    def _drop(self, call: Call) -> Callable[[], None]:
        return lambda: self.controller.dropped(self.now, call.number)

    def _launch(self, call: Call) -> None:
        if self._orphan(call):
            self.channels[call.channel].in_flight -= 1
            return
        if self.scenario.reported and self.random.random() < self.scenario.reported:
            self._report(lambda: self.controller.launched(self.now, call.number))
        self._at(self.now + self.scenario.claim.law(self.now, self.random), self._claim, call)

    def _claim(self, call: Call) -> None:
        channel, block = self.channels[call.channel], self._block()
        block.launches += 1
        channel.in_flight -= 1
        if channel.used >= channel.ports:
            block.failures += 1
            self._at(self.now + 0.05, self._report_end, call, True)
            return
        self._account()
        channel.own[call.number] = call
        self._change(channel, 1)
        kind = CALLS[self.scenario.calls]
        if self.scenario.ring_s:
            known_at = self.now + self.random.uniform(*self.scenario.ring_s)
            self._at(known_at, self._report, self._connect(call))
        ring = length = self.random.uniform(*kind.ring_s)
        if self.random.random() < ANSWERED:
            length += self.random.expovariate(1 / kind.talk_s)
            if self.scenario.port_taken:
                report = self._connect(call)
                self._at(self.now + ring, self._report, report)
        self._at(self.now + length, self._end, call)

    def _connect(self, call: Call) -> Callable[[], None]:
        return lambda: self.controller.port_taken(self.now, call.number)

    def _end(self, call: Call) -> None:
        channel = self.channels[call.channel]
        if call.number not in channel.own:
            return  # cut off before, with its media server
        self._account()
        del channel.own[call.number]
        self._change(channel, -1)
        if self.random.random() < self.scenario.lost_ends:
            self._at(self.now + self.scenario.expiry_s, self._report, self._drop(call))
        else:
            self._at(self.now + self.random.uniform(*NOTICE_S), self._report_end, call, False)

    def _report_end(self, call: Call, failed: bool) -> None:
        if self._orphan(call):
            return
        self._open.pop(call.number, None)
        self._report(lambda at=self.now: self.controller.ended(self.now, call.number, failed, at))

    def _orphan(self, call: Call) -> bool:
        """Whether its dialer died with it: its reports never come, it expires with the others."""
        return call.granted_at <= self._died_at and call.dialer < self._dying()

    def _dying(self) -> int:
        return max(1, round(0.3 * self.scenario.dialers))

    def _kill_dialers(self) -> None:
        self._dead = set(range(self._dying()))
        self._died_at = self.now
        self._at(self.now + 60, self._dead.clear)
        self._at(self.now + self.scenario.expiry_s, self._drop_orphans)

    def _drop_orphans(self) -> None:
        for call in [call for call in self._open.values() if self._orphan(call)]:
            del self._open[call.number]
            self.controller.dropped(self.now, call.number)

    # The platform and foreign use

    def _lose_server(self) -> None:
        for channel in self.channels:
            lost = channel.ports // 4
            up = sorted([*channel.own, *channel.foreign])
            gone = self.random.sample(up, len(up) // 4)
            self._account()
            channel.ports -= lost
            self._change(channel, 0)
            for number in gone:
                call = channel.own.pop(number, None)
                channel.foreign.discard(number)
                self._change(channel, -1)
                if call:
                    notice = self.random.uniform(*NOTICE_S)
                    self._at(self.now + notice, self._report_end, call, False)

    def _return_server(self) -> None:
        self._account()
        for channel, ports in zip(self.channels, self.scenario.ports, strict=True):
            channel.ports = ports
            self._change(channel, 0)

    def _take(self, channel: Channel, hold_s: float) -> None:
        number = self._next()
        self._account()
        channel.foreign.add(number)
        self._change(channel, 1)
        self._at(self.now + hold_s, self._leave, channel, number)

    def _leave(self, channel: Channel, number: int) -> None:
        if number in channel.foreign:
            self._account()
            channel.foreign.remove(number)
            self._change(channel, -1)

    def _arrive(self) -> None:
        first = len(self.channels) == 1 or self._foreign.random() < 0.7
        channel, block = self.channels[0 if first else 1], self._block()
        block.arrivals += 1
        if channel.used < channel.ports:
            self._take(channel, self._foreign.expovariate(1 / self.scenario.foreign_call_s))
        else:
            block.blocked += 1
        when = self.now
        while True:  # thinning of the highest rate, 8 a second
            when += self._foreign.expovariate(8 * self.scenario.scale)
            if self._foreign.random() < self.scenario.foreign_rate(when) / 8:
                break
        self._at(when, self._arrive)

    def _take_free(self) -> None:
        """A rival takes whatever is free; a second system launches for what it last saw free."""
        for channel in self.channels:
            free = channel.ports - channel.used
            if self.scenario.foreign == "second":
                free = round(free * self._foreign.uniform(0.3, 1.0))
            for _ in range(free):
                self._take(channel, self._foreign.expovariate(1 / self.scenario.foreign_call_s))
        if self.scenario.foreign == "second" and self._foreign.random() < 0.1:
            self._at(self.now + self._foreign.uniform(15, 40), self._take_free)  # it rests
        else:
            self._at(self.now + self._foreign.uniform(0.5, 1.5), self._take_free)
