"""The example dialers against a service as a user starts it, with its simulated platform."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from admission.http.schemas.forms import EndForm, LaunchedForm
from tests.support.paths import ROOT
from tests.support.service_process import ServiceProcess
from tests.support.tools import tool

EXAMPLES = ROOT / "examples"
RUN_S = 120
CCXML = "{http://www.w3.org/2002/09/ccxml}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """On a busy machine a program may take longer to start than a launch may take."""
    running = ServiceProcess(tmp_path_factory.mktemp("service"))
    status, _ = running.call("PATCH", "/v1/zones/East/policy", {"launch_within_ms": 60_000})
    assert status == 200
    yield running
    running.stop()


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command of the Java example, compiled once."""
    folder = str(tmp_path_factory.mktemp("java"))
    compiled = run(tool("javac"), "-Xlint:all", "-Werror", "-d", folder, f"{EXAMPLES}/Dialer.java")
    assert compiled.returncode == 0, compiled.stderr
    return (tool("java"), "-cp", folder, "Dialer")


def run(*command: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=RUN_S
    )


def reservation(service: ServiceProcess, id: str) -> dict[str, object]:
    status, found = service.call("GET", f"/v1/reservations/{id}")
    assert status == 200
    return dict(found)


def platform_of(service: ServiceProcess) -> str:
    line = next(line for line in service.printed if line.startswith("source: simulator at "))
    return line.split()[-1]


def test_ten_lines_dial_and_the_page_reports(service: ServiceProcess) -> None:
    program = str(EXAMPLES / "ten_line_dialer.py")
    numbers = ("+15550100", "+15550101")
    done = run(sys.executable, program, platform_of(service), *numbers, ADMISSION_URL=service.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "+15550100: launched on sip\n+15550101: launched on sip\n"
    _, page = service.call("GET", "/v1/reservations?zone=East&campaign=collections")
    sessions = [one for one in page["reservations"] if one.get("session_id")]
    assert len(sessions) >= 2
    assert all(one["session_id"].startswith("East-") for one in sessions)


def test_java_requests_launches_and_reports(service: ServiceProcess, java: tuple[str, ...]) -> None:
    done = run(*java, service.url, "surveys")
    assert done.returncode == 0, done.stderr
    granted = re.fullmatch(r"granted (\S+) on sip\nended: ended\n", done.stdout)
    assert granted, done.stdout
    found = reservation(service, granted[1])
    assert (found["outcome"], found["session_id"]) == ("completed", "session-on-sip")
    assert found["granted_at"] < found["ended_at"] <= found["released_at"]


def test_java_distinguishes_a_denial_from_an_outage(
    service: ServiceProcess, java: tuple[str, ...]
) -> None:
    assert service.call("POST", "/v1/zones/East/pools/campaign:surveys/pause")[0] == 200
    denied = run(*java, service.url, "surveys")
    assert (denied.returncode, denied.stdout[:7]) == (1, "denied:")
    assert "pool_paused" in denied.stdout
    unreachable = run(*java, "http://127.0.0.1:1", "surveys")
    assert (unreachable.returncode, "no answer" in unreachable.stderr) == (3, True)


def test_the_ccxml_page_sends_only_what_the_service_takes(service: ServiceProcess) -> None:
    """The forms of its fetches, posted as a platform would, with the values the page gives them."""
    page = ElementTree.parse(EXAMPLES / "outcall.ccxml").getroot()
    values = {one.get("name"): one.get("expr") for one in page.iter(f"{CCXML}var")}
    forms = {"launched": LaunchedForm, "end": EndForm}
    posted = set()
    for fetch in page.iter(f"{CCXML}fetch"):
        verb = fetch.get("next").rpartition("/")[2].strip("'")
        names = fetch.get("namelist").split()
        assert fetch.get("method") == "'post'"
        assert set(names) <= set(forms[verb].model_fields)
        assert set(names) <= set(values)
        posted.add(verb)
    assert posted == {"launched", "end"}
    outcomes = re.findall(r"\"outcome\" expr=\"'(\w+)'\"", (EXAMPLES / "outcall.ccxml").read_text())
    assert len(outcomes) == 4
    assert all(EndForm.model_validate({"outcome": one}) for one in outcomes)
