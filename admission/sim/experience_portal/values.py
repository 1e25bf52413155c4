"""Values of a simulated Experience Portal: settings and counts.

Each number that Avaya's documentation leaves open is a field; its docstring states the assumption.
Times are simulated ms.
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
    """Calls without an admission (inbound, other dialers): a Poisson stream in one zone.

    Args:
        name: of the stream, in the truth and in the control interface.
        rate_per_s: mean arrivals per second.
        hold: duration of each call.
        channels: the ports it takes, in the order in which it tries them.
        wave_period_ms: period with which the rate swings around its mean; 0: constant.
        wave_depth: amplitude, 0 to 1 (1: from zero to twice the mean).
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
        """The highest rate."""
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
    """A zone: its media servers and their foreign calls."""

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
        timing: of calls whose launch has none of its own.
        lag_ms: greatest age of a count; its age is random up to this.
        hunting: order in which MPPs are tried. Not documented.
        hunt_at: `claim`: an unbound call takes any MPP with a free port when it is placed;
            `launch`: it is bound to one MPP when it is launched. Not documented.
        application_mpps: application -> the only MPP that runs it.
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
    """The counts of QueryResources: all ports over all protocols, and the unused ones of each."""

    total: int
    unused_sip: int
    unused_h323: int
