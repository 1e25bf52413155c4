"""Settings of the simulated Huawei interfaces; undocumented details are settings."""

from dataclasses import dataclass, field
from typing import Final

from admission.sim.huawei.values import CenterSettings, ForeignStream

INBOUND: Final = ForeignStream(rate_per_s=0.3, agents=True)


def build_default_center() -> CenterSettings:
    """Build the default: 60 voice and 40 IVR licences, ten agents, some inbound calls."""
    return CenterSettings(others=(INBOUND,))


@dataclass(frozen=True, slots=True, kw_only=True)
class HuaweiSettings:
    """All settings of a simulated CC-CMS and CC-Gateway.

    Args:
        center: licences, agents and calls.
        seed: of all random numbers.
        cc_id: of the only call centre.
        access_key, secret_key: of the only system user.
        skew_s: a signature is valid for this time before and after its timestamp. Assumed.
        license_end: value of `licenseEndDate`; 0: not given.
        agent_password: of every agent.
        rotates: whether Guids change (authentication mode 2, the default).
        guid_changes_s: age at which the Guid changes.
        guid_valid_s: age up to which a Guid is valid.
        silence_s: an agent without a request for this time is signed out.
        event_wait_s: an event poll without an event is answered after this.
        needs_cookies: whether requests must send the cookies of the sign-in. Assumed.
        text_counts: whether `result` is a string, as documented, or a number, as the example is.
    """

    center: CenterSettings = field(default_factory=build_default_center)
    seed: int = 0
    cc_id: int = 1
    access_key: str = "outcall"
    secret_key: str = "outcall-secret"
    skew_s: float = 900.0
    license_end: int = 0
    agent_password: str = "agent-secret"
    rotates: bool = True
    guid_changes_s: float = 60.0
    guid_valid_s: float = 120.0
    silence_s: float = 120.0
    event_wait_s: float = 10.0
    needs_cookies: bool = True
    text_counts: bool = False
