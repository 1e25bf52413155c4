"""Any platform that states its counts over HTTP, as JSON or as Prometheus metrics."""

from admission.sources.http_json.source import HttpJsonSource

__all__ = ["HttpJsonSource"]
