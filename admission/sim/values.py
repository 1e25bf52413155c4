"""Values that the simulated platforms share: delays, call timing, call events."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from admission.domain import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """A random duration.

    Args:
        low_ms: minimum.
        high_ms: maximum.
        mean_ms: 0: uniform between both; else `low_ms` plus an exponential with this mean.

    Example:
        Delay(low_ms=100, high_ms=1_000).draw(Random(1))
    """

    low_ms: int
    high_ms: int
    mean_ms: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.low_ms <= self.high_ms or self.mean_ms < 0:
            raise ValueError(f"not a delay: {self}")

    def draw(self, random: Random) -> int:
        """Draw one duration in ms."""
        if self.mean_ms:
            return min(self.high_ms, self.low_ms + round(random.expovariate(1 / self.mean_ms)))
        return self.low_ms + int(random.random() * (self.high_ms - self.low_ms + 1))


NO_DELAY: Final = Delay(low_ms=0, high_ms=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTiming:
    """Durations and probabilities of outbound calls. Assumed: the platforms document none of them.

    Args:
        prepare: from the launch to the claim of a port, while the first page is fetched.
        answer_after: ringing time of an answered call.
        busy_after: ringing time until the line is reported busy.
        talk: from the answer to the end.
        release: from the end of a call until its port is free.
        answered: probability that a call is answered.
        busy: probability that the line is busy; other calls are not answered.
        page_fails: probability that the first page cannot be prepared: no call is placed.
        ring_at_most_ms: ringing time of a call without an answer, at most the connect timeout.
    """

    prepare: Delay = Delay(low_ms=100, high_ms=1000)
    answer_after: Delay = Delay(low_ms=4_000, high_ms=20_000)
    busy_after: Delay = Delay(low_ms=500, high_ms=2_000)
    talk: Delay = Delay(low_ms=5_000, high_ms=300_000, mean_ms=40_000)
    release: Delay = NO_DELAY
    answered: float = 0.4
    busy: float = 0.05
    page_fails: float = 0.0
    ring_at_most_ms: int = 25_000


class Progress(StrEnum):
    """The steps of an outbound call that its application sees."""

    PORT_TAKEN = "port_taken"
    ANSWERED = "answered"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """One step of an outbound call.

    Args:
        at: simulated ms.
        session: what `launch` returned.
        step: the only step of a call that found no port is ENDED, with `no_resource`.
        outcome: of an ended call, else None.
        mpp: the MPP whose port it has or had, None without one.
        channel: `sip` or `h323`, None without a port.
    """

    at: int
    session: str
    step: Progress
    zone: str
    campaign: str
    application: str
    outcome: Outcome | None = None
    mpp: str | None = None
    channel: str | None = None
