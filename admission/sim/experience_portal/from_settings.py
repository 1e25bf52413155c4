"""The demo's simulated platform: the ports of the policy, and inbound calls."""

from typing import Final

from admission.config import Settings
from admission.sim.experience_portal.config import PortalSettings
from admission.sim.experience_portal.values import (
    ForeignUse,
    MppSettings,
    SystemSettings,
    ZoneSettings,
)
from admission.sim.values import Delay

# Mean part of the ports that inbound calls take; the part swings with a period of a minute.
INBOUND_PART: Final = 0.25
INBOUND_HOLD_MS: Final = 20_000


def platform_for(settings: Settings) -> PortalSettings:
    """Derive an Experience Portal from the zones, MPPs and ports of the policies; no credentials.

    Args:
        settings: its zones name their MPPs and ports.
    """
    zones = tuple(
        ZoneSettings(
            name=policy.source_zone or name,
            mpps=tuple(
                MppSettings(name=name, ports=mpp.ports) for name, mpp in policy.mpps.items()
            ),
            foreign=(_inbound(sum(sum(mpp.ports.values()) for mpp in policy.mpps.values())),),
        )
        for name, policy in settings.zones.items()
    )
    default = settings.zones[settings.server.default_zone].source_zone
    system = SystemSettings(zones=zones, default_zone=default or settings.server.default_zone)
    return PortalSettings(system=system, current_auth="none")


def _inbound(ports: int) -> ForeignUse:
    return ForeignUse(
        rate_per_s=ports * INBOUND_PART / (INBOUND_HOLD_MS / 1000),
        hold=Delay(low_ms=2_000, high_ms=4 * INBOUND_HOLD_MS, mean_ms=INBOUND_HOLD_MS),
        wave_period_ms=60_000,
        wave_depth=0.5,
    )
