"""Alerts of repairs, losses and slow statuses fire in a real Prometheus, and end by their entries.

Each test breaks one thing of a running service, waits for the alert, does what its entry in
docs/runbook.md says, and waits until the alert ends.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.alerting import (
    FIRES_S,
    Repetition,
    run_prometheus,
    wait_for,
    wait_for_end,
    wait_for_scrapes,
)
from tests.support.redis_server import RedisServer
from tests.support.service_process import ServiceProcess
from tests.support.tools import tool

pytestmark = pytest.mark.faults
PORTS = 20
CONFIG = """
[server]
default_zone = "Pushed"
[redis]
url = "{redis}"
[zones.Pushed]
source = "push"
channels = ["sip"]
launch_within_ms = 200
claim_within_ms = 0
visibility_lag_ms = 0
max_age_ms = 60000
[zones.Pushed.campaigns."*"]
[zones.Small]
source = "static"
channels = ["sip"]
capacity = {{ sip = 5000 }}
launch_within_ms = 200
claim_within_ms = 0
max_records = 1000
[zones.Small.campaigns."*"]
[zones.Large]
source = "static"
channels = ["sip"]
capacity = {{ sip = 5000 }}
launch_within_ms = 5000
claim_within_ms = 0
[zones.Large.campaigns."*"]
[zones.Large.pools]
{pools}
"""
POOLS = "\n".join(f'"trunk:t{n}" = {{ limit = 5 }}' for n in range(4000))


class Scene(NamedTuple):
    """A service, its Redis, and a Prometheus that watches it."""

    service: ServiceProcess
    redis: RedisServer
    prometheus: str

    def ask(self, zone: str = "Pushed", **more: Any) -> Any:
        body = {"zone": zone, "campaign": "collections", "channel": "sip"} | more
        return self.service.call("POST", "/v1/admissions", body)[1]

    def get_status(self, zone: str = "Pushed") -> Any:
        return self.service.call("GET", f"/v1/zones/{zone}")[1]

    def find_pool(self, name: str = "channel:sip") -> Any:
        return next(one for one in self.get_status()["pools"] if one["pool"] == name)

    def push(self) -> None:
        """A snapshot in which every port is free."""
        now = self.service.call("GET", "/v1/zones/Pushed/time")[1].get("now", 0)
        counts = {"taken_at": now, "total": PORTS, "unused": {"sip": PORTS}}
        self.service.call("PUT", "/v1/zones/Pushed/snapshot", counts)

    def get_grants(self, n: int) -> list[str]:
        """So many reservations; a zone that recovers is asked again."""
        ids: list[str] = []
        deadline = time.monotonic() + FIRES_S
        while len(ids) < n:
            ids += [one["id"] for one in self.ask().get("reservations", ())]
            assert time.monotonic() < deadline
            self.push()
        return ids

    def run_command(self, *arguments: str) -> str:
        """What an operator's command prints."""
        done = subprocess.run(
            [sys.executable, "-m", "admission", *arguments, "--url", self.service.url],
            cwd=self.service.folder,
            env={**os.environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    tool("prometheus")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        config = CONFIG.format(redis=redis.url, pools=POOLS)
        (tmp_path / "a.toml").write_text(config, "utf-8")
        service = ServiceProcess(tmp_path, "a.toml")
        stack.callback(service.stop, signal.SIGTERM)
        targets = {"http": [service.url.removeprefix("http://")]}
        prometheus = stack.enter_context(run_prometheus(tmp_path, targets))
        wait_for_scrapes(prometheus)
        yield Scene(service, redis, prometheus)


def test_drift_ends_with_the_calls_that_are_over(scene: Scene) -> None:
    ids = scene.get_grants(8)
    for one in ids:
        scene.service.call("POST", f"/v1/reservations/{one}/launched", {"port_taken": True})
    with Repetition(scene.push):
        wait_for(scene.prometheus, {"AdmissionDrift"})
        listed = scene.run_command("reservations", "Pushed", "--state", "live")
        for one in ids:
            assert one in listed
            scene.run_command("end", one)
        wait_for_end(scene.prometheus, "AdmissionDrift")


def test_what_was_set_aside_is_listed_and_cleared(scene: Scene) -> None:
    scene.get_grants(1)
    with scene.redis.client() as client:
        client.hset("adm:{Pushed}:req", "collections/odd", "no record")
        scene.ask(request_id="odd")
        wait_for(scene.prometheus, {"AdmissionEntriesSetAside"})
        assert "collections/odd" in scene.run_command("status", "Pushed")
        assert client.hget("adm:{Pushed}:aside", "request collections/odd") == b"no record"
        scene.run_command("clear-aside", "Pushed")
        assert scene.get_status()["set_aside"] == []
        assert "aside" in scene.run_command("audit", "Pushed")
    wait_for_end(scene.prometheus, "AdmissionEntriesSetAside")


def test_corrected_counts_are_right_again(scene: Scene) -> None:
    scene.get_grants(2)
    with scene.redis.client() as client:
        text = client.hget("adm:{Pushed}:pools", "campaign:collections").decode()
        wrong = text.replace('"in_use":2', '"in_use":9')
        assert wrong != text
        client.hset("adm:{Pushed}:pools", "campaign:collections", wrong)
    with Repetition(scene.push):
        wait_for(scene.prometheus, {"AdmissionCountsCorrected"})
        assert scene.find_pool("campaign:collections")["in_use"] == 2
        assert "recount" in scene.run_command("audit", "Pushed")
        wait_for_end(scene.prometheus, "AdmissionCountsCorrected")
    assert "counts differed" in scene.service.read_log()


def test_a_failed_undo_ends_with_the_rights_of_the_user(scene: Scene) -> None:
    scene.get_grants(1)
    with scene.redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-zadd", "-hdel")
        assert scene.ask()["status"] == 500
        client.execute_command("ACL", "SETUSER", "default", "+zadd", "+hdel")
        with Repetition(scene.ask, scene.push):
            wait_for(scene.prometheus, {"AdmissionUndoFailed"})
            assert scene.get_grants(1)
            wait_for_end(scene.prometheus, "AdmissionUndoFailed")
    logged = scene.service.read_log()
    assert "can't run this command" in logged
    assert "a failed call was not undone" in logged


def test_a_zone_that_stores_much_gets_a_larger_bound(scene: Scene) -> None:
    while scene.get_status("Small")["stored"]["reservations"] < 450:
        scene.ask("Small", count=50)
    wait_for(scene.prometheus, {"AdmissionStoresMuch"})
    status = scene.get_status("Small")["stored"]
    assert status["max_reservations"] == 1000
    scene.run_command("set", "Small", "max_records=5000")
    wait_for_end(scene.prometheus, "AdmissionStoresMuch")


def test_zones_that_may_need_more_memory_than_there_is(scene: Scene) -> None:
    with scene.redis.client() as client:
        client.config_set("maxmemory", 200 * 2**20)
        wait_for(scene.prometheus, {"AdmissionMemoryBound"})
        for zone in ("Pushed", "Large"):
            scene.run_command("set", zone, "max_records=20000")
        wait_for_end(scene.prometheus, "AdmissionMemoryBound")
        client.config_set("maxmemory", 0)


def test_a_status_is_slow_while_redis_is(scene: Scene) -> None:
    """Redis is held for a moment again and again; a status of 4000 pools takes many calls."""
    with scene.redis.client() as client:
        pause = lambda: client.execute_command("CLIENT", "PAUSE", "250", "ALL")  # noqa: E731
        with Repetition(pause, pause_s=0.05), Repetition(lambda: scene.ask("Large"), pause_s=0.05):
            wait_for(scene.prometheus, {"AdmissionStatusSlow"})
    with Repetition(lambda: scene.ask("Large")):
        wait_for_end(scene.prometheus, "AdmissionStatusSlow")


def test_a_zone_that_loses_its_state_again_and_again(scene: Scene) -> None:
    """All of it: the counter of recoveries is lost as well."""
    scene.get_grants(1)
    with scene.redis.client() as client:
        lose = Repetition(client.flushall, pause_s=1.3)
        with Repetition(scene.ask, scene.push), lose:
            wait_for(scene.prometheus, {"AdmissionRecoversAgainAndAgain"})
        assert "its state in Redis was lost" in scene.service.read_log()
        assert client.info("commandstats")["cmdstat_flushall"]["calls"] > 3
    with Repetition(scene.push):
        wait_for_end(scene.prometheus, "AdmissionRecoversAgainAndAgain")
