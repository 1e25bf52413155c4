"""The service behind the HTTP API: zones, policies, waiting requests, agent sessions."""

from admission.service.bootstrap import open_service
from admission.service.service import Service

__all__ = [
    "Service",
    "open_service",
]
