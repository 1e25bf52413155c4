"""A log that is not read: deciding goes on, lines are dropped and counted, the exit is prompt."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service_process import START_S, ServiceProcess

ZONE = """
[server]
workers = {workers}
[log]
decisions = "denies"
[zones.East]
source = "static"
channels = ["sip"]
[zones.East.capacity]
sip = 0
[zones.East.campaigns."*"]
"""
LINES = 2_000  # each has over 100 bytes: more than a pipe holds


def fill_the_log(service: ServiceProcess) -> None:
    batch = {"requests": [{"campaign": "collections"}] * 1_000}
    for _ in range(LINES // 1_000):
        status, found = service.call("POST", "/v1/admissions/batch", batch)
        assert (status, {one["decision"] for one in found["results"]}) == (200, {"deny"})


@pytest.mark.parametrize("workers", [1, 2])
def test_the_service_decides_and_stops_while_its_log_is_not_read(
    tmp_path: Path, workers: int
) -> None:
    (tmp_path / "a.toml").write_text(ZONE.format(workers=workers))
    service = ServiceProcess(tmp_path, "a.toml")
    try:
        fill_the_log(service)
        assert service.call("GET", "/healthz")[0] == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(START_S) == 0  # nothing has been read until here
    finally:
        service.process.kill()
        service.process.communicate()


def test_a_reader_that_returns_finds_out_how_many_lines_were_dropped() -> None:
    code = """if True:
        import logging, sys
        from admission.config import LogSettings
        from admission.telemetry import configure_logging
        dropped = []
        configure_logging(LogSettings(format="json"), on_dropped=lambda: dropped.append(1))
        for n in range(8_000):
            logging.getLogger("admission.x").warning("line %d", n)
        print(len(dropped), flush=True)
        sys.stdin.readline()
        for handler in logging.getLogger().handlers:
            handler.flush()
    """
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        dropped = int(process.stdout.readline())
        assert dropped > 0
        _, errors = process.communicate("read now\n", timeout=START_S)
    lines = [json.loads(line) for line in errors.splitlines()]
    reports = [one for one in lines if "dropped" in one]
    assert sum(one["dropped"] for one in reports) == dropped
    assert len(lines) - len(reports) + dropped == 8_000
    assert reports[0]["level"] == "warning"


def test_a_log_whose_disk_is_full_stops_nothing() -> None:
    code = """if True:
        import logging
        from admission.config import LogSettings
        from admission.telemetry import configure_logging
        configure_logging(LogSettings())
        for n in range(100):
            logging.getLogger("admission.x").warning("line %d", n)
    """
    with Path("/dev/full").open("w") as full:
        process = subprocess.run([sys.executable, "-c", code], stderr=full, timeout=START_S)
    assert process.returncode == 0
