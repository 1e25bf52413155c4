"""A run on a Huawei call centre: two sources, calls that take several licences, agents of one call.

A voice call takes a voice licence, an IVR call one of each, an agent-bound call its agent too.
"""

from random import Random
from typing import Any, Final

from admission.domain.outcomes import Outcome
from admission.sim.huawei.call_center import CallCenter
from admission.sim.huawei.values import CenterEvent
from admission.sim.values import Progress
from tests.support.simulation.controller import Op
from tests.support.simulation.dialer import Call, Dialer
from tests.support.simulation.foreign_calls import GAP_MS, HOLD, Foreign
from tests.support.simulation.huawei_parameters import CenterParameters, draw_center
from tests.support.simulation.parameters import SLOW_APPLICATION
from tests.support.simulation.poller import WRONG_COUNTS, Poller
from tests.support.simulation.simulation import OverLaunchError, Simulation

BOUND_PART: Final = 0.4  # of the calls, those that are bound to an agent


def pool_of(unit: str) -> str:
    """The pool in which a unit is counted."""
    return unit if unit.startswith("agent:") else f"channel:{unit}"


class CmsPoller(Poller):
    """Counts the licences, with a total of its own for each channel."""

    def _groups(self) -> list[dict[str, Any]]:
        center = self._loop.platform()
        used, capacity = center.used(), center.counters.capacity
        unused = {unit: capacity[unit] - used[unit] for unit in ("voice", "ivr")}
        if self._random.random() < self._unreliable:
            unused["voice"] = self._random.choice(WRONG_COUNTS)
        return [
            {"total": capacity[unit], "unused": {pool_of(unit): n}} for unit, n in unused.items()
        ]


class AgentsPoller(Poller):
    """Counts the agents' calls; some agents cannot be counted."""

    def _interval_ms(self) -> int:
        return int(self._parameters.agents_poll_ms)

    def _groups(self) -> list[dict[str, Any]]:
        used = self._loop.platform().used()
        counted = [unit for unit in used if unit.startswith("agent:")]
        seen = [unit for unit in counted if self._random.random() >= self._unreliable]
        return [{"total": 1, "unused": {unit: max(0, 1 - used[unit])}} for unit in seen]


class CenterForeign(Foreign):
    """Foreign calls: of a voice licence, of both, or of an agent."""

    def arrive(self) -> None:
        """A foreign call begins now, and another later."""
        self._loop.after(1 + round(self._random.expovariate(1 / GAP_MS)), self.arrive)
        center = self._loop.platform()
        agents = [unit for unit in center.counters.free if unit.startswith("agent:")]
        kinds = [("voice",), ("voice", "ivr"), ("voice", self._random.choice(agents))]
        units = self._random.choice(kinds)
        if self._gated and not all(map(self._is_safe, units)):
            return
        if center.others.occupy(units, HOLD.draw(self._random)):
            self._growth.note(self._loop.now, matters=self._gated)

    def _is_safe(self, unit: str) -> bool:
        """Whether enough of it is left for what our own calls may still take."""
        center = self._loop.platform()
        free = center.counters.free[unit]
        if not free or self._controller.awaits_ingest():
            return False
        ours = self._truth.ours(unit)
        in_use, ceiling = self._controller.stored_counts(pool_of(unit))
        given_up = len(ours) - self._controller.stored_live(ours)
        return bool(free + center.holding(unit) - 1 >= max(in_use, ceiling) + given_up)


class CenterDialer(Dialer):
    """Asks for IVR calls, voice calls, and calls that are bound to an agent."""

    def _make_request(self) -> Op:
        self._asked += 1
        random, drawn = self.random, self.parameters
        bound = random.random() < BOUND_PART
        count = 1 if bound else random.randint(1, drawn.count_max)
        op: Op = {
            "op": "admit",
            "request_id": f"{self.name}-{self._asked}",
            "campaign": f"c{random.randint(1, drawn.campaigns)}",
            "channel": "voice" if bound else random.choice(["voice", "ivr"]),
            "count": count,
            "min_count": random.choice([1, 1, count]),
            "pools": [f"agent:{random.choice(drawn.agents)}"] if bound else [],
            "owner": self.name,
            "body": "b",
        }
        return op | ({"application": SLOW_APPLICATION} if random.random() < 0.2 else {})


class CenterSimulation(Simulation):
    """One run with a call centre."""

    parameters: CenterParameters

    def utilisation(self) -> float:
        """Time of voice licences used by us ÷ time there was: foreign use is not subtracted."""
        return self._voice_ms / max(1, self.loop.now * self.parameters.licences["voice"])

    def _draw(self, seed: int) -> CenterParameters:
        return draw_center(self.scenario, seed)

    def _open(self, seed: int) -> CallCenter:
        self._voice_ms = 0
        self._taken_at: dict[str, int] = {}
        return CallCenter(self.parameters.center(), seed=seed, listener=self._receive_center_event)

    def _dialer(self, name: str) -> Dialer:
        network = self._network(f"{name} network")
        random: Random = self._stream(name)
        return CenterDialer(
            name, self.loop, random, self.controller, network, self.parameters, self
        )

    def _poll(self) -> None:
        self._poller(CmsPoller, "cms").tick()
        self._poller(AgentsPoller, "agents").tick()

    def _foreign(self) -> Foreign:
        return CenterForeign(
            self.loop,
            self._stream("foreign"),
            self.controller,
            self.truth,
            self.growth,
            self.parameters.channels,
            gated=self.scenario.foreign == "gated",
        )

    def _units(self, op: Op, channel: str) -> tuple[str, ...]:
        agents = [pool for pool in op["pools"] if pool.startswith("agent:")]
        return (*self.parameters.center().units(channel), *agents)

    def _start(self, call: Call, claim_ms: int) -> str:
        agents = [pool for pool in call.op["pools"] if pool.startswith("agent:")]
        session: str = self.loop.platform().launch(
            call.channel,
            agent=int(agents[0].partition(":")[2]) if agents else None,
            campaign=call.op["campaign"],
            timing=self.parameters.call_timing(claim_ms),
        )
        return session

    def _receive_center_event(self, event: CenterEvent) -> None:
        if event.step is Progress.PORT_TAKEN:
            self._taken_at[event.session] = event.at
        if event.step is Progress.ENDED:
            self._voice_ms += event.at - self._taken_at.pop(event.session, event.at)
            # It had a port, though its agent was never counted: its dialer knows of the end.
            if event.outcome in (Outcome.NO_ANSWER, Outcome.BUSY):
                self._calls[event.session].taken = True
        self._receive_platform_event(event)

    def _found_no_port(self, call: Call) -> None:
        self.truth.over_launches += 1
        raise OverLaunchError(f"{call.id} found no room at {self.loop.now}")
