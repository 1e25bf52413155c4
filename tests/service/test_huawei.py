"""The whole service in front of a simulated Huawei call centre, everything over real HTTP."""

import asyncio
import logging
from typing import Any

import pytest

from admission.http.schemas.responses import ZoneStatus
from tests.support.huawei_platform import center
from tests.support.huawei_service import (
    AGENTS,
    POLICY,
    WAIT_S,
    HuaweiHarness,
    pool_of,
    serve_huawei_service,
    simulated,
    source_of,
    sources,
)
from tests.support.secrets import AGENT_PASSWORD, keep_secret
from tests.support.service import serve_service, service_settings

# Longer than a busy machine stands still: a zone without calls for as long recovers, and says
# that, until its source counts again.
FAST_TO_STALE = POLICY.replace("poll_min_ms = 20", "poll_min_ms = 20\nmax_age_ms = 3000")


async def asked(at: HuaweiHarness, until: str | None = None, **fields: Any) -> dict[str, Any]:
    """Ask, and ask again until the decision or the reason is that."""
    async with asyncio.timeout(WAIT_S):
        answer = await at.harness.ask(zone="Center", **fields)
        while until and until not in (answer["decision"], answer.get("reason")):
            await at.status()
            answer = await at.harness.ask(zone="Center", **fields)
    return dict(answer)


# -- what is fed


async def test_both_sources_feed_the_zone_each_its_own_pools(redis_url: str) -> None:
    async with serve_huawei_service(redis_url) as at:
        await at.at.call(1002)
        await at.can_grant()
        await at.until(lambda s: pool_of(s, "agent:1002")["snapshot"]["unused"] == 0)
        status = await at.until(lambda s: source_of(s, "cms")["notes"]["agents_signed_in"] == 3)

    assert pool_of(status, "channel:voice")["snapshot"]["total"] == 6
    assert pool_of(status, "channel:ivr")["snapshot"]["unused"] == 4
    assert [pool_of(status, f"agent:{one}")["snapshot"]["unused"] for one in AGENTS] == [1, 0, 1]
    assert [source_of(status, name)["state"] for name in ("cms", "agents")] == ["ok", "ok"]
    assert source_of(status, "agents")["notes"] == {"agents": 3, "agents_counted": 3}
    assert ZoneStatus.model_validate(status).sources[0].state == "ok"


async def test_an_ivr_call_takes_both_licences_and_an_agent_one_call(redis_url: str) -> None:
    async with serve_huawei_service(redis_url) as at:
        await at.can_grant()
        await asked(at, "grant", channel="ivr")
        first = await asked(at, "grant", channel="voice", pools=["agent:1001"])
        second = await asked(at, channel="voice", pools=["agent:1001"])
        status = await at.status()

    assert first["decision"] == "grant"
    assert (second["reason"], second["pool"]) == ("pool_full", "agent:1001")
    assert pool_of(status, "channel:voice")["in_use"] == 2
    assert pool_of(status, "channel:ivr")["in_use"] == 1


async def test_an_agent_in_a_foreign_call_is_full(redis_url: str) -> None:
    async with serve_huawei_service(redis_url) as at:
        await at.at.call(1002)
        await at.can_grant()
        denied = await asked(at, "pool_full", channel="voice", pools=["agent:1002"])

    assert (denied["pool"], denied["limit"]) == ("agent:1002", 0)


async def test_agents_that_cannot_be_counted_become_stale_and_nothing_else(redis_url: str) -> None:
    async with serve_huawei_service(redis_url, policy=FAST_TO_STALE) as at:
        await at.can_grant()
        await asked(at, "grant", channel="voice", pools=["agent:1001"])
        await at.at.misbehave("code", "callnums", code="100-003")
        denied = await asked(at, "stale_snapshot", channel="voice", pools=["agent:1002"])
        granted = await asked(at, "grant", channel="voice")
        status = await at.status()

    assert denied["pool"] == "agent:1002"
    assert granted["decision"] == "grant"
    assert source_of(status, "cms")["state"] == "ok"
    assert source_of(status, "agents")["state"] == "failing"
    assert "the provider is unavailable (100-003)" in source_of(status, "agents")["last_error"]


async def test_licences_that_cannot_be_counted_become_stale_and_no_agent(redis_url: str) -> None:
    async with serve_huawei_service(redis_url, policy=FAST_TO_STALE) as at:
        await at.can_grant()
        await asked(at, "grant", channel="voice")
        await at.at.misbehave("code", "licence", code="0100999")
        denied = await asked(at, "stale_snapshot", channel="voice")
        status = await at.status()

    assert denied["pool"] == "channel:voice"
    assert source_of(status, "agents")["state"] == "ok"
    assert "error 0100999: unknown error there" in source_of(status, "cms")["last_error"]


async def test_a_licence_that_is_not_available_needs_a_capacity(redis_url: str) -> None:
    policy = POLICY.replace('"ivr"]\nlaunch', '"ivr", "web"]\nlaunch')
    policy += "[zones.Center.capacity]\nweb = 2\n"
    only_voice = simulated(licences={"voice": 6}, takes={})
    async with serve_huawei_service(redis_url, only_voice, policy=policy) as at:
        await asked(at, "grant", channel="voice")
        web = [await asked(at, "grant", channel="web") for _ in range(2)]
        full = await asked(at, channel="web")
        ivr = await asked(at, channel="ivr")

    assert [one["decision"] for one in web] == ["grant", "grant"]
    assert (full["reason"], full["limit"]) == ("no_capacity", 2)
    assert (ivr["reason"], ivr["pool"]) == ("no_snapshot", "channel:ivr")


async def test_impossible_counts_are_refused_and_the_last_good_ones_stay(redis_url: str) -> None:
    async with serve_huawei_service(redis_url) as at:
        await at.can_grant()
        await at.at.misbehave("wrap", "licence")
        status = await at.until(lambda s: "snapshot" not in pool_of(s, "channel:voice") or (
            pool_of(s, "channel:voice")["snapshot"].get("unused") is None
        ))  # fmt: skip
        denied = await asked(at, channel="voice")

    assert pool_of(status, "channel:voice").get("ceiling") is None
    assert denied["reason"] == "no_snapshot"


async def test_a_licence_lowered_below_its_use_leaves_no_room(redis_url: str) -> None:
    # Without a lag: the licence is lowered at once, and a count of calls of before the others came
    # would say that there is room.
    async with serve_huawei_service(redis_url, simulated(lag_ms=0)) as at:
        await at.can_grant()
        wave = {"calls": 4, "hold_ms": 600_000}
        await at.at.control("POST", "/occupy", wave)
        await at.at.control("PUT", "/licences/voice", {"calls": 3})
        status = await at.until(lambda s: pool_of(s, "channel:voice")["snapshot"]["total"] == 3)
        denied = await asked(at, channel="voice")

    assert pool_of(status, "channel:voice")["snapshot"]["unused"] == 0
    assert (denied["reason"], denied["limit"]) == ("no_capacity", 0)
    assert source_of(status, "cms")["state"] == "ok"


async def test_the_platform_s_fail_code_decides_the_outcome(redis_url: str) -> None:
    async with serve_huawei_service(redis_url) as at:
        await at.can_grant()
        for code in ("34606", "01048", "00602", "00605"):
            one = (await asked(at, "grant", channel="voice"))["reservations"][0]["id"]
            body = {"outcome": "bad_number", "platform_code": code}
            await at.harness.send("POST", f"/v1/reservations/{one}/end", body)
            shown = await at.harness.get(f"/v1/reservations/{one}")
            assert (code, shown["outcome"]) == (code, "no_resource")


# -- what the operator sees


async def test_a_wrong_secret_is_one_line_of_the_log_and_stands_in_the_status(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = keep_secret("wr0ng-secret-of-tests")
    caplog.set_level(logging.INFO, logger="admission.sources")
    async with serve_huawei_service(redis_url, secret=wrong, password=wrong) as at:
        status = await at.until(
            lambda s: all(source_of(s, name).get("failures", 0) >= 3 for name in ("cms", "agents"))
        )

    lines = [one.getMessage() for one in caplog.records if one.name.startswith("admission.sources")]
    errors = {name: source_of(status, name)["last_error"] for name in ("cms", "agents")}
    assert "the credentials are refused (401): check access_key and secret_key" in errors["cms"]
    assert "its id, password or phone is refused (100-004)" in errors["agents"]
    assert sorted(lines) == sorted(
        f"zone Center: source {name} is failing: {error}" for name, error in errors.items()
    )


async def test_an_expired_licence_stands_in_the_status_and_is_logged_once(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve_huawei_service(redis_url, simulated(license_end=20200131)) as at:
        status = await at.until(lambda s: source_of(s, "cms").get("polls", 0) >= 5)

    errors = "the licence expired on 2020-01-31"
    assert source_of(status, "cms")["warnings"] == [errors]
    assert source_of(status, "cms")["notes"]["licence_expired"] is True
    assert source_of(status, "cms")["state"] == "ok"
    assert [one.levelname for one in caplog.records if errors in one.getMessage()] == ["WARNING"]


async def test_agents_are_signed_out_when_the_service_ends(redis_url: str) -> None:
    async with center(simulated()) as at:
        text, environ = sources(at.url)
        async with serve_service(service_settings(text + POLICY, redis_url, environ)):
            await at.until(lambda truth: truth["signed_in"] == list(AGENTS))
            await at.call(1003)
        truth = await at.truth()

    assert (truth["signed_in"], truth["left_talking"]) == ([1003], [])


# -- sessions that are handed over


async def test_a_session_handed_to_any_replica_is_counted_by_the_one_that_polls(
    redis_url: str,
) -> None:
    async with center(simulated(needs_cookies=False)) as at:
        text, environ = sources(at.url, owned=False)
        settings = service_settings(text + POLICY, redis_url, environ)
        async with serve_service(settings) as harness, serve_service(settings) as other:
            centre = HuaweiHarness(harness, at, settings)
            await centre.until(lambda s: source_of(s, "cms")["state"] == "ok")
            guid = keep_secret(await at.sign_in(1001))
            body = {"guid": guid}
            status, answer = await other.send("PUT", "/v1/zones/Center/agents/1001/guid", body)
            await centre.until(lambda s: pool_of(s, "agent:1001").get("snapshot") is not None)

    assert status == 200
    assert guid not in str(answer)
    assert answer == {"now": answer["now"], "zone": "Center", "agent": 1001, "pool": "agent:1001"}


@pytest.mark.parametrize(
    ("policy", "agent", "says"),
    [
        (POLICY.replace("agent:*", "agent:1001"), 1002, "there is no pool agent:1002"),
        (
            POLICY.replace('"cms", "agents"', '"cms"'),
            1001,
            "no source of zone Center counts",
        ),
    ],
)
async def test_a_session_that_no_source_counts_is_refused(
    redis_url: str, policy: str, agent: int, says: str
) -> None:
    async with serve_huawei_service(redis_url, policy=policy, owned=False) as at:
        path = f"/v1/zones/Center/agents/{agent}/guid"
        status, answer = await at.harness.send("PUT", path, {"guid": AGENT_PASSWORD})

    assert status == 404
    assert says in answer["detail"]
