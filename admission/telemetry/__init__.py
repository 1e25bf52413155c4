"""Metrics and the log."""

from admission.telemetry.logs import configure_logging, log_decision, terminal
from admission.telemetry.metrics import CONTENT_TYPE, Telemetry
from admission.telemetry.rare_log import RareLog
from admission.telemetry.replica_metrics import ReplicaFacts
from admission.telemetry.shared_counts import absorb

__all__ = [
    "CONTENT_TYPE",
    "RareLog",
    "ReplicaFacts",
    "Telemetry",
    "absorb",
    "configure_logging",
    "log_decision",
    "terminal",
]
