"""Warnings that a client may cause at any rate."""

import logging

import pytest

from admission.telemetry import RareLog


def test_equal_warnings_are_counted_between_lines(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    rare = RareLog(logging.getLogger("admission.x"), 10.0, clock=lambda: now)
    for _ in range(1_000):
        rare.warning("refused: %s", "why")
    now = 10.0
    rare.warning("refused: %s", "100%")
    assert caplog.messages == ["refused: why", "refused: 100% (999 more since the last line)"]
