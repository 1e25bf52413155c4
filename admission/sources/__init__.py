"""Where snapshots come from: one package for each vendor's platforms, and the poller."""

from admission.sources.base import RequestNotDelivered, Source, UsesAgentGuids, is_polled
from admission.sources.live_sources import LiveSources
from admission.sources.registry import build_source

__all__ = [
    "LiveSources",
    "RequestNotDelivered",
    "Source",
    "UsesAgentGuids",
    "build_source",
    "is_polled",
]
