"""Platform, controller, network, pollers and dialers of one run, and the truth of what happened."""

from collections import deque
from random import Random
from typing import Any, Final

import redis

from admission.domain.outcomes import Outcome
from admission.ledger.store.connection import Script
from admission.sim.experience_portal.platform import Portal
from admission.sim.experience_portal.virtual_time import Loop
from admission.sim.values import CallEvent, Progress
from tests.support.simulation.checks import check_counts
from tests.support.simulation.controller import Controller, Op
from tests.support.simulation.dialer import Call, Dialer
from tests.support.simulation.failures import Failures
from tests.support.simulation.foreign_calls import Foreign, Growth
from tests.support.simulation.network import Network
from tests.support.simulation.parameters import SLOW_APPLICATION, ZONE, draw
from tests.support.simulation.poller import Poller
from tests.support.simulation.scenarios import Scenario
from tests.support.simulation.truth import LATE_MS, Grant, Truth

EVENTS_MAX: Final = 80
CHECK_EVERY_MS: Final = 10_000


class OverLaunchError(AssertionError):
    """A granted call found no free port in the whole zone."""


class LateLaunchError(AssertionError):
    """A dialer was allowed to launch when it may not."""


class Simulation:
    """One run.

    Args:
        client: of a Redis for this run alone.

    Attributes:
        closing: dialers make no more requests.
        distrusts_before: the zone time of older answers dates no end of a call (simulated ms).
        event_log: the last events: simulated ms, and words.
    """

    def __init__(self, scenario: Scenario, seed: int, client: redis.Redis, script: Script) -> None:
        self.scenario = scenario
        self.parameters = drawn = self._draw(seed)
        self.closing = False
        self.event_log: deque[tuple[object, ...]] = deque(maxlen=EVENTS_MAX)
        self.truth = Truth()
        self._seed = f"{seed} {scenario.name}"
        self._random = self._stream("world")
        self.portal = self._open(seed)
        self.loop = Loop(self.portal, self._stream("order"))
        self.controller = Controller(
            self.loop, self._stream("controller"), client, script, drawn.parsed()
        )
        self.controller.on_result = self._decided
        self._calls: dict[str, Call] = {}
        self.dialers = [self._dialer(f"d{n}") for n in range(drawn.dialers)]
        self.growth = Growth()
        self.failures = Failures(
            scenario,
            self.loop,
            self._stream("troubles"),
            self.controller,
            self.dialers,
            drawn,
            self.note,
        )
        self._begin()

    @property
    def distrusts_before(self) -> int:
        """See the class."""
        return -1 if self.scenario.clock == "wild" else self.failures.stepped_at

    def note(self, *what: object) -> None:
        """Append it to the event log."""
        self.event_log.append((self.loop.now, *what))

    def utilisation(self) -> float:
        """Ports used by reservations ÷ ports that foreign calls left, until now."""
        zone = self.portal.zones[ZONE]
        zone.account(self.loop.now)
        left = zone.port_ms["available"] - zone.port_ms["foreign"]
        return zone.port_ms["outbound"] / max(1, left)

    # -- composition; a subclass for another platform replaces parts of it

    def _draw(self, seed: int) -> Any:
        return draw(self.scenario, seed)

    def _open(self, seed: int) -> Any:
        return Portal(self.parameters.platform(), seed=seed, listener=self._receive_platform_event)

    def _stream(self, name: str) -> Random:
        return Random(f"{self._seed} {name}")

    def _network(self, name: str, share: float = 1.0) -> Network:
        drawn = self.parameters
        return Network(
            self.loop,
            self._stream(name),
            loss=drawn.loss * share,
            double=drawn.double,
            slow=drawn.slow * share,
        )

    def _dialer(self, name: str) -> Dialer:
        return Dialer(
            name,
            self.loop,
            self._stream(name),
            self.controller,
            self._network(f"{name} network"),
            self.parameters,
            self,
        )

    def _begin(self) -> None:
        self._poll()
        foreign = self._foreign()
        if self.scenario.foreign != "none":
            foreign.arrive()
        for dialer in self.dialers:
            dialer.later(self._random.randint(0, 1_000), dialer.ask)
        self.failures.begin()
        self._check()

    def _poll(self) -> None:
        self._poller(Poller, "poller").tick()

    def _poller(self, kind: type[Poller], name: str) -> Poller:
        return kind(
            self.loop,
            self._stream(name),
            self.controller,
            self._network(f"{name} network", 0.5),
            self.growth,
            self.parameters,
            unreliable=0.03 if self.scenario.rough else 0,
        )

    def _foreign(self) -> Foreign:
        return Foreign(
            self.loop,
            self._stream("foreign"),
            self.controller,
            self.truth,
            self.growth,
            self.parameters.channels,
            gated=self.scenario.foreign == "gated",
        )

    def _check(self) -> None:
        self.loop.after(CHECK_EVERY_MS, self._check)
        self.truth.forget(self.loop.now)
        if not self.controller.is_cut_off:
            check_counts(self.controller)

    # -- events

    def _decided(self, op: Op, result: dict[str, Any], now: int) -> None:
        """The ledger applied an operation."""
        self.note("ledger", now, op, result)
        if op["op"] != "admit" or result.get("repeated"):
            return
        self.truth.denied += result["decision"] == "deny"
        for one in result["reservations"]:
            self.truth.granted(one["id"], self._grant(op, result))

    def _grant(self, op: Op, result: dict[str, Any]) -> Grant:
        claim_ms = self._claim_within(op) + self.parameters.policy["launch_within_ms"]
        late_ms = 0 if self.scenario.clock == "steady" else LATE_MS
        age_ms = result["snapshot"]["age_ms"] + self.parameters.lag_ms
        now = self.loop.now
        return Grant(
            channel=result["channel"],
            at=now,
            claim_by=now + claim_ms + late_ms,
            snapshot_after=now - age_ms,
            units=self._units(op, result["channel"]),
        )

    def _units(self, _op: Op, channel: str) -> tuple[str, ...]:
        return (channel,)

    def _claim_within(self, op: Op) -> int:
        drawn = self.parameters
        return drawn.slow_claim_ms if op.get("application") == SLOW_APPLICATION else drawn.claim_ms

    # -- launches

    def launch(self, call: Call) -> None:
        """Start it now: the platform takes its port soon, or at the last moment."""
        grant = self.truth.grants[call.id]
        self.truth.launches += 1
        longest = self._claim_within(call.op)
        claim_ms = longest if self._random.random() < 0.2 else self._random.randint(0, longest)
        if self.loop.now + longest > grant.claim_by:
            raise LateLaunchError(
                f"{call.id} was launched {self.loop.now - grant.at} ms after its grant"
            )
        call.session = self._start(call, claim_ms)
        self._calls[call.session] = call
        self.note("launch", call.id, call.session, "claims in", claim_ms)

    def _start(self, call: Call, claim_ms: int) -> str:
        session: str = self.loop.platform().launch(
            ZONE,
            campaign=call.op["campaign"],
            mpp=call.mpp,
            channels=(call.channel,),
            timing=self.parameters.timing(claim_ms),
        )
        return session

    def hang_up(self, call: Call) -> None:
        """End it now, if it is not over."""
        self.loop.platform().hang_up(call.session)

    def _receive_platform_event(self, event: CallEvent) -> None:
        call = self._calls[event.session]
        self.note("platform", event.step.value, event.outcome, call.id, event.mpp)
        if event.step is Progress.PORT_TAKEN:
            call.taken = True
            self.truth.claimed(call.id)
        if event.step is Progress.ENDED:
            call.over = True
            # Its port may be free a little later.
            self.loop.after(self.parameters.release_ms, self.truth.over, call.id)
            del self._calls[event.session]
            if event.outcome is Outcome.NO_RESOURCE:
                self._found_no_port(call)
        call.dialer.receive_event(call, event)

    def _found_no_port(self, call: Call) -> None:
        if self.portal.zones[ZONE].free[call.channel]:
            self.truth.mpp_misses += 1
        elif self.truth.grants[call.id].snapshot_after <= self.failures.mpp_lost_at:
            self.truth.excused += 1
        else:
            self.truth.over_launches += 1
            if self.scenario.asserted:
                raise OverLaunchError(f"{call.id} found no port at {self.loop.now}")
