"""The reports of a dialer, and when it reports an end: late, twice, or not at all."""

from typing import TYPE_CHECKING, Any, Final

from admission.domain.outcomes import Outcome
from tests.support.simulation.controller import Op

if TYPE_CHECKING:
    from tests.support.simulation.dialer import Call, Dialer

TRIES_MAX: Final = 4


class Reports:
    """The reports of one dialer in one life.

    Every answer brings the zone's time. A later moment is that, plus what the stopwatch counted
    since the answer arrived: never later than the moment meant.
    """

    def __init__(self, dialer: "Dialer") -> None:
        self._dialer = dialer
        self._last_answer: tuple[int, float, int] | None = None
        random = dialer.random
        self._taken_reported = random.choice([0.0, 0.5, 1.0])
        self._end_dated = random.choice([0.5, 1.0])
        self._retries = random.random() < 0.7
        self._restates = random.random() < 0.6
        self._renews = random.random() < 0.5

    def note_time(self, now: int, answered_at: int) -> None:
        """An answer with that zone time arrived."""
        self._last_answer = (now, self._dialer.stopwatch(), answered_at)

    # -- the reports

    def launched(self, call: "Call", *, port_taken: bool) -> None:
        """Report the launch; with `port_taken`: that it has its port."""
        op: Op = {"op": "launched", "id": call.id, "port_taken": port_taken}
        if port_taken and call.mpp:
            op["mpp"] = call.mpp
        self._send(op | self._restated(call))

    def follow(self, call: "Call") -> None:
        """Report the taken port now, later or never; report later that the call is still up."""
        random = self._dialer.random
        if random.random() < self._taken_reported:
            late_ms = random.choice([0, 0, 50, 1_500])
            self._dialer.later(random.randint(0, late_ms), self._report_taken, call)
        if self._renews:
            self._dialer.later(random.randint(1_000, 6_000), self._renew, call)

    def ended(self, call: "Call", outcome: Outcome) -> None:
        """The dialer learns of an end now, and reports it now, later, or never."""
        op = self._end(call, outcome)
        chance = self._dialer.random.random()
        if chance < 0.04:
            return
        late_ms = 4_000 if chance < 0.2 else 0
        self._dialer.later(self._dialer.random.randint(0, late_ms), self._send, op)

    def not_launched(self, call: "Call") -> None:
        """It will never be launched."""
        if self._dialer.random.random() < 0.8:
            self._send(self._end(call, Outcome.NOT_LAUNCHED))

    def unknown(self, call: "Call") -> None:
        """The dialer gave up waiting; the launch may still happen."""
        self._send(self._end(call, Outcome.UNKNOWN))

    # -- sending

    def _report_taken(self, call: "Call") -> None:
        self.launched(call, port_taken=True)

    def _renew(self, call: "Call") -> None:
        if call.over:
            return
        self._send({"op": "renew", "id": call.id} | self._restated(call))
        self._dialer.later(self._dialer.random.randint(1_000, 6_000), self._renew, call)

    def _restated(self, call: "Call") -> Op:
        if not self._restates:
            return {}
        kept = {"campaign": call.op["campaign"], "channel": call.channel, "pools": call.op["pools"]}
        return {"adopt": kept | ({"mpp": call.mpp} if call.mpp else {})}

    def _end(self, call: "Call", outcome: Outcome) -> Op:
        op: Op = {"op": "end", "id": call.id, "outcome": outcome.value}
        if self._dialer.random.random() < self._end_dated and self._may_date():
            op["ended_at"] = self._zone_time()
        return op

    def _may_date(self) -> bool:
        last = self._last_answer
        return last is not None and last[2] > self._dialer.launcher.distrusts_before

    def _zone_time(self) -> int:
        assert self._last_answer is not None
        now, stopwatch, _ = self._last_answer
        return now + int(self._dialer.stopwatch() - stopwatch)

    def _send(self, op: Op, tries: int = 1) -> None:
        state = {"answered": False}
        self._dialer.send(op, self._answered, state)
        if self._retries and tries < TRIES_MAX:
            wait_ms = self._dialer.random.randint(50, 1_000)
            self._dialer.later(wait_ms, self._send_again, op, state, tries)

    def _send_again(self, op: Op, state: dict[str, bool], tries: int) -> None:
        if not state["answered"]:
            self._send(op, tries + 1)

    def _answered(self, state: dict[str, bool], result: dict[str, Any], _now: int) -> None:
        state["answered"] = True
        assert result.get("error") in {None, "unknown_reservation"}, result
