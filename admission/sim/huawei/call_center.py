"""A simulated Huawei call centre: licences, agents and calls in a time that its caller moves.

A discrete-event model without threads, sockets or clocks, driven as the simulated portal is
(portal.py): `advance(now)` lets everything happen that is due, `next_at` says when there is
something to do again. An outbound call goes

    launch -> prepared -> takes a licence of each channel, and its agent -> rings -> talks -> ended

It takes all that it needs at once or ends with the platform's fail code: an over-launch, which the
truth counts.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Any, TypeAlias

from admission.domain.outcomes import Outcome
from admission.sim.huawei.counters import AGENT, Counters
from admission.sim.huawei.foreign_calls import Others
from admission.sim.huawei.values import LICENCES_FULL, NO_RESOURCE, CenterEvent, CenterSettings
from admission.sim.values import CallTiming, Progress

Listener: TypeAlias = Callable[[CenterEvent], None]
Step: TypeAlias = Callable[[Any], None]


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """An outbound call.

    Args:
        units: what it needs.
        late_units: what it takes only when it is answered.
        held: what it has now.
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
    """For simulations whose dialers do not listen."""


class CallCenter:
    """The platform.

    Args:
        settings: licences, agents and habits.
        seed: of every random draw.
        listener: told each step of each outbound call, inside `advance`, in order of time.

    Attributes:
        now: simulated ms, from 0; moved by `advance` alone.
        counters: licences and agents, the true state.
        others: everybody else's calls.
        launches, over_launches: of outbound calls.
        code_counts: fail code -> calls that ended with it.
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
        self.others = Others(
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
        """When the next thing happens (simulated ms), None if nothing will."""
        return self._heap[0][0] if self._heap else None

    def advance(self, now: int) -> None:
        """Let everything happen that is due until `now` (simulated ms)."""
        while self._heap and self._heap[0][0] <= now:
            self.now, _, step, subject = heappop(self._heap)
            step(subject)
        self.now = max(self.now, now)

    def _after(self, delay_ms: int, step: Step, subject: object) -> None:
        self._order += 1
        heappush(self._heap, (self.now + delay_ms, self._order, step, subject))

    # -- what may be asked

    def used(self) -> dict[str, int]:
        """Unit -> calls that have it, as it was up to `lag_ms` ago."""
        return self.counters.used(self.now, self._lag_random)

    def holding(self, unit: str) -> int:
        """How many outbound calls have that unit now."""
        return sum(unit in call.held for call in self._live.values())

    # -- what may be done

    def launch(
        self,
        channel: str,
        *,
        agent: int | None = None,
        campaign: str = "",
        timing: CallTiming | None = None,
    ) -> str:
        """Start a call; the listener learns the rest.

        Args:
            agent: to whom it is bound.
            timing: how this call goes, if not as the settings say.

        Returns: the session id.
        Errors: KeyError for a channel without licences, or an unknown agent.
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
        """End a call now. False: it is over."""
        call = self._live.get(session)
        if call is None or call.over:
            return False
        self._end(call, Outcome.COMPLETED if call.answered else Outcome.ABANDONED)
        return True

    def set_licences(self, channel: str, calls: int) -> None:
        """The licence of a channel allows another number of calls from now on.

        Errors: KeyError for a channel without licences.
        """
        self.counters.limit(channel, calls, self.now)

    def truth(self) -> dict[str, Any]:
        """Everything a checker wants to know, ready for JSON."""
        return {
            "now": self.now,
            "launches": self.launches,
            "over_launches": self.over_launches,
            "codes": dict(self.code_counts),
            "live_calls": len(self._live),
            "capacity": dict(self.counters.capacity),
            "free": dict(self.counters.free),
        }

    # -- the life of an outbound call

    def _claim(self, call: Call) -> None:
        if call.over:
            return
        if self._random.random() < call.timing.page_fails:
            self._end(call, Outcome.FAILED)
        elif self._take(call, call.units):
            if not call.late_units:
                self._tell(call, Progress.PORT_TAKEN)
            self._ring(call)
        else:
            self._over_launched(call, call.units)

    def _ring(self, call: Call) -> None:
        if call.over:  # the listener hung up
            return
        timing, random = call.timing, self._random
        fate, patience_ms = random.random(), timing.ring_at_most_ms
        rings_ms, outcome = patience_ms, Outcome.NO_ANSWER
        if fate < timing.answered:
            rings_ms = timing.answer_after.draw(random)
            if rings_ms <= patience_ms:
                self._after(rings_ms, self._answer, call)
                return
        elif fate < timing.answered + timing.busy:
            rings_ms, outcome = timing.busy_after.draw(random), Outcome.BUSY
        self._after(min(rings_ms, patience_ms), self._end_as, (call, outcome))

    def _answer(self, call: Call) -> None:
        if call.over:
            return
        if call.late_units:
            if not self._take(call, call.late_units):
                self._over_launched(call, call.late_units)
                return
            self._tell(call, Progress.PORT_TAKEN)
            if call.over:
                return
        call.answered = True
        self._tell(call, Progress.ANSWERED)
        talks_ms = call.timing.talk.draw(self._random)
        self._after(talks_ms, self._end_as, (call, Outcome.COMPLETED))

    def _over_launched(self, call: Call, wanted: tuple[str, ...]) -> None:
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
        self._tell(call, Progress.ENDED, outcome, code)

    def _take(self, call: Call, units: tuple[str, ...]) -> bool:
        taken = self.counters.take(units, self.now)
        call.held += units if taken else ()
        return taken

    def _release(self, call: Call) -> None:
        self.counters.give(call.held, self.now)
        call.held = ()
        del self._live[call.session]

    # -- what is told

    def _tell(
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
