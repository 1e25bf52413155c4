"""What a simulated Experience Portal is made of and what it tells: plain frozen values.

Every number that the platform's documentation leaves open is a field here; its docstring says what
is assumed. Times are simulated ms.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from admission.sim.values import CallTiming, Delay

H323: Final = "h323"

SIP: Final = "sip"

# With both protocols configured a call tries an H.323 port first (Avaya's documentation).
CHANNELS: Final = (H323, SIP)

Hunting: TypeAlias = Literal["round_robin", "most_free", "first"]

HuntAt: TypeAlias = Literal["claim", "launch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignUse:
    """Calls that nobody asks us about (inbound, other dialers): a Poisson stream in one zone.

    Args:
        name: what the stream is called in the truth and when it is changed.
        rate_per_s: mean arrivals per second.
        hold: how long each keeps its port.
        channels: the ports it takes, in the order in which it tries them.
        wave_period_ms: 0, or the length of a wave in which the rate swings around its mean.
        wave_depth: 0 to 1: how far it swings (1: from nothing to twice the mean).
    """

    name: str = "inbound"
    rate_per_s: float = 0.0
    hold: Delay = field(
        default_factory=lambda: Delay(low_ms=5_000, high_ms=600_000, mean_ms=60_000)
    )
    channels: tuple[str, ...] = (SIP, H323)
    wave_period_ms: int = 0
    wave_depth: float = 0.0

    def peak_per_s(self) -> float:
        """The highest rate of a wave."""
        return self.rate_per_s * (1 + self.wave_depth) if self.wave_period_ms else self.rate_per_s

    def rate_at(self, now: int) -> float:
        """The rate per second at a moment in ms."""
        if not self.wave_period_ms:
            return self.rate_per_s
        turn = 2 * math.pi * now / self.wave_period_ms
        return self.rate_per_s * (1 + self.wave_depth * math.sin(turn))


@dataclass(frozen=True, slots=True, kw_only=True)
class MppSettings:
    """A media server and its ports by channel."""

    name: str
    ports: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSettings:
    """A zone: its media servers and who else uses their ports."""

    name: str
    mpps: tuple[MppSettings, ...]
    foreign: tuple[ForeignUse, ...] = ()


def build_even_zone(
    name: str,
    *,
    mpps: int = 4,
    sip: int = 50,
    h323: int = 0,
    foreign: tuple[ForeignUse, ...] = (),
) -> ZoneSettings:
    """A zone of equal media servers `mpp1`, `mpp2` … with so many ports each."""
    ports = {H323: h323, SIP: sip}
    servers = tuple(MppSettings(name=f"mpp{n}", ports=ports) for n in range(1, mpps + 1))
    return ZoneSettings(name=name, mpps=servers, foreign=foreign)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSettings:
    """A whole simulated system.

    Args:
        zones: at least one.
        default_zone: the zone of requests that name none; empty: the first.
        timing: how calls go, unless a launch brings its own.
        lag_ms: a count is that of a random moment at most this long ago.
        hunting: in which order MPPs are tried. Not documented, so a choice.
        hunt_at: `claim`: an unbound call takes any MPP with a free port when it is placed;
            `launch`: it is tied to one MPP when it is launched. Not documented, so a choice.
        application_mpps: applications bound to one MPP, which have only that MPP's ports.
    """

    zones: tuple[ZoneSettings, ...]
    default_zone: str = ""
    timing: CallTiming = field(default_factory=CallTiming)
    lag_ms: int = 400
    hunting: Hunting = "round_robin"
    hunt_at: HuntAt = "claim"
    application_mpps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What QueryResources answers: ports used and unused over all protocols, and the unused."""

    total: int
    unused_sip: int
    unused_h323: int
