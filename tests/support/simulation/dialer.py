"""A dialer: it wants many calls, keeps times by its own stopwatch, and may crash."""

from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final, Protocol

from admission.domain.outcomes import Outcome
from admission.sim.experience_portal.virtual_time import Loop
from admission.sim.values import CallEvent, Progress
from tests.support.simulation.controller import Controller, Op
from tests.support.simulation.dialer_reports import Reports
from tests.support.simulation.network import Network
from tests.support.simulation.parameters import SLOW_APPLICATION, Parameters

DRIFT_MAX: Final = 1 / 2000
TRIES_MAX: Final = 3


@dataclass(slots=True, eq=False)
class Request:
    """One admission request, repeated under the same id until it is answered."""

    op: Op
    tries: int = 0
    done: bool = False
    known: set[str] = field(default_factory=set)


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """A granted reservation and what became of it.

    Args:
        life: of its dialer; one that crashed knows nothing of it.
        forgotten: its dialer gave up on it, alive.
    """

    id: str
    dialer: "Dialer"
    life: int
    op: Op
    channel: str
    mpp: str | None
    session: str = ""
    taken: bool = False
    over: bool = False
    forgotten: bool = False


class Launcher(Protocol):
    """Passes launches on to the platform, and knows the truth."""

    closing: bool

    @property
    def distrusts_before(self) -> int:
        """The end of a call is not dated with an answer from before that moment."""

    def launch(self, call: Call) -> None:
        """Start it now."""

    def hang_up(self, call: Call) -> None:
        """End it now."""

    def note(self, *what: object) -> None:
        """Append it to the event log."""


class Dialer:
    """Asks, launches what it was granted within its stopwatch, and asks again.

    Args:
        network: from and to the controller.
        launcher: passes its launches on to the platform.
    """

    def __init__(
        self,
        name: str,
        loop: Loop,
        random: Random,
        controller: Controller,
        network: Network,
        parameters: Parameters,
        launcher: Launcher,
    ) -> None:
        self.name = name
        self.life = 0
        self.loop = loop
        self.random = random
        self.controller = controller
        self.network = network
        self.parameters = parameters
        self.launcher = launcher
        self._epoch = random.uniform(-1e9, 1e9)
        self._pace = 1 + random.uniform(-DRIFT_MAX, DRIFT_MAX)
        self._asked = 0
        self.reports = Reports(self)

    # -- time and mortality

    def stopwatch(self) -> float:
        """Ms of its own clock, with any origin."""
        return self._epoch + self.loop.now * self._pace

    def later(self, delay_ms: int, what: Any, *args: Any) -> None:
        """Do something later, if it lives until then."""
        self.loop.after(delay_ms, self._if_alive, self.life, what, args)

    def send(self, op: Op, what: Any, *args: Any) -> None:
        """Send an operation; what(*args, result, now) when an answer arrives, if it lives then."""
        answered = partial(self._answer, self.life, what, args)
        self.network.carry(self.controller.receive, op, answered)

    def _answer(self, life: int, what: Any, args: Any, result: dict[str, Any], now: int) -> None:
        received = partial(self._receive, what, self.loop.now)
        self.network.carry(self._if_alive, life, received, (*args, result, now))

    def _receive(self, what: Any, answered_at: int, *args: Any) -> None:
        self.reports.note_time(args[-1], answered_at)
        what(*args)

    def _if_alive(self, life: int, what: Any, args: tuple[Any, ...]) -> None:
        if life == self.life:
            what(*args)

    def crash(self) -> None:
        """Forget everything and start again; the calls go on."""
        self.life += 1
        self.launcher.note(self.name, "crashed")
        self.reports = Reports(self)
        self.later(self.random.randint(0, 2_000), self.ask)

    # -- asking

    def ask(self) -> None:
        """Ask for the next calls."""
        if not self.launcher.closing:
            self._send(Request(self._make_request()))

    def _make_request(self) -> Op:
        self._asked += 1
        random, drawn = self.random, self.parameters
        count = random.randint(1, drawn.count_max)
        op: Op = {
            "op": "admit",
            "request_id": f"{self.name}-{self._asked}",
            "campaign": f"c{random.randint(1, drawn.campaigns)}",
            "channel": random.choice((*drawn.channels, "any")),
            "count": count,
            "min_count": random.choice([1, 1, 1, count]),
            "pools": [],
            "owner": self.name,
            "body": "b",
        }
        if random.random() < 0.2:
            op["application"] = SLOW_APPLICATION
        return op

    def _send(self, request: Request) -> None:
        request.tries += 1
        self.send(request.op, self._decided, request, self.stopwatch())
        self.later(self.random.randint(30, 400), self._ask_again, request)

    def _ask_again(self, request: Request) -> None:
        if request.done:
            return
        if request.tries < TRIES_MAX:
            self._send(request)
        else:
            request.done = True
            self._ask_in(self.parameters.asks_ms)

    def _ask_in(self, about_ms: int) -> None:
        self.later(self.random.randint(about_ms // 2, about_ms * 3 // 2), self.ask)

    def _decided(self, request: Request, sent: float, result: dict[str, Any], _now: int) -> None:
        assert "error" not in result, result
        new = [one for one in result["reservations"] if one["id"] not in request.known]
        request.known |= {one["id"] for one in new}
        calls = [
            self._call(request, result, one)
            for one in new
            if "state" not in one or one["state"] == "live"
        ]
        if request.done:  # an earlier answer was enough
            for call in calls:
                self.reports.not_launched(call)
            return
        request.done = True
        self._ask_in(20 if result["decision"] == "grant" else self.parameters.asks_ms)
        for call in calls:
            self._plan(call, sent, result["launch_within_ms"])

    def _call(self, request: Request, result: dict[str, Any], one: dict[str, Any]) -> Call:
        return Call(
            id=one["id"],
            dialer=self,
            life=self.life,
            op=request.op,
            channel=result["channel"],
            mpp=one.get("mpp"),
        )

    # -- launching

    def _plan(self, call: Call, sent: float, within_ms: int) -> None:
        """Decide when to launch: mostly at once, sometimes at the last moment, or never."""
        left = int(within_ms - (self.stopwatch() - sent))
        chance = self.random.random()
        if within_ms <= 0 or left < 0:
            self.reports.not_launched(call)
        elif chance < 0.03:
            pass  # lost inside the dialer
        elif chance < 0.07:
            self.later(self.random.randint(0, 4_000), self.reports.not_launched, call)
        else:
            late = left if chance < 0.2 else self.random.randint(0, left)
            self.later(
                min(left, self.random.randint(0, 20)) if chance < 0.7 else late,
                self._launch,
                call,
                sent,
                within_ms,
            )

    def _launch(self, call: Call, sent: float, within_ms: int) -> None:
        if self.stopwatch() - sent > within_ms:
            self.reports.not_launched(call)
            return
        self.launcher.launch(call)
        chance = self.random.random()
        if chance < 0.03:
            call.forgotten = True
            self.later(self.random.randint(0, 600), self.reports.unknown, call)
        elif chance < 0.3:
            self.reports.launched(call, port_taken=False)
        elif chance < 0.34:
            self.later(self.random.randint(0, 3_000), self.launcher.hang_up, call)

    def receive_event(self, call: Call, event: CallEvent) -> None:
        """The platform reports a step of a call."""
        if call.life != self.life or call.forgotten:
            return
        random = self.random
        if event.step is Progress.PORT_TAKEN:
            call.mpp = event.mpp
            self.reports.follow(call)
        elif event.step is Progress.ENDED:
            outcome = event.outcome or Outcome.FAILED
            notice_ms = random.randint(0, self.parameters.end_notice_ms)
            # The dialer may learn of a failed launch much later than of an ended call.
            failed = not call.taken and outcome is not Outcome.ABANDONED
            late_ms = random.choice([0, random.randint(0, 5_000)]) if failed else 0
            self.later(notice_ms + late_ms, self.reports.ended, call, outcome)
