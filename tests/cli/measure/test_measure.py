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
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceHarness, serve_service, service_settings

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


PUSHED = """
[zones.East]
source = "push"
channels = ["sip"]
launch_within_ms = 1
claim_within_ms = 0
visibility_lag_ms = 0
max_age_ms = 600000
answer_within_ms = 900000
[zones.East.campaigns."*"]
"""


async def push_until_learned(service: ServiceHarness) -> dict[str, Any]:
    """Push snapshots until the service has learned from one; what it learned."""
    while True:
        now = (await service.get("/v1/zones/East/time"))["now"]
        body = {"taken_at": now, "total": 12, "unused": {"sip": 12}}
        await service.send("PUT", "/v1/zones/East/snapshot", body)
        (pool,) = (await service.get("/v1/zones/East"))["pools"]
        if pool["learned"]["claim_median_ms"]:
            return dict(pool["learned"])


async def test_what_the_service_has_learned_stands_beside_what_was_measured(
    file: Path, capsys: pytest.CaptureFixture[str], redis_server: RedisServer
):
    with redis_server.client() as client:
        client.flushall()
    settings = service_settings(PUSHED, redis_server.url)
    async with serve_service(settings, default_zone="East") as service:
        learned = await push_until_learned(service)
        address = ("--config", file, "--url", service.url)
        arguments = ("East", *CALLS, "--calls", "1", "--hangup-event", "sim.hangup", *address)
        code, out, _ = await measure(capsys, *arguments, "--json")
        assert code == 0
        answered = json.loads(out)["learned"]
        assert answered == learned | {
            name: answered[name] for name in ("age_ms", "ceiling", "fallback")
        }
        _, out, _ = await measure(capsys, *arguments)
    rows = [line.split() for line in out.splitlines()]
    assert [row[-1] for row in rows if row[:3] == ["claim", "time,", "median"]] == [
        str(learned["claim_median_ms"])
    ]
    assert [row[-1] for row in rows if row[:3] == ["claim", "time,", "longest"]] == [
        str(learned["claim_p99_ms"])
    ]
    assert [row[-1] for row in rows if row[:3] == ["age", "of", "counts,"]] == [
        str(learned["count_age_ms"])
    ]


async def test_without_a_service_the_times_are_measured_all_the_same(
    file: Path, capsys: pytest.CaptureFixture[str], unused_tcp_port: int
):
    nowhere = f"http://127.0.0.1:{unused_tcp_port}"
    code, out, err = await measure(
        capsys, "East", *CALLS, "--calls", "1", "--config", file,
        "--hangup-event", "sim.hangup", "--url", nowhere, "--json",
    )  # fmt: skip
    assert (code, json.loads(out)["learned"]) == (0, None)
    assert "what the service has learned is not known" in err


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
