"""What was learned of a channel, before policy uses it: page, metrics and command line show the
numbers of the status."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from admission.cli.main import main
from tests.http.dashboard.conftest import PATIENCE_MS, DashboardHarness
from tests.http.dashboard.test_page import without_faults_in_both_themes
from tests.support.service import wait_until
from tests.support.tools import module, tool

pytestmark = pytest.mark.asyncio(loop_scope="module")

tool("chromium")
expect = module("playwright.async_api").expect
expect.set_options(timeout=PATIENCE_MS)

SIP = "channel:sip"


@pytest_asyncio.fixture(loop_scope="module")
async def learned(dashboard: DashboardHarness) -> AsyncIterator[dict[str, Any]]:
    """The pool of a channel whose last port was wanted between two snapshots, and stands still."""
    while (answer := await dashboard.ask(campaign="surveys", channel="sip"))["granted"]:
        pass
    assert answer["reason"] == "no_capacity"
    await dashboard.push_snapshot(sip=2, h323=2)

    async def stands_still() -> bool:
        """Until it lapses, the ceiling may fall by a step."""
        return bool((await dashboard.pool(SIP))["learned"]["fallback"] == "stale")

    await wait_until(stands_still)
    yield await dashboard.pool(SIP)


async def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert await asyncio.to_thread(main, [*arguments]) == 0
    return capsys.readouterr().out


async def test_the_status_has_everything_that_was_learned(learned: dict[str, Any]) -> None:
    found = learned["learned"]
    assert not found["in_force"]
    assert found["doubts"] == ["cold"]
    assert 0 <= found["ceiling"] <= 12
    assert 0 < found["claim_median_ms"] < found["claim_p99_ms"]
    assert found["count_age_ms"] > 0
    assert found["foreign_sd_per_s"] > 0
    assert found["wanted_s"] >= 0
    assert isinstance(found["gain_ports"], float)


async def test_the_metrics_are_those_of_the_status(
    learned: dict[str, Any], dashboard: DashboardHarness
) -> None:
    found = learned["learned"]
    async with dashboard.http.get("/metrics") as answer:
        text = await answer.text()
    values = dict(
        re.findall(r'^(admission_learned_\w+\{channel="sip".*\}) (\S+)$', text, re.MULTILINE)
    )
    expected = {
        "ceiling": found["ceiling"],
        "ceiling_in_force": 0,
        "count_age_seconds": found["count_age_ms"] / 1000,
        "foreign_drift_ports": found["foreign_sd_per_s"],
        "foreign_trend_ports": found["foreign_slope_per_s"],
        "gain_ports": found["gain_ports"],
        "wanted_seconds": found["wanted_s"],
    }
    shown = {
        name: float(values[f'admission_learned_{name}{{channel="sip",zone="East"}}'])
        for name in expected
    }
    assert shown == expected
    for quantile, name in (("0.5", "median"), ("0.99", "p99")):
        labels = f'{{channel="sip",quantile="{quantile}",zone="East"}}'
        value = float(values[f"admission_learned_claim_seconds{labels}"])
        assert value == found[f"claim_{name}_ms"] / 1000
    assert values['admission_learned_doubt{channel="sip",reason="cold",zone="East"}'] == "1.0"


async def test_the_command_line_shows_the_same(
    learned: dict[str, Any], dashboard: DashboardHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    found = learned["learned"]
    address = ("--url", dashboard.url)
    pools = json.loads(await run(capsys, "status", "East", *address, "--json"))["pools"]
    (pool,) = (one for one in pools if one["pool"] == SIP)
    assert pool["learned"] == found | {"age_ms": pool["learned"]["age_ms"]}
    text = re.sub(r" +", " ", await run(capsys, "status", "East", *address))
    for line in (
        f"learned of {SIP} allows now {found['ceiling']}, proved {learned['ceiling']}",
        "cannot count cold: too few snapshots so far",
        f"claim time {found['claim_median_ms']} ms median, {found['claim_p99_ms']} ms p99",
        f"age of counts {found['count_age_ms']} ms",
        f"others drift by {found['foreign_sd_per_s']} ports in a second",
        f"last hour {found['gain_ports']:+} ports beyond the proved ceiling",
    ):
        assert line in text
    overview = await run(capsys, "status", *address)
    assert f"learned ceiling {found['ceiling']} (cold)" in overview


async def test_the_page_shows_the_same(
    page: Any, learned: dict[str, Any], dashboard: DashboardHarness
) -> None:
    found = learned["learned"]
    await page.goto(dashboard.url)
    row = page.locator("#learned > li").filter(has_text="SIP")
    await expect(row.locator("h3")).to_contain_text("not trusted: too few snapshots so far")
    shown = {
        await one.locator("dt").inner_text(): await one.locator("dd").inner_text()
        for one in await row.locator("dl > div").all()
    }
    assert shown["Allows now"] == str(found["ceiling"])
    assert shown["Proved"] == str(learned["ceiling"])
    times = shown["Claim time, median / 99%"]
    assert times.startswith(_format_ms(found["claim_median_ms"]))
    assert times.endswith(_format_ms(found["claim_p99_ms"]))
    assert shown["Age of counts"] == _format_ms(found["count_age_ms"])
    assert float(shown["Others drift, ports in a second"]) == pytest.approx(
        found["foreign_sd_per_s"], abs=0.051
    )
    gain = float(shown["Beyond proved, last hour"].removesuffix(" ports").replace("\u2212", "-"))
    assert gain == pytest.approx(found["gain_ports"], abs=0.051)
    await without_faults_in_both_themes(page)
    if folder := os.environ.get("ADMISSION_SCREENSHOTS"):
        await page.locator("#board").screenshot(path=Path(folder) / "learned.png")


def _format_ms(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
