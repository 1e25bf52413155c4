"""The whole service as a user starts it: a process, its embedded Redis, the simulated platform."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service_process import START_S, ServiceProcess, is_alive

# The demo recovers for five seconds at each start.
QUICK = """
[zones.East]
source = "static"
channels = ["sip"]
launch_within_ms = 100
claim_within_ms = 0
[zones.East.capacity]
sip = 10
[zones.East.campaigns."*"]
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One service for all tests that leave it as it is; a start takes a recovery, some seconds."""
    service = ServiceProcess(tmp_path_factory.mktemp("service"))
    yield service
    code, errors = service.stop(signal.SIGINT)
    assert (code, "Traceback" in errors) == (0, False), errors


def ask_until_granted(line: str) -> dict[str, Any]:
    """The answer to a printed line. On a busy machine the counts of the platform may be late."""
    deadline = time.monotonic() + START_S
    while True:
        answer: dict[str, Any] = json.loads(subprocess.check_output(["sh", "-c", line], timeout=30))
        if answer["decision"] == "grant":
            return answer
        assert answer["reason"] in ("stale_snapshot", "no_snapshot", "recovering"), answer
        assert time.monotonic() < deadline, answer


def test_the_printed_line_gets_a_grant_and_the_zone_shows_the_snapshot_it_came_from(running):
    line = next(
        line for line in running.printed if line.startswith("curl") and "admissions" in line
    )
    answer = ask_until_granted(line)
    assert answer["snapshot"]["total"] == 240
    status, zone = running.call("GET", "/v1/zones/East")
    sip = next(pool for pool in zone["pools"] if pool["pool"] == "channel:sip")
    assert (status, sip["in_use"]) == (200, 1)
    assert sip["ceiling"] >= sip["snapshot"]["unused"] > 0
    assert zone["sources"][0]["state"] == "ok"


def test_a_call_from_ask_to_end_and_every_step_twice(running):
    ask = {"campaign": "collections", "request_id": "r-1", "count": 2, "pools": ["agent:7"]}
    _, granted = running.call("POST", "/v1/admissions", ask)
    assert (granted["granted"], granted["reason"]) == (1, "pool_full")
    _, again = running.call("POST", "/v1/admissions", ask)
    assert again["repeated"] is True
    assert again["reservations"][0]["id"] == granted["reservations"][0]["id"]
    path = f"/v1/reservations/{granted['reservations'][0]['id']}"
    launched = {"port_taken": True, "mpp": "mpp1", "session_id": "s-1"}
    assert running.call("POST", f"{path}/launched", launched)[1]["state"] == "live"
    assert running.call("GET", path)[1]["mpp"] == "mpp1"
    ended_at = granted["now"] + 1
    end = {"outcome": "completed", "ended_at": ended_at}
    assert running.call("POST", f"{path}/end", end)[1]["state"] == "ended"
    assert running.call("POST", f"{path}/end", end)[1]["repeated"] is True
    assert running.call("POST", "/v1/reservations/East~AAAAAAAAAAA/end", end)[0] == 404


def test_wrong_input_changes_nothing_and_is_explained(running):
    before = running.call("GET", "/v1/zones/East")[1]["stats"].get("grant", 0)
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"campaign": "collections", "zone": "Nowhere"}, 404),
        ({"campaign": "collections", "pools": ["trunk:none"]}, 404),
        ({"campaign": "collections", "channel": "fax"}, 422),
        ({"campaign": "collections", "mpp": "mpp99"}, 422),
        ({"campaign": "collections", "count": 101}, 422),
        ({"campaign": "collections", "colour": "red"}, 422),
        ({}, 422),
    ]
    for body, expected in wrong:
        status, problem = running.call("POST", "/v1/admissions", body)
        assert (status, problem["status"]) == (expected, expected), body
        assert problem["detail"]
    assert running.call("GET", "/v1/zones/East")[1]["stats"].get("grant", 0) == before


def test_a_signal_ends_the_service_and_its_redis_and_a_restart_knows_what_was_granted(tmp_path):
    (tmp_path / "east.toml").write_text(QUICK)
    service = ServiceProcess(tmp_path, "east.toml")
    _, granted = service.call("POST", "/v1/admissions", {"campaign": "collections"})
    pid = service.redis_pid()
    assert is_alive(pid)
    code, errors = service.stop(signal.SIGINT)
    assert code == 0
    assert "Traceback" not in errors
    assert not is_alive(pid)

    again = ServiceProcess(tmp_path, "east.toml")
    path = f"/v1/reservations/{granted['reservations'][0]['id']}"
    found = again.call("GET", path)
    code, _ = again.stop(signal.SIGTERM)
    assert (found[0], found[1]["state"], code) == (200, "live", 0)


def test_a_broken_file_is_explained_line_by_line_and_nothing_starts(tmp_path: Path):
    file = tmp_path / "broken.toml"
    file.write_text('[server]\nprot = 1\n[zones.East]\nsource = "nowhere"\nchannels = ["sip"]\n')
    command = [sys.executable, "-m", "admission", "serve", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=START_S)
    assert done.returncode == 2
    assert "line 2: server.prot" in done.stderr
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_one_clear_line(running, tmp_path: Path):
    port = running.url.rpartition(":")[2]
    folder = tmp_path / "second"
    folder.mkdir()
    environ = {**os.environ, "ADMISSION__SERVER__PORT": port}
    command = [sys.executable, "-m", "admission", "serve"]
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=START_S
    )
    assert done.returncode == 2
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr
