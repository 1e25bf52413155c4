"""The service behind the HTTP API: zones, policies, waiting requests, agent sessions."""
