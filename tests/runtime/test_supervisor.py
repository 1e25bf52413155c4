"""Several worker processes behind one port, as a user starts them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service_process import START_S, ServiceProcess, is_alive

ZONE = """
[server]
workers = 2
[zones.East]
source = "static"
channels = ["sip"]
launch_within_ms = 100
claim_within_ms = 0
[zones.East.capacity]
sip = 1000
[zones.East.campaigns."*"]
"""


def start(folder: Path, **environ: str) -> ServiceProcess:
    (folder / "workers.toml").write_text(ZONE)
    return ServiceProcess(folder, "workers.toml", **environ)


def workers(parent: ServiceProcess) -> list[int]:
    """Process ids of its workers."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if (
            int(ppid) == parent.process.pid
            and state != "Z"
            and b"admission.runtime.worker" in command
        ):
            found.append(int(stat.parent.name))
    return found


def until(what: str, true: object) -> None:
    deadline = time.monotonic() + START_S
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)


def asks(service: ServiceProcess, n: int) -> None:
    """So many, each on a connection of its own, so that every worker gets some."""
    for _ in range(n):
        status, answer = service.call("POST", "/v1/admissions", {"campaign": "c"})
        assert (status, answer["decision"]) == (200, "grant")


def counted(service: ServiceProcess) -> int:
    """Grants, as a scrape counts them."""
    import urllib.request

    with urllib.request.urlopen(service.url + "/metrics", timeout=10) as answer:
        text = answer.read().decode()
    line = r'^admission_decisions_total{.*decision="grant".*} (\S+)$'
    return sum(int(float(one)) for one in re.findall(line, text, re.MULTILINE))


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    service = start(tmp_path_factory.mktemp("supervised"))
    yield service
    service.stop(signal.SIGTERM)


def test_workers_share_a_port_and_a_redis_and_count_together(supervised: ServiceProcess) -> None:
    assert len(workers(supervised)) == 2
    before = counted(supervised)
    asks(supervised, 30)
    assert {counted(supervised) for _ in range(10)} == {before + 30}


def test_a_worker_that_is_killed_is_replaced_and_its_count_stays(
    supervised: ServiceProcess,
) -> None:
    asks(supervised, 10)
    before, old = counted(supervised), workers(supervised)
    os.kill(old[0], signal.SIGKILL)
    until(
        "another worker",
        lambda: len(workers(supervised)) == 2 and old[0] not in workers(supervised),
    )
    assert old[1] in workers(supervised)
    until("two that answer", lambda: _answers(supervised))
    assert counted(supervised) >= before


def _answers(service: ServiceProcess) -> bool:
    """Do both serve? A port's connections are spread over all who listen."""
    try:
        return all(service.call("GET", "/healthz")[0] == 200 for _ in range(20))
    except OSError:
        return False


def test_a_signal_ends_parent_workers_and_redis(tmp_path: Path) -> None:
    service = start(tmp_path)
    pids = [*workers(service), service.redis_pid()]
    assert len(pids) == 3
    code, errors = service.stop(signal.SIGINT)
    assert (code, "Traceback" in errors) == (0, False), errors
    assert not any(map(is_alive, pids))


def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    service = start(tmp_path, TMPDIR=str(scratch))
    pids = workers(service)
    assert list(scratch.glob("admission-metrics-*"))
    service.stop(signal.SIGKILL)
    until("no worker", lambda: not any(map(is_alive, pids)))
    assert not list(scratch.iterdir())
    again = start(tmp_path)  # and the next start finds the port, and the store, free
    asks(again, 1)
    again.stop(signal.SIGTERM)


def test_a_hangup_reaches_every_worker(tmp_path: Path) -> None:
    digest = "0" * 64
    service = start(tmp_path)
    text = (tmp_path / "workers.toml").read_text()
    token = f'[[auth.tokens]]\nname = "t"\nsha256 = "{digest}"\nrole = "viewer"\n'
    (tmp_path / "workers.toml").write_text(text.replace("[zones.East]", token + "[zones.East]"))
    service.process.send_signal(signal.SIGHUP)
    ask = {"campaign": "c"}

    def refused() -> bool:
        tries = [service.call("POST", "/v1/admissions", ask)[0] for _ in range(12)]
        return set(tries) == {401}

    until("all know of the token", refused)
    service.stop(signal.SIGTERM)


def test_a_port_that_is_taken_is_one_clear_line(supervised: ServiceProcess, tmp_path: Path) -> None:
    (tmp_path / "workers.toml").write_text(ZONE)
    environ = {**os.environ, "ADMISSION__SERVER__PORT": supervised.url.rpartition(":")[2]}
    command = [sys.executable, "-m", "admission", "serve", "workers.toml"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=START_S
    )
    assert (done.returncode, "cannot listen" in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_fault_of_every_worker_ends_the_supervisor(tmp_path: Path) -> None:
    (tmp_path / "workers.toml").write_text(
        ZONE.replace("workers = 2", 'workers = 2\ntls_cert = "no.pem"\ntls_key = "no.pem"')
    )
    environ = {**os.environ, "ADMISSION__SERVER__PORT": "0"}
    command = [sys.executable, "-m", "admission", "serve", "workers.toml"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=START_S
    )
    assert (done.returncode, "server.tls_cert" in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
