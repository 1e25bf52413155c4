"""Alerts fire in a real Prometheus, each for a fault that its entry in the runbook names."""

import os
import signal
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.faults.alerting import Repetition, run_prometheus, wait_for
from tests.faults.load import find_free_ports
from tests.support.redis_server import RedisServer
from tests.support.service_process import ServiceProcess
from tests.support.tools import tool

pytestmark = pytest.mark.faults
# Zone by zone: grants that expire and fail; a platform that does not answer; a push that stops.
CONFIG = """
[server]
default_zone = "Static"
[redis]
url = "{redis}"
[sources.gone]
type = "experience_portal"
url = "http://127.0.0.1:9/axis2/services/VPAppIntfService"
auth = "none"
timeout_ms = 200
[zones.Static]
source = "static"
channels = ["sip"]
launch_within_ms = 500
claim_within_ms = 0
visibility_lag_ms = 0
max_age_ms = 1000
poll_interval_ms = 300
answer_within_ms = 1600
[zones.Static.capacity]
sip = 500
[zones.Static.campaigns."*"]
[zones.Gone]
source = "gone"
channels = ["sip"]
max_age_ms = 2000
[zones.Gone.campaigns."*"]
[zones.Pushed]
source = "push"
channels = ["sip"]
max_age_ms = 3000
[zones.Pushed.campaigns."*"]
"""
# Over TLS, with a token and a certificate that end soon.
SECURE = """
[server]
metrics_public = true
tls_cert = "cert.pem"
tls_key = "key.pem"
[[auth.tokens]]
name = "noc"
sha256 = "{digest}"
role = "operator"
expires = {expires}
[zones.Alone]
source = "static"
channels = ["sip"]
[zones.Alone.capacity]
sip = 1
[zones.Alone.campaigns."*"]
"""


def freeze(pid: int) -> None:
    """Hold a process for a third of a second."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.35)
    os.kill(pid, signal.SIGCONT)


def write_secure(folder: Path) -> Path:
    folder.mkdir()
    soon = datetime.now(UTC) + timedelta(days=3)
    issued = trustme.CA().issue_cert("127.0.0.1", not_after=soon)
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    text = SECURE.format(digest="1" * 64, expires=soon.date().isoformat())
    (folder / "secure.toml").write_text(text, "utf-8")
    return folder


def test_alerts_fire_for_the_faults_of_their_entries(tmp_path: Path) -> None:
    tool("prometheus")
    (tmp_path / "a.toml").write_text("")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        (tmp_path / "a.toml").write_text(CONFIG.format(redis=redis.url), "utf-8")
        service = ServiceProcess(tmp_path, "a.toml")
        stack.callback(service.stop, signal.SIGTERM)
        secure = ServiceProcess(write_secure(tmp_path / "secure"), "secure.toml")
        stack.callback(secure.stop, signal.SIGTERM)
        (closed,) = find_free_ports(1)
        plain = [service.url.removeprefix("http://"), f"127.0.0.1:{closed}"]
        targets = {"http": plain, "https": [secure.url.removeprefix("https://")]}
        url = stack.enter_context(run_prometheus(tmp_path, targets))

        def ask(zone: str) -> Any:
            body = {"zone": zone, "campaign": "collections", "channel": "sip"}
            return service.call("POST", "/v1/admissions", body)[1]

        def fail() -> None:
            """A granted call that finds no port."""
            for one in ask("Static").get("reservations", ()):
                end = {"outcome": "no_resource"}
                service.call("POST", f"/v1/reservations/{one['id']}/end", end)

        service.call("POST", "/v1/zones/Gone/pools/channel:sip/pause")
        service.call("PATCH", "/v1/zones/Static/policy", {"retention_ms": 60_000})
        now = service.call("GET", "/v1/zones/Pushed/time")[1]["now"]
        push = {"taken_at": now, "total": 9, "unused": {"sip": 9}}
        service.call("PUT", "/v1/zones/Pushed/snapshot", push)
        with redis.client() as client:
            slow = lambda: client.execute_command("CLIENT", "PAUSE", "300", "ALL")  # noqa: E731
            with Repetition(
                lambda: ask("Static"), fail, lambda: ask("Gone"), lambda: ask("Pushed")
            ):
                wait_for(
                    url,
                    {
                        "AdmissionDown",
                        "AdmissionOverLaunches",
                        "AdmissionRecovering",
                        "AdmissionSnapshotStale",
                        "AdmissionSourceFailing",
                        "AdmissionNothingGranted",
                        "AdmissionReservationsExpire",
                        "AdmissionPolicyDiffers",
                        "AdmissionPausedForLong",
                        "AdmissionCertificateExpires",
                        "AdmissionTokenExpires",
                    },
                )
            with (
                Repetition(slow, lambda: ask("Static")),
                Repetition(lambda: freeze(secure.process.pid), pause_s=0.4),
            ):
                wait_for(url, {"AdmissionSlow", "AdmissionLoopDelayed"})
            used = client.info("memory")["used_memory"]
            client.config_set("maxmemory", int(used * 1.1))
            wait_for(url, {"AdmissionRedisMemory"})
            client.config_set("maxmemory", 0)
        redis.kill()
        with Repetition(lambda: ask("Static")):
            wait_for(url, {"AdmissionZoneDown", "AdmissionServerErrors"})
