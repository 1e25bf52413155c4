"""`admission measure` on a simulated Experience Portal whose every delay is known."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from admission.cli.main import main
from admission.sim.experience_portal.config import PortalSettings
from admission.sim.experience_portal.contract import CURRENT_PATH
from tests.support.experience_portal import Caller, calling_portal, exactly, system, timing

CLAIM_MS, RELEASE_MS = 150, 120
CALLS = ("--application", "outcall", "--to", "sip:test@example.com", "--settle-s", "0.2")


@pytest.fixture
async def platform() -> AsyncIterator[Caller]:
    calls = timing(
        prepare=exactly(CLAIM_MS),
        answer_after=exactly(50),
        talk=exactly(600_000),
        release=exactly(RELEASE_MS),
    )
    async with calling_portal(PortalSettings(system=system(calls=calls))) as caller:
        yield caller


@pytest.fixture
def file(platform: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EPM_PASSWORD", "dialer")
    path = tmp_path / "admission.toml"
    path.write_text(
        f"""
[sources.epm]
type = "experience_portal"
url = "{platform.url}{CURRENT_PATH}"
username = "dialer"
password = {{ env = "EPM_PASSWORD" }}
[zones.East]
source = "epm"
source_zone = "East"
channels = ["sip", "h323"]
[zones.East.campaigns."*"]
[zones.West]
source = "push"
channels = ["sip"]
"""
    )
    return path


async def measure(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    def run() -> int:
        try:
            return main(["measure", *map(str, arguments)])
        except SystemExit as end:
            return int(end.code or 0)

    capsys.readouterr()
    code = await asyncio.to_thread(run)
    return code, *capsys.readouterr()


async def live_calls(platform: Caller) -> int:
    zone = (await platform.control("GET", "/sim/truth"))["zones"]["East"]
    return int(zone["in_use"]["outbound"])


async def test_measure_finds_the_times_of_the_platform(
    platform: Caller, file: Path, capsys: pytest.CaptureFixture[str]
):
    code, out, err = await measure(
        capsys, "East", *CALLS, "--calls", "2", "--config", file,
        "--hangup-event", "sim.hangup", "--json",
    )  # fmt: skip
    measured = json.loads(out)
    assert code == 0
    # However slow this machine is, nothing is seen sooner than it happens (the simulator counts
    # whole ms). How late an end arrives here is part of the measurement.
    assert measured["claim"]["min"] >= CLAIM_MS - 1
    assert measured["claim_within_ms"] >= CLAIM_MS
    assert [measured[name]["calls"] for name in ("claim", "lag", "release")] == [2, 4, 2]
    assert err.count("port taken within") == 2
    assert measured["command"].startswith("admission set East claim_within_ms=")
    assert await live_calls(platform) == 0


async def test_measure_prints_a_table_and_draws_the_distribution(
    platform: Caller, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
):
    monkeypatch.setenv("ADMISSION_CONFIG", str(file))
    code, out, _ = await measure(
        capsys, "East", *CALLS, "--calls", "1", "--vxml", "--hangup-event", "sim.hangup", "--plot"
    )
    assert code == 0
    assert "claim_within_ms = " in out
    assert "release time, ms" in out
    assert "  admission set East claim_within_ms=" in out


async def test_failed_calls_are_left_out_and_end_the_measurement(
    platform: Caller, file: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ("--application", "x" * 200, *CALLS[2:])
    code, _, err = await measure(capsys, "East", *arguments, "--config", file)
    assert code == 1
    assert err.count("left out: LaunchCCXML") == 3
    assert err.endswith("admission: no call could be measured\n")


@pytest.fixture
def elsewhere(file: Path) -> Path:
    """A service of another kind."""
    file.write_text(file.read_text().replace(CURRENT_PATH, "/nothing/there"))
    return file


async def test_an_unreachable_platform_is_reported(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
):
    file = elsewhere
    code, _, err = await measure(capsys, "East", *CALLS, "--config", file)
    assert (code, "there is no such service (404)" in err) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("North", *CALLS), "there is no zone North in the configuration: it has East, West"),
        (("West", *CALLS), "zone West has no source of type experience_portal"),
        (("East", "--application", "x", "--to", "5550100"), "starts with tel:, sip: or sips:"),
        (("East", "--to", "sip:a@b"), "--application"),
    ],
)
async def test_wrong_usage(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], why: str
):
    code, _, err = await measure(capsys, *arguments, "--config", file)
    assert (code, why in err) == (2, True)


async def test_a_missing_configuration_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ADMISSION_CONFIG", raising=False)
    code, _, err = await measure(capsys, "East", *CALLS)
    assert (code, "admission.toml" in err) == (2, True)
