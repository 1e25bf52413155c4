"""Platform, poller, crowd and contestant of one run, and its score."""

from dataclasses import dataclass
from random import Random
from typing import Final

from admission.sim.experience_portal.platform import Portal
from admission.sim.experience_portal.values import Counts
from admission.sim.experience_portal.virtual_time import Loop
from admission.sim.values import CallEvent, Progress
from benchmarks.race.alternatives import Maker
from benchmarks.race.dialers import Call, Crowd
from benchmarks.race.scenarios import POLL_MIN_MS, QUERY_MS, ZONE, Scenario

WARM_UP_MS: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a run came to after its warm-up.

    Args:
        launches, over_launches: granted calls, and those of them that found no port.
        used_ms: port-ms of granted calls.
        open_ms: port-ms that others left to them.
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
        """What came after an earlier moment of the same run."""
        return Score(
            launches=self.launches - before.launches,
            over_launches=self.over_launches - before.over_launches,
            used_ms=self.used_ms - before.used_ms,
            open_ms=self.open_ms - before.open_ms,
        )

    @property
    def utilisation(self) -> float:
        """Part of the ports that others left which granted calls had."""
        return self.used_ms / max(1, self.open_ms)

    @property
    def over_share(self) -> float:
        """Part of the launches that found no port."""
        return self.over_launches / max(1, self.launches)


class World:
    """One run: the same scenario and seed give the same world, whoever decides in it."""

    def __init__(self, scenario: Scenario, seed: int, make: Maker) -> None:
        self._scenario = scenario
        self._random = Random(f"{seed} poller")
        self.portal = Portal(scenario.platform(), seed=seed, listener=self._said)
        self.loop = Loop(self.portal, Random(f"{seed} order"))
        self._under_way: set[str] = set()
        self._calls: dict[str, Call] = {}
        self._polled_at, self._polls, self._wanted = 0, 0, False
        self._contestant = make(scenario, self)
        self._crowd = Crowd(scenario, self.loop, Random(f"{seed} crowd"), self._contestant, self)
        self._poll(0)
        if scenario.mpp_lost_at:
            self.loop.after(scenario.mpp_lost_at, self._lose_mpp)
            self.loop.after(scenario.mpp_back_at, self._return_mpp)

    def run(self) -> Score:
        """Let it all happen."""
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

    # -- what contestants may look at

    @property
    def now(self) -> int:
        """Virtual time."""
        return self.loop.now

    def query(self) -> Counts:
        """QueryResources, now."""
        return self.loop.platform().query(ZONE)

    def truly_free(self) -> int:
        """Free ports that no granted call is on its way to."""
        return self.loop.platform().zones[ZONE].free["sip"] - len(self._under_way)

    # -- the poller

    def denied(self) -> None:
        """Somebody was turned away: the next poll comes sooner, where that is allowed."""
        if self._scenario.on_demand and not self._wanted:
            self._wanted = True
            wait_ms = max(0, self._polled_at + POLL_MIN_MS - self.loop.now)
            self.loop.after(wait_ms, self._poll, self._polls)

    def _poll(self, nth: int) -> None:
        if nth != self._polls:
            return  # another came first
        self._polls += 1
        self._polled_at, self._wanted = self.loop.now, False
        query_ms = QUERY_MS.draw(self._random)
        photo_ms = self._random.randint(0, query_ms)
        self.loop.after(photo_ms, self._photograph, self.loop.now, query_ms - photo_ms)
        self.loop.after(self._scenario.poll_ms, self._poll, self._polls)

    def _photograph(self, asked_at: int, rest_ms: int) -> None:
        self.loop.after(rest_ms, self._told, asked_at, self.query())

    def _told(self, asked_at: int, counts: Counts) -> None:
        self._contestant.photograph(asked_at, counts)
        self._crowd.wake()

    # -- calls

    def launch(self, call: Call) -> None:
        """Start it on the platform."""
        session = self.loop.platform().launch(ZONE, channels=("sip",))
        self._calls[session] = call

    def granted(self, call: Call) -> None:
        """It is on its way to a port."""
        self._under_way.add(call.name)

    def forgotten(self, call: Call) -> None:
        """It will never be launched."""
        self._under_way.discard(call.name)

    def _said(self, event: CallEvent) -> None:
        call = self._calls[event.session]
        self._under_way.discard(call.name)
        if event.step is Progress.ENDED:
            del self._calls[event.session]
        self._crowd.heard(call, event)
        if self._contestant.sees_all:
            self._crowd.wake()

    def _lose_mpp(self) -> None:
        self.loop.platform().fail_mpp(ZONE, "mpp1")

    def _return_mpp(self) -> None:
        self.loop.platform().restore_mpp(ZONE, "mpp1")
        self._crowd.wake()
