"""What the whole service tells Prometheus, after some calls: nothing is lost on the way."""

from tests.support.service import ServiceHarness


async def test_what_happened_in_a_zone_is_scraped(harness: ServiceHarness) -> None:
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
    assert any(line.startswith("admission_campaign_port_seconds_total{") for line in lines)
    calls = [line for line in lines if line.startswith("admission_ledger_call_seconds_count ")]
    assert float(calls[0].split()[1]) > 0
    assert not any("made-up" in line for line in lines)
