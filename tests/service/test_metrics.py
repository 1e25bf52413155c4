"""The metrics of the whole service after some calls: no count is lost."""

from typing import Any

import pytest

from admission.service.bootstrap import _count_polls
from admission.service.zone import Zone
from admission.sources.polling.health import PollEvent
from admission.telemetry.metrics import Telemetry
from tests.support.service import ServiceHarness


async def test_the_events_of_a_zone_are_scraped(harness: ServiceHarness) -> None:
    granted = await harness.ask(channel="sip")
    await harness.ask(channel="sip", campaign="made-up", pools=["trunk:carrier-a"], count=99)
    (one,) = granted["reservations"]
    await harness.send("POST", f"/v1/reservations/{one['id']}/end", {"outcome": "no_resource"})
    await harness.send("POST", "/v1/zones/East/pause")
    await harness.ask()
    async with harness.http.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    for line in (
        'admission_zone_up{zone="East"} 1.0',
        'admission_zone_granted_total{zone="East"} 7.0',
        'admission_zone_denied_total{reason="zone_paused",zone="East"} 1.0',
        'admission_over_launches_total{zone="East"} 1.0',
        'admission_pool_paused{pool="zone",zone="East"} 1.0',
        'admission_pool_in_use{pool="trunk:carrier-a",zone="East"} 6.0',
        'admission_pool_limit{pool="campaign:collections",zone="East"} 8.0',
        'admission_recoveries_total{zone="East"} 1.0',
    ):
        assert line in lines
    sizes = dict(line.rsplit(" ", 1) for line in lines if "admission_redis_memory_" in line)
    used, limit = (
        next(float(one) for name, one in sizes.items() if f"{kind}_bytes{{" in name)
        for kind in ("used", "limit")
    )
    assert 0 < used < limit
    assert any(line.startswith("admission_campaign_port_seconds_total{") for line in lines)
    calls = [line for line in lines if line.startswith("admission_ledger_call_seconds_count ")]
    assert float(calls[0].split()[1]) > 0
    assert not any("made-up" in line for line in lines)


def test_a_polled_snapshot_is_counted_like_a_pushed_one() -> None:
    telemetry = Telemetry()
    count = _count_polls(telemetry)
    count(PollEvent(zone="East", source="epm", kind="accepted"))
    count(PollEvent(zone="East", source="epm", kind="refused", reason="inconsistent"))
    count(PollEvent(zone="East", source="epm", kind="failed", reason="timeout"))
    text = telemetry.scrape({}).decode()
    for line in (
        'admission_snapshots_total{accepted="true",reason="",zone="East"} 1.0',
        'admission_snapshots_total{accepted="false",reason="inconsistent",zone="East"} 1.0',
        'admission_source_polls_total{source="epm",zone="East"} 3.0',
        'admission_source_failures_total{source="epm",zone="East"} 1.0',
    ):
        assert line in text


async def test_a_repair_of_the_ledger_is_logged_once(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    components = harness.service.components
    zone, ledger = Zone("East", components), components.ledger
    read, stats = ledger.get_status, {"recounted": 3}

    async def repaired(name: str) -> Any:
        status = await read(name)
        return status | {"stats": status["stats"] | stats}

    monkeypatch.setattr(ledger, "get_status", repaired)
    await zone.get_status()
    assert "corrected" not in caplog.text  # of the time before this process
    stats |= {"recounted": 5, "set_aside": 0}
    await zone.get_status()
    await zone.get_status()
    assert caplog.text.count("were corrected (5 in total)") == 1
    stats["set_aside"] = 1
    await zone.get_status()
    assert caplog.text.count("unreadable entries were set aside") == 1
