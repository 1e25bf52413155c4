"""Simulated platforms: for tests, for the demo and for the development of dialers."""
