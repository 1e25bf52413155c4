"""Simulated platforms and dialers, for tests, for the demo and for trying a dialer at home."""
