"""Platform, poller, dialers and contestant of one run, and the score of the run."""

from dataclasses import dataclass
from random import Random
from typing import Final

from admission.sim.experience_portal.platform import Portal
from admission.sim.experience_portal.values import Counts
from admission.sim.experience_portal.virtual_time import Loop
from admission.sim.values import CallEvent, Progress
from benchmarks.race.alternatives import Maker
from benchmarks.race.dialers import Call, DialerGroup
from benchmarks.race.scenarios import POLL_MIN_MS, QUERY_MS, ZONE, Scenario

WARM_UP_MS: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The result of a run after its warm-up.

    Args:
        launches, over_launches: granted calls, and those of them that found no port.
        used_ms: port-ms of granted calls.
        open_ms: port-ms that foreign calls left.
    """

    launches: int
    over_launches: int
    used_ms: int
    open_ms: int

    def __add__(self, other: "Score") -> "Score":
        return Score(
            launches=self.launches + other.launches,
            over_launches=self.over_launches + other.over_launches,
            used_ms=self.used_ms + other.used_ms,
            open_ms=self.open_ms + other.open_ms,
        )

    def since(self, before: "Score") -> "Score":
        """Return the difference to an earlier score of the same run."""
        return Score(
            launches=self.launches - before.launches,
            over_launches=self.over_launches - before.over_launches,
            used_ms=self.used_ms - before.used_ms,
            open_ms=self.open_ms - before.open_ms,
        )

    @property
    def utilisation(self) -> float:
        """Share of the ports not used by foreign calls that granted calls used."""
        return self.used_ms / max(1, self.open_ms)

    @property
    def over_share(self) -> float:
        """Share of the launches that found no port."""
        return self.over_launches / max(1, self.launches)


class Simulation:
    """One run: scenario and seed determine all events except the decisions of the contestant."""

    def __init__(self, scenario: Scenario, seed: int, make: Maker) -> None:
        self._scenario = scenario
        self._random = Random(f"{seed} poller")
        self.portal = Portal(scenario.platform(), seed=seed, listener=self._observe)
        self.loop = Loop(self.portal, Random(f"{seed} order"))
        self._claiming: set[str] = set()
        self._calls: dict[str, Call] = {}
        self._polled_at, self._polls, self._wanted = 0, 0, False
        self._contestant = make(scenario, self)
        self._dialers = DialerGroup(
            scenario, self.loop, Random(f"{seed} crowd"), self._contestant, self
        )
        self._poll(0)
        if scenario.mpp_lost_at:
            self.loop.after(scenario.mpp_lost_at, self._lose_mpp)
            self.loop.after(scenario.mpp_back_at, self._return_mpp)

    def run(self) -> Score:
        """Run warm-up and measurement, and return the score."""
        self.loop.run(WARM_UP_MS)
        before = self._score()
        self.loop.run(WARM_UP_MS + self._scenario.lasts_ms)
        return self._score().since(before)

    def _score(self) -> Score:
        truth, zone = self.portal.truth, self.loop.platform().zones[ZONE]
        zone.account(self.loop.now)
        return Score(
            launches=truth.launches,
            over_launches=truth.over_launches,
            used_ms=zone.port_ms["outbound"],
            open_ms=zone.port_ms["available"] - zone.port_ms["foreign"],
        )

    # -- what contestants may query

    @property
    def now(self) -> int:
        """Virtual time in ms."""
        return self.loop.now

    def query(self) -> Counts:
        """Return the counts of QueryResources now."""
        return self.loop.platform().query(ZONE)

    def truly_free(self) -> int:
        """Return the free ports that no granted call will take."""
        return self.loop.platform().zones[ZONE].free["sip"] - len(self._claiming)

    # -- the poller

    def denied(self) -> None:
        """Advance the next poll after a denial, if the scenario allows it."""
        if self._scenario.on_demand and not self._wanted:
            self._wanted = True
            wait_ms = max(0, self._polled_at + POLL_MIN_MS - self.loop.now)
            self.loop.after(wait_ms, self._poll, self._polls)

    def _poll(self, nth: int) -> None:
        if nth != self._polls:
            return  # an earlier poll has replaced this one
        self._polls += 1
        self._polled_at, self._wanted = self.loop.now, False
        query_ms = QUERY_MS.draw(self._random)
        snapshot_ms = self._random.randint(0, query_ms)
        self.loop.after(snapshot_ms, self._query, self.loop.now, query_ms - snapshot_ms)
        self.loop.after(self._scenario.poll_ms, self._poll, self._polls)

    def _query(self, asked_at: int, rest_ms: int) -> None:
        self.loop.after(rest_ms, self._deliver, asked_at, self.query())

    def _deliver(self, asked_at: int, counts: Counts) -> None:
        self._contestant.receive_snapshot(asked_at, counts)
        self._dialers.wake()

    # -- calls

    def launch(self, call: Call) -> None:
        """Launch a call on the platform."""
        slow = self._scenario.is_slow(call.dialer)
        session = self.loop.platform().launch(
            ZONE,
            channels=("sip",),
            mpp=self._contestant.get_server(call.name),
            timing=self._scenario.get_timing(slow=slow),
        )
        self._calls[session] = call

    def granted(self, call: Call) -> None:
        """A call is granted: it will take a port."""
        self._claiming.add(call.name)

    def forgotten(self, call: Call) -> None:
        """A granted call will never be launched: its dialer crashed."""
        self._claiming.discard(call.name)

    def _observe(self, event: CallEvent) -> None:
        call = self._calls[event.session]
        self._claiming.discard(call.name)
        if event.step is Progress.ENDED:
            del self._calls[event.session]
        self._dialers.observe(call, event)
        if self._contestant.sees_all:
            self._dialers.wake()

    def _lose_mpp(self) -> None:
        self.loop.platform().fail_mpp(ZONE, "mpp1")

    def _return_mpp(self) -> None:
        self.loop.platform().restore_mpp(ZONE, "mpp1")
        self._dialers.wake()
