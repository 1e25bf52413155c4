"""The demo: the service deciding for simulated dialers on a simulated platform."""
