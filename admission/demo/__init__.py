"""The demo: simulated dialers ask the service for launches on a simulated platform."""
