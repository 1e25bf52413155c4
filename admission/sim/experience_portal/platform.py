"""A simulated Experience Portal: ports, media servers and calls in simulated time.

A discrete-event model without threads, sockets or clocks. Its caller calls `advance(now)`: all
events up to then happen in order of time, and `next_at` is the time of the next one. The same seed
and the same calls give the same run. The states of an outbound call:

    launch -> first page is prepared -> port claimed -> rings -> answered -> talks -> ended
                 | page fails              | none free      | busy, not answered    | port is free

A claim that finds no free port is an over-launch; `truth` records it.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any, TypeAlias

from admission.domain import Outcome
from admission.sim.experience_portal.foreign_calls import ForeignCalls
from admission.sim.experience_portal.truth import Truth, truth_json
from admission.sim.experience_portal.values import CHANNELS, Counts, ForeignUse, SystemSettings
from admission.sim.experience_portal.zone import Call, Mpp, Zone
from admission.sim.values import CallEvent, CallTiming, Delay, Progress

Listener: TypeAlias = Callable[[CallEvent], None]
Step: TypeAlias = Callable[[Any], None]


def _ignore(_event: CallEvent) -> None:
    """Do nothing: for simulations without a listener."""


class Portal:
    """The platform.

    Args:
        settings: zones, ports and call timing.
        seed: of all random numbers.
        listener: called at each step of each outbound call, inside `advance`, in order of time; it
            may launch, hang up and query. `now` is the time of the step.

    Attributes:
        now: simulated ms, from 0; only `advance` changes it.
        zones: name -> Zone, the true state.
        truth: counters of true events.

    Example:
        portal = Portal(build_two_zones(), seed=1)
        session = portal.launch("East")
        portal.advance(60_000)
    """

    def __init__(
        self, settings: SystemSettings, *, seed: int = 0, listener: Listener = _ignore
    ) -> None:
        self.settings = settings
        self.listener = listener
        self.now = 0
        self.truth = Truth()
        self.zones = {
            one.name: Zone(one, lag_ms=settings.lag_ms, hunting=settings.hunting)
            for one in settings.zones
        }
        self.default_zone = settings.default_zone or settings.zones[0].name
        self.hops: list[int] = [0, 0, 0, 0]  # calls placed, MPPs tried in total, most, fewest
        # One random stream each: more queries do not change the course of the calls.
        self._calls_random = Random(f"{seed} calls")
        self._lag_random = Random(f"{seed} lag")
        self._heap: list[tuple[int, int, Step, Any]] = []
        self._order = 0
        self._sessions = 0
        self._live: dict[str, Call] = {}
        self._foreign = ForeignCalls(
            after=self._after,
            clock=lambda: self.now,
            random=Random(f"{seed} foreign"),
            truth=self.truth,
        )
        for zone in settings.zones:
            for use in zone.foreign:
                self.set_foreign(zone.name, use)

    # -- time

    @property
    def next_at(self) -> int | None:
        """Time of the next event (simulated ms), None without any."""
        return self._heap[0][0] if self._heap else None

    def advance(self, now: int) -> None:
        """Process all events up to `now` (simulated ms)."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            self.now, _, step, subject = heappop(heap)
            step(subject)
        self.now = max(self.now, now)

    def _after(self, delay_ms: int, step: Step, subject: object) -> None:
        self._order += 1
        heappush(self._heap, (self.now + delay_ms, self._order, step, subject))

    @property
    def live_calls(self) -> int:
        """Number of outbound calls that were launched and have not ended."""
        return len(self._live)

    # -- operations of a dialer

    def query(self, zone: str = "") -> Counts:
        """Return the counts of a zone as they were up to `lag_ms` ago (QueryResources).

        Raises:
            KeyError: the zone is unknown.
        """
        return self.zones[zone or self.default_zone].counts(self.now, self._lag_random)

    def launch(
        self,
        zone: str = "",
        *,
        campaign: str = "",
        application: str = "",
        mpp: str | None = None,
        channels: tuple[str, ...] = CHANNELS,
        timing: CallTiming | None = None,
        connect_timeout_ms: int = 120_000,
    ) -> str:
        """Start a call; the listener is notified of its steps.

        Args:
            mpp: the only MPP that it may use; None: as `application_mpps` of the settings.
            channels: the channels it may take, in the order in which it tries them.
            timing: of this call; None: that of the settings.
            connect_timeout_ms: ringing ends after this time.

        Returns:
            The session id.

        Raises:
            KeyError: the zone or the MPP is unknown.
        """
        zone_state = self.zones[zone or self.default_zone]
        tied = mpp or self.settings.application_mpps.get(application)
        self._sessions += 1
        call = Call(
            session=f"{zone_state.name}-{self._sessions:06d}",
            zone=zone_state,
            channels=channels,
            timing=timing or self.settings.timing,
            bound=zone_state.mpps[tied] if tied else None,
            campaign=campaign,
            application=application,
            connect_timeout_ms=connect_timeout_ms,
        )
        if call.bound is None and self.settings.hunt_at == "launch":
            call.bound = next(iter(zone_state.hunt()), None)
        self._live[call.session] = call
        zone_state.preparing += 1
        self.truth.count_launch(call)
        self._after(call.timing.prepare.draw(self._calls_random), self._claim, call)
        return call.session

    def hang_up(self, session: str) -> bool:
        """End a call: `completed` if it was answered, else `abandoned`. False: it had ended."""
        call = self._live.get(session)
        if call is None:
            return False
        self._end(call, Outcome.COMPLETED if call.answered else Outcome.ABANDONED)
        return True

    # -- changes by the test

    def set_foreign(self, zone: str, use: ForeignUse) -> None:
        """Start a stream of foreign calls in a zone, or replace the one of that name.

        Raises:
            KeyError: the zone is unknown.
            ValueError: there are too many streams.
        """
        self._foreign.set(self.zones[zone], use)

    def foreign(self, zone: str, name: str = "inbound") -> ForeignUse:
        """Return the stream of that name; one without calls if there is none."""
        return self._foreign.get(self.zones[zone], name)

    def occupy(self, zone: str, calls: int, *, hold: Delay, name: str = "inbound") -> int:
        """Begin foreign calls at once. Returns the number of those that found a port."""
        return self._foreign.occupy(self.zones[zone], calls, hold=hold, name=name)

    def fail_mpp(self, zone: str, mpp: str) -> int:
        """Fail an MPP with its ports and calls. Returns the number of its outbound calls."""
        zone_state = self.zones[zone]
        victims = zone_state.fail(zone_state.mpps[mpp], self.now)
        outbound = [call for call in victims if not call.foreign and not call.over]
        for call in outbound:
            self._end(call, Outcome.FAILED)
        return len(outbound)

    def restore_mpp(self, zone: str, mpp: str) -> None:
        """Restore a failed MPP with all its ports free."""
        zone_state = self.zones[zone]
        zone_state.restore(zone_state.mpps[mpp], self.now)

    def truth_json(self) -> dict[str, Any]:
        """The whole true state as JSON values."""
        return truth_json(self.truth, self.zones, self.now)

    # -- steps of an outbound call

    def _claim(self, call: Call) -> None:
        call.zone.preparing -= 1
        if call.over:
            return
        lost = call.bound is not None and not call.bound.running
        if lost or self._calls_random.random() < call.timing.page_fails:
            self._end(call, Outcome.FAILED)
        elif hops := call.zone.claim(call, self._servers(call), self.now):
            self._count_hops(hops)
            self._ring(call)
        else:
            self.truth.count_over_launch(call, self.now)
            self._end(call, Outcome.NO_RESOURCE)

    def _servers(self, call: Call) -> list[Mpp]:
        return [call.bound] if call.bound else call.zone.hunt()

    def _ring(self, call: Call) -> None:
        self._notify(call, Progress.PORT_TAKEN)
        if call.over:  # the listener hung up
            return
        timing, random = call.timing, self._calls_random
        draw = random.random()
        ring_limit_ms = min(timing.ring_at_most_ms, call.connect_timeout_ms)
        rings_ms, step = ring_limit_ms, self._not_answered
        if draw < timing.answered:
            rings_ms, step = timing.answer_after.draw(random), self._answer
        elif draw < timing.answered + timing.busy:
            rings_ms, step = timing.busy_after.draw(random), self._busy
        if rings_ms > ring_limit_ms:
            rings_ms, step = ring_limit_ms, self._not_answered
        self._after(rings_ms, step, call)

    def _answer(self, call: Call) -> None:
        if call.over:
            return
        call.answered = True
        self._notify(call, Progress.ANSWERED)
        self._after(call.timing.talk.draw(self._calls_random), self._complete, call)

    def _complete(self, call: Call) -> None:
        self._end(call, Outcome.COMPLETED)

    def _busy(self, call: Call) -> None:
        self._end(call, Outcome.BUSY)

    def _not_answered(self, call: Call) -> None:
        self._end(call, Outcome.NO_ANSWER)

    def _end(self, call: Call, outcome: Outcome) -> None:
        if call.over:
            return
        call.over = True
        del self._live[call.session]
        self.truth.count_end(call, outcome)
        self._free_later(call)
        self._notify(call, Progress.ENDED, outcome)

    def _free_later(self, call: Call) -> None:
        delay_ms = call.timing.release.draw(self._calls_random)
        if delay_ms:
            self._after(delay_ms, self._release, call)
        else:
            self._release(call)

    def _release(self, call: Call) -> None:
        call.zone.release(call, self.now)

    def _notify(self, call: Call, step: Progress, outcome: Outcome | None = None) -> None:
        self.listener(
            CallEvent(
                at=self.now,
                session=call.session,
                step=step,
                zone=call.zone.name,
                campaign=call.campaign,
                application=call.application,
                outcome=outcome,
                mpp=call.mpp.name if call.mpp else None,
                channel=call.channel,
            )
        )

    def _count_hops(self, hops: int) -> None:
        calls, tried, most, fewest = self.hops
        self.hops = [calls + 1, tried + hops, max(most, hops), min(fewest or hops, hops)]
