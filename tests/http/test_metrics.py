"""Metrics: stable names, bounded labels."""

import asyncio
import re
import time

import pytest
from aiohttp import ClientSession

from admission.domain.types import Role, StoreMemory
from admission.errors import NotFound, Unavailable
from admission.http.app import create_app
from admission.http.auth.tokens import Credentials
from admission.runtime import process
from admission.tasks import cancel_and_wait
from admission.telemetry import ReplicaFacts
from admission.telemetry.metrics import Telemetry
from admission.telemetry.zone_metrics import POOL_LABELS_MAX
from tests.support.http_server import ASK, ID, NOW, FakeDecider, serving
from tests.support.tokens import token


def lines(telemetry: Telemetry, **statuses: object) -> list[str]:
    text = telemetry.scrape(statuses).decode()  # type: ignore[arg-type]
    return [one for one in text.splitlines() if one.startswith("admission_")]


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        ({"decision": "grant"}, 'decision="grant",reason=""'),
        ({"decision": "grant", "reason": "mpp_full"}, 'decision="grant",reason="mpp_full"'),
        ({"decision": "deny", "reason": "no_capacity"}, 'decision="deny",reason="no_capacity"'),
        ({"decision": "grant", "repeated": True}, 'decision="repeated",reason=""'),
        ({"decision": "grant", "dry_run": True}, 'decision="dry_run",reason=""'),
        (
            {"decision": "grant", "shadow": True, "reason": "no_capacity"},
            'decision="shadow",reason="no_capacity"',
        ),
    ],
)
def test_a_decision_is_counted(answer: dict[str, object], labels: str) -> None:
    telemetry = Telemetry()
    telemetry.count_decisions("East", [answer], 0.001)
    counted = f'admission_decisions_total{{{labels},zone="East"}} 1.0'
    assert counted in lines(telemetry)
    assert "admission_decision_duration_seconds_count 1.0" in lines(telemetry)


def test_a_decision_that_waited_has_no_time() -> None:
    telemetry = Telemetry()
    telemetry.count_decisions("East", [{"decision": "grant"}], None)
    assert "admission_decision_duration_seconds_count 0.0" in lines(telemetry)


def test_a_batch_is_timed_once_and_each_of_its_asks_is_counted() -> None:
    telemetry = Telemetry()
    grant, deny = {"decision": "grant"}, {"decision": "deny", "reason": "no_capacity"}
    telemetry.count_decisions("East", [grant, deny, grant], 0.001)
    text = lines(telemetry)
    name = "admission_decisions_total"
    assert f'{name}{{decision="grant",reason="",zone="East"}} 2.0' in text
    assert f'{name}{{decision="deny",reason="no_capacity",zone="East"}} 1.0' in text
    assert "admission_decision_duration_seconds_count 1.0" in text


def test_snapshots_and_polls_are_counted() -> None:
    telemetry = Telemetry()
    telemetry.count_snapshot("East")
    telemetry.count_snapshot("East", "future")
    telemetry.count_poll("East", "epm")
    telemetry.count_poll("East", "epm", failed=True)
    telemetry.observe_batch(7)
    found = lines(telemetry)
    assert 'admission_snapshots_total{accepted="true",reason="",zone="East"} 1.0' in found
    assert 'admission_snapshots_total{accepted="false",reason="future",zone="East"} 1.0' in found
    assert 'admission_source_polls_total{source="epm",zone="East"} 2.0' in found
    assert 'admission_source_failures_total{source="epm",zone="East"} 1.0' in found
    assert "admission_ledger_batch_size_sum 7.0" in found


def test_a_pool_that_is_gone_leaves_no_trace() -> None:
    telemetry = Telemetry()
    pool = {"pool": "channel:sip", "in_use": 1}
    assert any("channel:sip" in one for one in lines(telemetry, East={"pools": [pool]}))
    assert not any("channel:sip" in one for one in lines(telemetry, East={"pools": []}))


def test_pools_that_callers_make_are_no_labels() -> None:
    pools = [{"pool": "campaign:made-up", "in_use": 1, "wildcard": True}]
    assert not any("made-up" in one for one in lines(Telemetry(), East={"pools": pools}))


def test_labels_are_bounded_and_the_platforms_own_come_first() -> None:
    pools = [{"pool": f"agent:{n}", "in_use": 0} for n in range(2 * POOL_LABELS_MAX)]
    pools.append({"pool": "channel:sip", "in_use": 3})
    found = [one for one in lines(Telemetry(), East={"pools": pools}) if "pool_in_use" in one]
    assert len(found) == POOL_LABELS_MAX
    assert 'admission_pool_in_use{pool="channel:sip",zone="East"} 3.0' in found


async def test_a_scrape_has_the_counts_of_some_calls(
    http: ClientSession, decider: FakeDecider
) -> None:
    for body in (ASK, {**ASK, "campaign": "not in the policy"}, {**ASK, "zone": "nowhere"}):
        async with http.post("/v1/admissions", json=body):
            pass
    async with http.post(f"/v1/reservations/{ID}/end", json={"outcome": "busy"}):
        pass
    decider.fault = NotFound("Unknown reservation.")
    async with http.post(f"/v1/reservations/{ID}/end"):
        pass
    decider.fault = None
    async with http.get("/metrics") as answer:
        text = await answer.text()
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for line in (
        'admission_decisions_total{decision="grant",reason="",zone="East"} 1.0',
        'admission_reports_total{outcome="busy",verb="end",zone="East"} 1.0',
        'admission_reports_total{outcome="unknown_reservation",verb="end",zone="East"} 1.0',
        'admission_pool_in_use{pool="channel:sip",zone="East"} 7.0',
        'admission_pool_ceiling{pool="channel:sip",zone="East"} 69.0',
        'admission_pool_limit{pool="channel:sip",zone="East"} 60.0',
        'admission_pool_held{pool="channel:sip",zone="East"} 5.0',
        'admission_pool_pending{pool="channel:sip",zone="East"} 2.0',
        'admission_snapshot_age_seconds{channel="sip",zone="East"} 0.412',
        'admission_zone_recovering{zone="West"} 1.0',
        'admission_zone_up{zone="West"} 1.0',
    ):
        assert line in text
    assert not re.search("not in the policy|nowhere", text)
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(set(names)) == len(names)


async def test_without_the_store_the_counters_are_still_there(
    http: ClientSession, decider: FakeDecider
) -> None:
    decider.fault = Unavailable("The store does not answer.")
    async with http.get("/metrics") as answer:
        text = await answer.text()
    assert answer.status == 200
    assert 'admission_zone_up{zone="East"} 0.0' in text
    assert "admission_decision_duration_seconds_count 0.0" in text


SIP = {"age_ms": 412, "total": 240, "unused": 64, "group": "h323+sip", "foreign": 17}
LEARNED = {
    **{"in_force": True, "ceiling": 231, "claim_median_ms": 550, "claim_p99_ms": 1010},
    **{"count_age_ms": 220, "foreign_sd_per_s": 1.73, "foreign_slope_per_s": -0.5},
    **{"gain_ports": 12.25, "wanted_s": 1800.5, "doubts": ["restless", "failing"]},
}
STATUS: dict[str, object] = {
    "recovering": False,
    "shadow": True,
    "paused": {"zone": NOW, "mpp:mpp1": NOW},
    "policy": {"version": 3, "digest": "d", "differs_from_file": True},
    "waiters": 4,
    "longest_wait_ms": 1500,
    "max_age_ms": 10_000,
    "pools": [
        {
            "pool": "channel:sip",
            "in_use": 7,
            "headroom": 5,
            "adaptive_headroom": 2,
            "room": 30,
            "snapshot": SIP,
            "learned": LEARNED,
        },
        {
            "pool": "channel:h323",
            "in_use": 1,
            "snapshot": SIP | {"unused": 3},
            "learned": {
                **{"in_force": False, "ceiling": None, "claim_median_ms": None},
                **{"doubts": [], "fallback": "recovering"},
            },
        },
    ],
    "stats": {
        "grant": 90,
        "deny:no_capacity": 12,
        "shadow": 2,
        "end:busy": 3,
        "end:no_resource": 1,
        "expired": 4,
        "withdrawn": 5,
        "adopted": 6,
        "breaker": 7,
        "recovery": 8,
        "fallback:stale": 9,
        "port_ms:collections": 12_345_500,
        "port_ms:*": 1_000,
    },
}


def test_the_status_is_exported_as_metrics() -> None:
    found = lines(Telemetry(), East=STATUS)
    for line in (
        'zone_shadow{zone="East"} 1.0',
        'pool_paused{pool="zone",zone="East"} 1.0',
        'pool_paused{pool="mpp:mpp1",zone="East"} 1.0',
        'policy_out_of_sync{zone="East"} 1.0',
        'waiters{zone="East"} 4.0',
        'longest_wait_seconds{zone="East"} 1.5',
        'snapshot_max_age_seconds{zone="East"} 10.0',
        'pool_headroom{pool="channel:sip",zone="East"} 5.0',
        'pool_adaptive_headroom{pool="channel:sip",zone="East"} 2.0',
        'learned_ceiling{channel="sip",zone="East"} 231.0',
        'learned_ceiling_in_force{channel="sip",zone="East"} 1.0',
        'learned_ceiling_in_force{channel="h323",zone="East"} 0.0',
        'learned_claim_seconds{channel="sip",quantile="0.5",zone="East"} 0.55',
        'learned_claim_seconds{channel="sip",quantile="0.99",zone="East"} 1.01',
        'learned_count_age_seconds{channel="sip",zone="East"} 0.22',
        'learned_foreign_drift_ports{channel="sip",zone="East"} 1.73',
        'learned_foreign_trend_ports{channel="sip",zone="East"} -0.5',
        'learned_doubt{channel="sip",reason="restless",zone="East"} 1.0',
        'learned_doubt{channel="sip",reason="failing",zone="East"} 1.0',
        'learned_doubt{channel="h323",reason="recovering",zone="East"} 1.0',
        'learned_gain_ports{channel="sip",zone="East"} 12.25',
        'learned_wanted_seconds{channel="sip",zone="East"} 1800.5',
        'ceiling_fallbacks_total{reason="stale",zone="East"} 9.0',
        'pool_available{pool="channel:sip",zone="East"} 30.0',
        'snapshot_total{channel="sip",zone="East"} 240.0',
        'snapshot_unused{channel="h323",zone="East"} 3.0',
        'foreign_ports{group="h323+sip",zone="East"} 17.0',
        'unseen_reservations{group="h323+sip",zone="East"} 0.0',
        'zone_granted_total{zone="East"} 90.0',
        'zone_denied_total{reason="no_capacity",zone="East"} 12.0',
        'zone_shadow_granted_total{zone="East"} 2.0',
        'zone_ended_total{outcome="busy",zone="East"} 3.0',
        'over_launches_total{zone="East"} 1.0',
        'reservations_expired_total{zone="East"} 4.0',
        'withdrawn_total{zone="East"} 5.0',
        'adopted_total{zone="East"} 6.0',
        'breaker_openings_total{zone="East"} 7.0',
        'recoveries_total{zone="East"} 8.0',
        'campaign_port_seconds_total{campaign="collections",zone="East"} 12345.5',
        'campaign_port_seconds_total{campaign="*",zone="East"} 1.0',
    ):
        assert f"admission_{line}" in found
    assert 'admission_learned_ceiling{channel="h323"' not in "\n".join(found)


def test_calls_that_the_platform_does_not_show_are_drift() -> None:
    pools = [{"pool": "channel:sip", "in_use": 7, "snapshot": SIP | {"foreign": -3}}]
    found = lines(Telemetry(), East={"pools": pools})
    assert 'admission_unseen_reservations{group="h323+sip",zone="East"} 3.0' in found
    assert 'admission_foreign_ports{group="h323+sip",zone="East"} 0.0' in found


def test_the_time_of_a_call_of_the_ledger_is_observed() -> None:
    telemetry = Telemetry()
    telemetry.observe_call(0.004)
    assert "admission_ledger_call_seconds_sum 0.004" in lines(telemetry)


def test_what_expires_and_the_memory_of_the_store_are_shown() -> None:
    facts = ReplicaFacts(
        certificate_expires_at_s=1_900_000_000.0,
        token_expiries={"noc": 1_800_000_000.0},
        stores=[StoreMemory(server="redis:6379", used_bytes=80, limit_bytes=100)],
    )
    text = Telemetry().scrape({}, facts).decode().splitlines()
    for line in (
        "admission_certificate_expiry_timestamp_seconds 1.9e+09",
        'admission_token_expiry_timestamp_seconds{token="noc"} 1.8e+09',
        'admission_redis_memory_used_bytes{server="redis:6379"} 80.0',
        'admission_redis_memory_limit_bytes{server="redis:6379"} 100.0',
    ):
        assert line in text


async def test_a_scrape_has_the_tokens_that_expire_and_the_store(decider: FakeDecider) -> None:
    tokens = [token("ever", Role.VIEWER), token("noc", Role.VIEWER, expires_at_s=4e9)]
    app = create_app(decider, credentials=Credentials(tokens), metrics_public=True)
    async with serving(app) as served, served.http.get("/metrics") as answer:
        text = await answer.text()
    found = [one for one in text.splitlines() if one.startswith("admission_token_")]
    assert found == ['admission_token_expiry_timestamp_seconds{token="noc"} 4e+09']
    assert 'admission_redis_memory_used_bytes{server="redis:6379"} 80.0' in text


async def test_a_store_that_does_not_answer_hides_no_other_metric(
    decider: FakeDecider, http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: FakeDecider) -> list[StoreMemory]:
        raise Unavailable("Redis is out of reach.")

    monkeypatch.setattr(FakeDecider, "read_store_memory", fail)
    async with http.get("/metrics") as answer:
        text = await answer.text()
    assert "admission_redis_memory_used_bytes{" not in text
    assert "admission_event_loop_delay_seconds_count" in text


async def test_the_delay_of_the_event_loop_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOOP_INTERVAL_S", 0.001)
    recorded: asyncio.Queue[float] = asyncio.Queue()
    telemetry = Telemetry()
    monkeypatch.setattr(telemetry, "observe_loop_delay", recorded.put_nowait)
    task = asyncio.create_task(process.observe_loop(telemetry))
    await recorded.get()
    time.sleep(0.05)  # noqa: ASYNC251  what must not happen: the loop is held
    late = 0.0
    while late < 0.04:
        late = await recorded.get()
    await cancel_and_wait(task)


async def test_a_status_that_is_late_takes_no_other_metrics_with_it(
    decider: FakeDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(decider.zone("West"), "get_status", hang)
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": "1"}
    async with (
        serving(create_app(decider)) as server,
        asyncio.timeout(60),
        server.http.get("/metrics", headers=headers) as answer,
    ):
        text = await answer.text()
    assert 'admission_zone_up{zone="East"} 1.0' in text
    assert 'admission_zone_up{zone="West"} 0.0' in text


@pytest.mark.parametrize("stated", ["soon", "nan", "-1", "0", "1e9"])
async def test_a_scrape_without_a_sensible_limit_has_that_of_prometheus(
    decider: FakeDecider, stated: str
) -> None:
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": stated}
    async with (
        serving(create_app(decider)) as server,
        server.http.get("/metrics", headers=headers) as answer,
    ):
        assert 'admission_zone_up{zone="East"} 1.0' in await answer.text()
