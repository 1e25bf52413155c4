"""Dialers with unmet demand: each wants to launch one call more, and reports each call."""

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from admission.domain.outcomes import Outcome
from admission.sim.experience_portal.virtual_time import Loop
from admission.sim.values import CallEvent, Progress
from benchmarks.race.contestant import Contestant
from benchmarks.race.scenarios import EVENT_MS, LAUNCH_MS, NOTICE_MS, REPORT_MS, Scenario

PAUSE_MS: Final = 25  # between two launches of a dialer
PATIENCE_MS: Final = 250  # a denied dialer asks again after this, or when something happened
RESTART_MS: Final = 5_000
RENEW_MS: Final = 20_000


@dataclass(slots=True, eq=False)
class Call:
    """A granted call. `life`: of its dialer; a dialer that crashed has lost its calls."""

    name: str
    dialer: int
    life: int
    over: bool = False


class Launcher(Protocol):
    """The simulation, as the dialers use it."""

    def denied(self) -> None:
        """A dialer was denied."""

    def granted(self, call: Call) -> None:
        """A call is granted: it will take a port."""

    def launch(self, call: Call) -> None:
        """Launch a call on the platform."""

    def forgotten(self, call: Call) -> None:
        """A granted call will never be launched: its dialer crashed."""


class DialerGroup:
    """All dialers of one simulation.

    Args:
        contestant: decides before each launch.
        launcher: launches calls.
    """

    def __init__(
        self,
        scenario: Scenario,
        loop: Loop,
        random: Random,
        contestant: Contestant,
        launcher: Launcher,
    ) -> None:
        self._scenario = scenario
        self._loop = loop
        self._random = random
        self._contestant = contestant
        self._launcher = launcher
        self._lives = [0] * scenario.dialers
        self._waiting: deque[int] = deque(range(scenario.dialers))
        self._woken = False
        self._retry_regularly()
        if scenario.crash_ms:
            self._await_crash()

    # -- asking

    def wake(self) -> None:
        """Let denied dialers ask again, because the state has changed."""
        if not self._woken and self._waiting:
            self._woken = True
            self._loop.after(2, self._ask_again)

    def _retry_regularly(self) -> None:
        self.wake()
        self._loop.after(PATIENCE_MS, self._retry_regularly)

    def _ask_again(self) -> None:
        """Ask for each waiting dialer; with a common view, the first denial holds for all."""
        self._woken = False
        for _ in range(len(self._waiting)):
            if not self._ask(self._waiting.popleft()) and not self._contestant.own_views:
                break

    def _ask(self, dialer: int) -> bool:
        name = self._contestant.ask(dialer)
        if name is None:
            self._waiting.append(dialer)
            self._launcher.denied()
            return False
        call = Call(name, dialer, self._lives[dialer])
        self._launcher.granted(call)
        self._loop.after(LAUNCH_MS.draw(self._random), self._launch, call)
        self._loop.after(PAUSE_MS, self._ask_next, dialer, call.life)
        return True

    def _ask_next(self, dialer: int, life: int) -> None:
        if life == self._lives[dialer]:
            self._ask(dialer)

    # -- launching and reporting

    def _is_known(self, call: Call) -> bool:
        return call.life == self._lives[call.dialer]

    def _launch(self, call: Call) -> None:
        if not self._is_known(call):
            self._launcher.forgotten(call)
            return
        self._launcher.launch(call)
        self._report(call, self._contestant.launched, call.name)
        if self._contestant.renews:
            self._loop.after(RENEW_MS, self._renew, call)

    def _report(self, call: Call, report: object, *args: object) -> None:
        self._loop.after(REPORT_MS.draw(self._random), self._deliver, report, *args)

    def _deliver(self, report: object, *args: object) -> None:
        report(*args)  # type: ignore[operator]
        self.wake()

    def _renew(self, call: Call) -> None:
        if self._is_known(call) and not call.over:
            self._contestant.renew(call.name)
            self._loop.after(RENEW_MS, self._renew, call)

    def observe(self, call: Call, event: CallEvent) -> None:
        """Take an event of the platform; the dialer learns of it a little later."""
        if event.step is Progress.ENDED:
            call.over = True
            self._loop.after(NOTICE_MS.draw(self._random), self._learn_end, call, event.outcome)
        elif event.step is Progress.ANSWERED:
            self._loop.after(NOTICE_MS.draw(self._random), self._learn_ringing, call)
        elif self._scenario.launches == "ccxml":
            self._loop.after(EVENT_MS.draw(self._random), self._learn_ringing, call)

    def _learn_ringing(self, call: Call) -> None:
        if self._is_known(call):
            self._report(call, self._contestant.rings, call.name)

    def _learn_end(self, call: Call, outcome: Outcome) -> None:
        if self._is_known(call) and self._random.random() >= self._scenario.lost_ends:
            self._report(call, self._contestant.ended, call.name, outcome, self._loop.now)

    # -- crashing

    def _await_crash(self) -> None:
        gap_ms = self._random.expovariate(1 / self._scenario.crash_ms)
        self._loop.after(1 + round(gap_ms), self._crash)

    def _crash(self) -> None:
        self._await_crash()
        dialer = self._random.randrange(len(self._lives))
        self._lives[dialer] += 1
        if dialer in self._waiting:
            self._waiting.remove(dialer)
        self._loop.after(RESTART_MS, self._restart, dialer, self._lives[dialer])

    def _restart(self, dialer: int, life: int) -> None:
        if life == self._lives[dialer]:
            self._waiting.append(dialer)
            self.wake()
