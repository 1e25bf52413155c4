"""Metrics and the log."""

from admission.telemetry.logs import configure_logging, log_decision, terminal
from admission.telemetry.metrics import CONTENT_TYPE, Telemetry

__all__ = [
    "CONTENT_TYPE",
    "Telemetry",
    "configure_logging",
    "log_decision",
    "terminal",
]
