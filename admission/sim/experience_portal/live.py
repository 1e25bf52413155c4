"""The simulated Experience Portal in real time."""

from admission.sim.experience_portal.platform import Listener, Portal
from admission.sim.experience_portal.values import SystemSettings
from admission.sim.live import RealTimeDriver


class RealTimePortal(RealTimeDriver[Portal]):
    """An Experience Portal driven by the event loop.

    Args:
        settings, seed: of the `Portal`.
        listener: called at each step of each outbound call; must not raise.
    """

    def __init__(self, settings: SystemSettings, *, seed: int, listener: Listener) -> None:
        super().__init__(Portal(settings, seed=seed, listener=listener))
