"""Where snapshots come from: one package for each vendor's platforms, and the poller."""

from admission.sources.base import Source, UsesAgentGuids, is_polled
from admission.sources.registry import build_source
from admission.sources.transport import RequestNotDelivered

__all__ = [
    "RequestNotDelivered",
    "Source",
    "UsesAgentGuids",
    "build_source",
    "is_polled",
]
