"""A simulated platform in real time: one timer of the event loop moves it, however many calls."""

from admission.sim.experience_portal.platform import Listener, Portal
from admission.sim.experience_portal.values import SystemSettings
from admission.sim.live import RealTimeDriver


class RealTimePortal(RealTimeDriver[Portal]):
    """A live Experience Portal.

    Args:
        settings, seed: of the `Portal`.
        listener: told each step of each outbound call; must not raise.
    """

    def __init__(self, settings: SystemSettings, *, seed: int, listener: Listener) -> None:
        super().__init__(Portal(settings, seed=seed, listener=listener))
