"""The poller: leases, intervals, back-off and health of sources."""

from admission.sources.polling.health import PollEvent
from admission.sources.polling.poller import Poller
from admission.sources.polling.schedule import ZonePoll

__all__ = [
    "PollEvent",
    "Poller",
    "ZonePoll",
]
