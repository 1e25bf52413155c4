"""What a simulated Huawei call centre is made of: plain frozen values. Times are simulated ms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from admission.sim.values import CallEvent, CallTiming, Delay

VOICE: Final = "voice"
IVR: Final = "ivr"
WEB: Final = "web"
CHANNELS: Final = (VOICE, IVR, WEB)

# Per-call fail codes of the platform, as far as the simulator gives them.
LICENCES_FULL: Final = "34606"
NO_RESOURCE: Final = "00602"

USUAL: Final = CallTiming()
HOLD: Final = Delay(low_ms=5_000, high_ms=600_000, mean_ms=60_000)

AgentCountsAt: TypeAlias = Literal["claim", "answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherCalls:
    """Calls that nobody asks us about: a Poisson stream.

    Args:
        name: what the stream is called.
        rate_per_s: mean arrivals per second.
        hold: how long each lasts.
        channel: what kind of call it is; it takes the licences that such a call takes.
        agents: whether each also takes an agent who has no call, if there is one.
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
        licences: channel -> calls that the licence allows. A channel that is not here is "not
            available": its counters say 4294967295.
        takes: channel -> the licences that one call of it takes; absent: its own. Whether an
            outbound IVR call takes both is not documented, so a choice.
        agents: ids of the agents there are.
        agent_counts_at: when a call bound to an agent begins to count there: when it is placed, or
            only once it is answered. Not documented, so a choice.
        timing: how calls go.
        lag_ms: a count is that of a random moment at most this long ago.
        others: who else uses the licences.
    """

    licences: Mapping[str, int] = field(default_factory=lambda: {VOICE: 60, IVR: 40})
    takes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {IVR: (VOICE, IVR)})
    agents: tuple[int, ...] = tuple(range(1001, 1011))
    agent_counts_at: AgentCountsAt = "claim"
    timing: CallTiming = USUAL
    lag_ms: int = 400
    others: tuple[OtherCalls, ...] = ()

    def units(self, channel: str, agent: int | None = None) -> tuple[str, ...]:
        """Everything that one call takes: licences by channel, and `agent:ID`."""
        licences = tuple(self.takes.get(channel, (channel,)))
        return licences if agent is None else (*licences, f"agent:{agent}")

    def capacity(self) -> dict[str, int]:
        """Unit -> how many calls can have it at once: an agent one."""
        return dict(self.licences) | {f"agent:{agent}": 1 for agent in self.agents}


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterEvent(CallEvent):
    """One step of an outbound call; `zone` and `mpp` say nothing here.

    Args:
        agent: to whom it is bound, if to anyone.
        code: the platform's fail code, empty for a call that did not fail.
    """

    agent: int | None = None
    code: str = ""
