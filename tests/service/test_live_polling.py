"""Polling follows the live policy, whichever replica changed it."""

import asyncio
import json
import logging
from typing import Any

import pytest
import redis

from admission.domain.policy.document import parse_policy
from admission.ledger.keys import zone_keys
from admission.service.policies import PolicyRegistry, stored_policy
from tests.support.polling import ScriptedSource
from tests.support.service import SOURCE, serve_service, service_settings

POLLED = (
    SOURCE
    + """
[zones.East]
source = "epm"
source_zone = "E1"
channels = ["sip"]
launch_within_ms = 1
claim_within_ms = 0
visibility_lag_ms = 0
poll_interval_ms = 50
poll_min_ms = 10
[zones.East.campaigns.collections]
"""
)
PATH = "/v1/zones/East/policy"


async def test_another_zone_of_the_platform_is_polled_when_the_policy_changes(
    redis_url: str, source: ScriptedSource
) -> None:
    async with serve_service(service_settings(POLLED, redis_url)) as harness:
        await source.wait_for_query("E1", ("sip",))
        await harness.send("PATCH", PATH, {"source_zone": "E2", "channels": ["sip", "h323"]})
        await source.wait_for_query("E2", ("sip", "h323"))


async def test_a_change_made_at_another_replica_reaches_the_poller(
    redis_url: str, source: ScriptedSource
) -> None:
    rarely = POLLED.replace("poll_interval_ms = 50", "poll_interval_ms = 9999")
    settings = service_settings(rarely, redis_url)
    async with serve_service(settings), serve_service(settings) as other:
        await source.wait_for_query("E1", ("sip",))
        await other.send("PATCH", PATH, {"source_zone": "E2"})
        async with asyncio.timeout(5):
            await source.wait_for_query("E2", ("sip",))


async def test_after_a_restart_the_live_policy_is_polled_and_never_that_of_the_file(
    redis_url: str, source: ScriptedSource
) -> None:
    settings = service_settings(POLLED, redis_url)
    async with serve_service(settings) as harness:
        await harness.send("PATCH", PATH, {"source_zone": "E2"})
        await source.wait_for_query("E2", ("sip",))
    source.queries.clear()
    async with serve_service(settings):
        await source.wait_for_query("E2", ("sip",))
    assert {one.source_zone for one in source.queries} == {"E2"}


async def test_a_zone_that_becomes_static_is_polled_no_more(
    redis_url: str, source: ScriptedSource
) -> None:
    async with serve_service(service_settings(POLLED, redis_url)) as harness:
        await source.wait_for_query("E1", ("sip",))
        await harness.send("PATCH", PATH, {"source": "static", "capacity": {"sip": 5}})
        async with asyncio.timeout(10):
            while harness.service.components.poller.health("East"):
                await harness.get(PATH)
        status = await harness.get("/v1/zones/East")
    assert [one["source"] for one in status["sources"]] == ["static"]


async def test_a_policy_of_another_release_leaves_decisions_and_polling_unchanged(
    redis_url: str,
    redis_sync: redis.Redis,
    source: ScriptedSource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve_service(service_settings(POLLED, redis_url)) as harness:
        await source.wait_for_query("E1", ("sip",))
        key = zone_keys("adm", "East")[5]
        newer = json.dumps(json.loads(redis_sync.hget(key, "source")) | {"from_the_future": 1})
        fields = json.loads(redis_sync.hget(key, "zone")) | {"version": 2}
        redis_sync.hset(
            key,
            mapping={"source": newer, "digest": "f", "version": 2, "zone": json.dumps(fields)},
        )
        with caplog.at_level(logging.ERROR):
            for on in (True, False):
                await harness.send("POST", f"/v1/zones/East/{'pause' if on else 'resume'}")
        source.queries.clear()
        await source.wait_for_query("E1", ("sip",))
        shown = await harness.get(PATH)
        status = await harness.get("/v1/zones/East")
    logged = [one for one in caplog.records if "not understood" in one.getMessage()]
    assert len(logged) == 1
    assert shown["policy"]["from_the_future"] == 1
    assert status["policy"] == {"version": 4, "digest": "f", "differs_from_file": True}


def test_a_zone_is_not_polled_before_its_live_policy_is_known() -> None:
    policy = parse_policy({"source": "epm", "channels": ["sip"]})
    policies, sources = PolicyRegistry({"East": policy}), {"epm": ScriptedSource()}
    assert policies.polls(sources) == {}
    assert policies.live("East") is policy

    policies.on_policy("East", stored_policy(policy))
    policies.on_policy("Elsewhere", stored_policy(policy))

    assert list(policies.polls(sources)) == ["East"]
    assert policies.changed.is_set()


def test_the_zones_can_be_read_while_the_file_is_reloaded() -> None:
    policy = parse_policy({"source": "epm", "channels": ["sip"]})
    policies = PolicyRegistry({"East": policy})
    reading = iter(policies.zones())
    policies.reload({"West": policy})
    assert list(reading) == ["East"]
    assert list(policies.zones()) == ["East", "West"]


def test_a_source_that_this_replica_does_not_have_is_logged_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    both: dict[str, Any] = {"sources": ["epm", "other"], "channels": ["sip"]}
    policies, source = PolicyRegistry({"East": parse_policy(both)}), ScriptedSource()
    policies.on_policy("East", stored_policy(parse_policy(both)))
    assert policies.polls({"epm": source})["East"].sources == (source,)
    assert "its source other" in caplog.text
