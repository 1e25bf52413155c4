"""A simulated Huawei call centre: licences, agents and calls in simulated time.

A discrete-event model without threads, sockets or clocks, like the simulated Experience Portal:
`advance(now)` processes all events up to then, `next_at` is the time of the next one. The states of
an outbound call:

    launch -> prepared -> takes a licence of each channel, and its agent -> rings -> talks -> ended

It takes all units that it needs at once, or ends with the platform's fail code: an over-launch,
which the truth counts.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Any, TypeAlias

from admission.domain import Outcome
from admission.sim.huawei.counters import AGENT, Counters
from admission.sim.huawei.foreign_calls import ForeignCalls
from admission.sim.huawei.values import LICENCES_FULL, NO_RESOURCE, CenterEvent, CenterSettings
from admission.sim.values import CallTiming, Progress

Listener: TypeAlias = Callable[[CenterEvent], None]
Step: TypeAlias = Callable[[Any], None]


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """An outbound call.

    Args:
        units: those that it needs.
        late_units: those that it takes only when it is answered.
        held: those that it has.
    """

    session: str
    channel: str
    units: tuple[str, ...]
    timing: CallTiming
    late_units: tuple[str, ...] = ()
    agent: int | None = None
    campaign: str = ""
    held: tuple[str, ...] = ()
    answered: bool = False
    over: bool = False


def _ignore(_event: CenterEvent) -> None:
    """Do nothing: for simulations without a listener."""


class CallCenter:
    """The platform.

    Args:
        settings: licences, agents and call timing.
        seed: of all random numbers.
        listener: called at each step of each outbound call, inside `advance`, in order of time.

    Attributes:
        now: simulated ms, from 0; only `advance` changes it.
        counters: licences and agents, the true state.
        others: foreign calls.
        launches, over_launches: of outbound calls.
        code_counts: fail code -> calls that ended with it.

    Example:
        center = CallCenter(CenterSettings(), seed=1)
        session = center.launch("voice", agent=1001)
        center.advance(60_000)
    """

    def __init__(
        self, settings: CenterSettings, *, seed: int = 0, listener: Listener = _ignore
    ) -> None:
        self.settings = settings
        self.listener = listener
        self.now = 0
        self.counters = Counters(settings.capacity(), lag_ms=settings.lag_ms)
        self.launches = self.over_launches = 0
        self.code_counts: Counter[str] = Counter()
        self._random = Random(f"{seed} calls")
        self._lag_random = Random(f"{seed} lag")
        self._heap: list[tuple[int, int, Step, Any]] = []
        self._order = self._sessions = 0
        self._live: dict[str, Call] = {}
        self.others = ForeignCalls(
            settings,
            self.counters,
            after=self._after,
            clock=lambda: self.now,
            random=Random(f"{seed} others"),
        )
        for others in settings.others:
            self.others.set(others)

    # -- time

    @property
    def next_at(self) -> int | None:
        """Time of the next event (simulated ms), None without any."""
        return self._heap[0][0] if self._heap else None

    def advance(self, now: int) -> None:
        """Process all events up to `now` (simulated ms)."""
        while self._heap and self._heap[0][0] <= now:
            self.now, _, step, subject = heappop(self._heap)
            step(subject)
        self.now = max(self.now, now)

    def _after(self, delay_ms: int, step: Step, subject: object) -> None:
        self._order += 1
        heappush(self._heap, (self.now + delay_ms, self._order, step, subject))

    # -- queries

    def used(self) -> dict[str, int]:
        """Return unit -> calls that hold it, as it was up to `lag_ms` ago."""
        return self.counters.used(self.now, self._lag_random)

    def holding(self, unit: str) -> int:
        """Return the number of outbound calls that hold the unit."""
        return sum(unit in call.held for call in self._live.values())

    # -- actions

    def launch(
        self,
        channel: str,
        *,
        agent: int | None = None,
        campaign: str = "",
        timing: CallTiming | None = None,
    ) -> str:
        """Start a call; the listener is notified of its steps.

        Args:
            channel: whose licences it takes.
            agent: to whom it is bound; None: none.
            campaign: shown in its events.
            timing: of this call; None: that of the settings.

        Returns:
            The session id.

        Raises:
            KeyError: the channel has no licences, or the agent is unknown.
        """
        units = self.settings.units(channel, agent)
        for unit in units:
            _ = self.counters.capacity[unit]
        late = tuple(one for one in units if one.startswith(AGENT))
        late = late if self.settings.agent_counts_at == "answer" else ()
        self._sessions += 1
        call = Call(
            session=f"call-{self._sessions:06d}",
            channel=channel,
            units=tuple(unit for unit in units if unit not in late),
            late_units=late,
            agent=agent,
            campaign=campaign,
            timing=timing or self.settings.timing,
        )
        self._live[call.session] = call
        self.launches += 1
        self._after(call.timing.prepare.draw(self._random), self._claim, call)
        return call.session

    def hang_up(self, session: str) -> bool:
        """End a call. False: it had ended."""
        call = self._live.get(session)
        if call is None or call.over:
            return False
        self._end(call, Outcome.COMPLETED if call.answered else Outcome.ABANDONED)
        return True

    def set_licences(self, channel: str, calls: int) -> None:
        """Change the number of calls that a channel's licence allows.

        Raises:
            KeyError: the channel has no licences.
        """
        self.counters.set_capacity(channel, calls, self.now)

    def truth(self) -> dict[str, Any]:
        """Return the true state as JSON values."""
        return {
            "now": self.now,
            "launches": self.launches,
            "over_launches": self.over_launches,
            "codes": dict(self.code_counts),
            "live_calls": len(self._live),
            "capacity": dict(self.counters.capacity),
            "free": dict(self.counters.free),
        }

    # -- steps of an outbound call

    def _claim(self, call: Call) -> None:
        if call.over:
            return
        if self._random.random() < call.timing.page_fails:
            self._end(call, Outcome.FAILED)
        elif self._take(call, call.units):
            if not call.late_units:
                self._notify(call, Progress.PORT_TAKEN)
            self._ring(call)
        else:
            self._end_over_launch(call, call.units)

    def _ring(self, call: Call) -> None:
        if call.over:  # the listener hung up
            return
        timing, random = call.timing, self._random
        draw, ring_limit_ms = random.random(), timing.ring_at_most_ms
        rings_ms, outcome = ring_limit_ms, Outcome.NO_ANSWER
        if draw < timing.answered:
            rings_ms = timing.answer_after.draw(random)
            if rings_ms <= ring_limit_ms:
                self._after(rings_ms, self._answer, call)
                return
        elif draw < timing.answered + timing.busy:
            rings_ms, outcome = timing.busy_after.draw(random), Outcome.BUSY
        self._after(min(rings_ms, ring_limit_ms), self._end_as, (call, outcome))

    def _answer(self, call: Call) -> None:
        if call.over:
            return
        if call.late_units:
            if not self._take(call, call.late_units):
                self._end_over_launch(call, call.late_units)
                return
            self._notify(call, Progress.PORT_TAKEN)
            if call.over:
                return
        call.answered = True
        self._notify(call, Progress.ANSWERED)
        talks_ms = call.timing.talk.draw(self._random)
        self._after(talks_ms, self._end_as, (call, Outcome.COMPLETED))

    def _end_over_launch(self, call: Call, wanted: tuple[str, ...]) -> None:
        self.over_launches += 1
        licences = (unit for unit in wanted if not unit.startswith(AGENT))
        full = any(self.counters.free[unit] <= 0 for unit in licences)
        self._end(call, Outcome.NO_RESOURCE, LICENCES_FULL if full else NO_RESOURCE)

    def _end_as(self, what: tuple[Call, Outcome]) -> None:
        self._end(*what)

    def _end(self, call: Call, outcome: Outcome, code: str = "") -> None:
        if call.over:
            return
        call.over = True
        if code:
            self.code_counts[code] += 1
        if (delay_ms := call.timing.release.draw(self._random)) and call.held:
            self._after(delay_ms, self._release, call)
        else:
            self._release(call)
        self._notify(call, Progress.ENDED, outcome, code)

    def _take(self, call: Call, units: tuple[str, ...]) -> bool:
        taken = self.counters.take(units, self.now)
        call.held += units if taken else ()
        return taken

    def _release(self, call: Call) -> None:
        self.counters.give(call.held, self.now)
        call.held = ()
        del self._live[call.session]

    # -- notification

    def _notify(
        self, call: Call, step: Progress, outcome: Outcome | None = None, code: str = ""
    ) -> None:
        self.listener(
            CenterEvent(
                at=self.now,
                session=call.session,
                step=step,
                zone="",
                campaign=call.campaign,
                application="",
                outcome=outcome,
                channel=call.channel,
                agent=call.agent,
                code=code,
            )
        )
