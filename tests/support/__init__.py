"""Shared test tools: one helper for each task, used by the tests of several packages."""
