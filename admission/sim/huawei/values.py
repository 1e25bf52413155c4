"""Values of a simulated Huawei call centre: settings and events. Times are simulated ms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from admission.sim.values import CallEvent, CallTiming, Delay

VOICE: Final = "voice"
IVR: Final = "ivr"
WEB: Final = "web"
CHANNELS: Final = (VOICE, IVR, WEB)

# Fail codes of calls, from Huawei's documents.
LICENCES_FULL: Final = "34606"
NO_RESOURCE: Final = "00602"

USUAL: Final = CallTiming()
HOLD: Final = Delay(low_ms=5_000, high_ms=600_000, mean_ms=60_000)

AgentCountsAt: TypeAlias = Literal["claim", "answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignStream:
    """Calls without an admission: a Poisson stream.

    Args:
        name: of the stream.
        rate_per_s: mean arrivals per second.
        hold: duration of each call.
        channel: its kind; it takes the licences of that channel.
        agents: whether each also takes an agent without a call, if there is one.
    """

    name: str = "inbound"
    rate_per_s: float = 0.0
    hold: Delay = HOLD
    channel: str = VOICE
    agents: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterSettings:
    """A whole simulated call centre.

    Args:
        licences: channel -> calls that the licence allows. Any other channel is "not available":
            its counters are 4294967295.
        takes: channel -> the licences that one call of it takes; absent: its own. Huawei does not
            document whether an outbound IVR call takes both.
        agents: ids of all agents.
        agent_counts_at: when a call bound to an agent begins to count there: when it is placed, or
            only once it is answered. Not documented.
        timing: of calls.
        lag_ms: greatest age of a count; its age is random up to this.
        others: streams of foreign calls.
    """

    licences: Mapping[str, int] = field(default_factory=lambda: {VOICE: 60, IVR: 40})
    takes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {IVR: (VOICE, IVR)})
    agents: tuple[int, ...] = tuple(range(1001, 1011))
    agent_counts_at: AgentCountsAt = "claim"
    timing: CallTiming = USUAL
    lag_ms: int = 400
    others: tuple[ForeignStream, ...] = ()

    def units(self, channel: str, agent: int | None = None) -> tuple[str, ...]:
        """Return the units that one call takes: licences by channel, and `agent:ID`."""
        licences = tuple(self.takes.get(channel, (channel,)))
        return licences if agent is None else (*licences, f"agent:{agent}")

    def capacity(self) -> dict[str, int]:
        """Return unit -> calls that may hold it at once; an agent: one."""
        return dict(self.licences) | {f"agent:{agent}": 1 for agent in self.agents}


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterEvent(CallEvent):
    """One step of an outbound call; `zone` and `mpp` are empty.

    Args:
        agent: to whom the call is bound; None: none.
        code: the platform's fail code, empty for a call that did not fail.
    """

    agent: int | None = None
    code: str = ""
