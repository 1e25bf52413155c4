"""What a world is like: ports, calls, claim times, counts, polls, foreign use, faults."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

Law = Callable[[float, Random], float]  # (now, random) -> seconds
Foreign = Literal["none", "poisson", "waves", "surges", "rival", "second"]


def uniform(low: float, high: float) -> Law:
    return lambda now, random: random.uniform(low, high)


def lognormal(now: float, random: Random) -> float:
    return min(4.0, 0.1 + math.exp(random.gauss(math.log(0.33), 0.6)))


def bimodal(now: float, random: Random) -> float:
    return random.uniform(0.2, 0.6) if random.random() < 0.9 else random.uniform(2.0, 3.0)


def drifting(now: float, random: Random) -> float:
    """Claims of 0.1 to 1 s that grow to 2.5 times that and shrink again, every 4 minutes."""
    return random.uniform(0.1, 1.0) * (1.5 - math.cos(2 * math.pi * now / 240))


def jumping(now: float, random: Random) -> float:
    return random.uniform(0.1, 1.0) if now < 210 else random.uniform(1.0, 3.0)


def two_applications(now: float, random: Random) -> float:
    """A fast and a slow application whose share of the launches swings every 2 minutes."""
    slow = 0.5 - 0.45 * math.cos(2 * math.pi * now / 120)
    return random.uniform(1.0, 3.0) if random.random() < slow else random.uniform(0.1, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """How long a launch takes to get its port.

    Args:
        longest_s: what an operator would measure as the worst case.
    """

    law: Law
    longest_s: float


CLAIM = Claim(law=uniform(0.1, 1.0), longest_s=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Calls ring, and 40% are answered and talk."""

    ring_s: tuple[float, float]
    talk_s: float


CALLS = {
    5: Calls(ring_s=(1, 5), talk_s=5.0),
    7: Calls(ring_s=(1, 5), talk_s=10.0),
    15: Calls(ring_s=(2, 12), talk_s=20.0),
    30: Calls(ring_s=(4, 20), talk_s=45.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """Counts that are wrong between two moments: frozen, or with an error."""

    begin_s: float
    end_s: float
    frozen: bool = False
    added: int = 0
    noise: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One world. Times in seconds.

    Args:
        calls: mean length of a call, a key of CALLS.
        ports: of each channel; all count under one total.
        dialers: greedy ones.
        poll_s: between two snapshots.
        age_s: bounds of the age of a count.
        claim: from launch to port.
        launch_s: bounds from grant to launch.
        reported: share of launches that are reported.
        port_taken: whether the dialer reports the connect.
        ring_s: bounds from the port to its report, where each is reported; None: it is not.
        foreign: the manner of foreign use; its calls last `foreign_call_s` on average.
        lost_ends: share of end reports that never come.
        dead_grants: share of grants that are never launched.
        dialers_die_s: when 30% of the dialers die, for a minute; 0: never.
        restart: the service is gone for 5 s at `restart_at_s`; the store keeps or loses its state.
        media_server_s: when a quarter of the ports goes and comes back.
        pause_s: in each such period the dialers rest for the second value.
        lie: counts that are wrong for a while.
        break_model: the world is made to break the model: bounds of use do not hold in it.
    """

    name: str
    calls: int = 7
    ports: tuple[int, ...] = (200,)
    dialers: int = 8
    poll_s: float = 1.0
    age_s: tuple[float, float] = (0.0, 0.4)
    claim: Claim = CLAIM
    launch_s: tuple[float, float] = (0.01, 0.05)
    reported: float = 0.0
    port_taken: bool = False
    ring_s: tuple[float, float] | None = None
    states_time: bool = False
    foreign: Foreign = "none"
    foreign_call_s: float = 15.0
    lost_ends: float = 0.0
    dead_grants: float = 0.0
    dialers_die_s: float = 0.0
    restart: Literal["", "kept", "lost"] = ""
    restart_at_s: float = 210.0
    media_server_s: tuple[float, float] | None = None
    pause_s: tuple[float, float] | None = None
    lie: Lie | None = None
    break_model: bool = False
    expiry_s: float = 120.0

    @property
    def scale(self) -> float:
        """Foreign use grows with the ports."""
        return sum(self.ports) / 200

    def foreign_rate(self, now: float) -> float:
        """Foreign calls per second that arrive in a zone of 200 ports."""
        if self.foreign == "poisson":
            return 2.0
        if self.foreign == "waves":
            return 4.0 if now % 60 < 30 else 0.5
        if self.foreign == "surges":
            return 8.0 if now % 120 >= 110 else 1.0
        return 0.0
