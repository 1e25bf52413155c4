"""A dialer's calls through the client, against the real service: they end whatever happens."""

import asyncio
from typing import Any

import pytest

from admission.client import (
    AdmissionClient,
    Denied,
    Granted,
    NotAdmitted,
    Outcome,
    Reason,
    Unavailable,
)
from admission.errors import Conflict, NotFound
from tests.support.proxy import FaultyProxy, address_of
from tests.support.service import ServiceHarness, wait_for_waiters


def lossy(harness: ServiceHarness) -> FaultyProxy:
    return FaultyProxy(address_of(harness.url))


async def test_a_call_is_requested_launched_and_ended(
    harness: ServiceHarness, client: AdmissionClient
):
    async with client.admission("collections", channel="sip") as grant:
        assert grant.launch_within_s() > 0
        assert await harness.in_use() == 1
        grant.launched(port_taken=True, session_id="s-1", mpp="mpp1")
        assert (await grant.settled()).state == "live"
        up = await harness.reservation(grant.id)
        assert (up["session_id"], up["mpp"], up["owner"]) == ("s-1", "mpp1", "dialer-1")
    over = await harness.reservation(grant.id)
    assert (over["state"], over["outcome"]) == ("ended", "completed")
    assert over["granted_at"] <= over["ended_at"] <= over["released_at"]
    assert await harness.in_use() == 0


async def test_a_block_that_raises_leaves_its_call_to_the_next_snapshot(
    harness: ServiceHarness, client: AdmissionClient
):
    ids = []

    async def call() -> None:
        async with client.admission("collections") as grant:
            ids.append(grant.id)
            grant.launched()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await call()
    over = await harness.reservation(ids[0])
    assert (over["state"], over["outcome"], over.get("ended_at")) == ("live", "unknown", None)


async def test_a_dialer_that_is_cancelled_reports_too(
    harness: ServiceHarness, client: AdmissionClient
):
    held = asyncio.Event()
    ids = []

    async def call() -> None:
        async with client.admission("collections") as grant:
            ids.append(grant.id)
            held.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await harness.wait_for_reservation(ids[0], outcome="unknown")


async def test_the_outcome_that_the_dialer_gives_is_reported_once(
    harness: ServiceHarness, client: AdmissionClient
):
    async with client.admission("collections") as grant:
        grant.ended(Outcome.BUSY)
        grant.ended("failed")
        assert (await grant.settled()).state == "ended"
    over = await harness.reservation(grant.id)
    assert over["outcome"] == "busy"
    with pytest.raises(ValueError, match="exploded"):
        grant.ended("exploded")


async def test_an_unknown_call_whose_end_is_known_later_has_ended(
    harness: ServiceHarness, client: AdmissionClient
):
    async with client.admission("collections") as grant:
        grant.launched()
        grant.ended("unknown")
        grant.launched()
        assert grant.over
    assert (await harness.reservation(grant.id))["outcome"] == "unknown"
    grant.ended("no_answer")
    await grant.settled()
    over = await harness.reservation(grant.id)
    assert (over["state"], over["outcome"]) == ("ended", "no_answer")


async def test_an_unknown_call_with_a_later_report_is_held_again(
    harness: ServiceHarness, client: AdmissionClient
):
    async with client.admission("collections") as grant:
        grant.ended("unknown")
        grant.launched(port_taken=True, session_id="s-1")
        assert not grant.over
        await grant.settled()
        up = await harness.reservation(grant.id)
        assert (up["state"], up.get("outcome")) == ("live", None)
    assert (await harness.reservation(grant.id))["outcome"] == "completed"


async def test_an_end_is_reported_in_zone_time_and_never_too_late(
    harness: ServiceHarness, client: AdmissionClient
):
    async with client.admission("collections") as grant:
        before = (await harness.get("/v1/zones/East/time"))["now"]
        noted = grant.zone_now()
        after = (await harness.get("/v1/zones/East/time"))["now"]
        assert noted <= after
        grant.ended(ended_at=noted)
    assert (await harness.reservation(grant.id))["ended_at"] == noted
    assert noted <= before + (after - before)


async def test_a_denial_is_a_value_and_raised_only_where_a_grant_is_needed(
    harness: ServiceHarness, client: AdmissionClient
):
    granted = await client.ask("collections", count=10, channel="sip")
    assert isinstance(granted, Granted)
    assert (granted.granted, len(granted.grants), granted.reason) == (8, 8, Reason.CAMPAIGN_LIMIT)
    denied = await client.ask("collections", channel="sip")
    assert isinstance(denied, Denied)
    assert (denied.pool, denied.limit) == ("campaign:collections", 8)
    with pytest.raises(NotAdmitted, match="campaign_limit") as refused:
        async with client.admission("collections"):
            raise AssertionError("it was denied")
    assert refused.value.answer.in_use == 8
    for grant in granted.grants:
        async with grant:
            grant.ended("not_launched")
    assert await harness.in_use() == 0


async def test_patience_waits_for_room(
    harness: ServiceHarness, client: AdmissionClient, redis_url: str
):
    first = await client.ask("collections", count=8, channel="sip")

    async def call() -> str:
        async with client.admission("collections", channel="sip", patience_s=60) as grant:
            return grant.id

    asking = asyncio.create_task(call())
    await wait_for_waiters(redis_url, 1)
    first.grants[0].ended()
    async with asyncio.timeout(30):
        assert await asking


async def test_a_cancelled_wait_leaves_no_reservation(
    harness: ServiceHarness, client: AdmissionClient, redis_url: str
):
    first = await client.ask("collections", count=8, channel="sip")
    asking = asyncio.create_task(client.ask("collections", channel="sip", wait_ms=30_000))
    await wait_for_waiters(redis_url, 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await wait_for_waiters(redis_url, 0)
    for grant in first.grants:
        async with grant:
            pass
    assert await harness.in_use() == 0


async def test_a_grant_that_arrives_too_late_is_returned_and_requested_again(
    harness: ServiceHarness,
):
    now, answers = [0.0], []

    class Slow(AdmissionClient):
        async def ask(self, campaign: str, **options: Any) -> Granted | Denied:
            answers.append(await super().ask(campaign, **options))
            now[0] += 20.0 if len(answers) == 1 else 0.0
            return answers[-1]

    async with (
        Slow(harness.url, stopwatch=lambda: now[0]) as slow,
        slow.admission("collections", channel="sip") as grant,
    ):
        assert grant.launch_within_s() == 20.0
        [late], [held] = answers[0].grants, answers[1].grants
        assert held is grant
        await late.settled()
        assert (await harness.reservation(late.id))["outcome"] == "not_launched"
        assert await harness.in_use() == 1


async def test_late_grants_are_not_requested_again_for_ever(
    harness: ServiceHarness,
):
    now = [0.0]

    class Slow(AdmissionClient):
        async def ask(self, campaign: str, **options: Any) -> Granted | Denied:
            answer = await super().ask(campaign, **options)
            now[0] += 20.0
            return answer

    async with Slow(harness.url, stopwatch=lambda: now[0], close_s=60) as slow:
        with pytest.raises(Unavailable, match="3 grants arrived too late"):
            async with slow.admission("collections", channel="sip"):
                raise AssertionError("it was too late")
    assert await harness.in_use() == 0


async def test_a_lost_answer_is_requested_again_and_granted_once(harness: ServiceHarness):
    async with lossy(harness) as proxy, AdmissionClient(proxy.url) as client:
        proxy.lose_replies(2)
        async with client.admission("collections", channel="sip") as grant:
            assert proxy.lost == 2
            assert await harness.in_use() == 1
            proxy.lose_replies(1)
            grant.launched(session_id="s-9")
            await grant.settled()
            assert (await harness.reservation(grant.id))["session_id"] == "s-9"
            proxy.lose_replies(1)
    await harness.wait_for_reservation(grant.id, state="ended")
    assert await harness.in_use() == 0
    assert proxy.lost == 4


async def test_an_outage_is_never_a_denial_and_never_a_grant():
    async with AdmissionClient("http://127.0.0.1:1", patience_s=0) as client:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await client.ask("collections")


async def test_close_does_not_wait_for_an_unreachable_service(harness: ServiceHarness):
    """The report stays behind in the background, so the call's own task goes on."""
    async with lossy(harness) as proxy, AdmissionClient(proxy.url, close_s=0) as client:
        answer = await client.ask("collections")
        [grant] = answer.grants
        proxy.lose_replies(10_000)
        grant.ended()
        assert await grant.settled(0.01) is None


async def test_faults_are_typed(harness: ServiceHarness, client: AdmissionClient):
    with pytest.raises(NotFound, match="no such zone"):
        await client.ask("collections", zone="Nowhere")
    await client.ask("collections", request_id="r-1")
    with pytest.raises(Conflict):
        await client.ask("collections", request_id="r-1", channel="h323")
    with pytest.raises(ValueError, match="use ask"):
        async with client.admission("collections", count=2):
            raise AssertionError("it takes one")


async def test_a_repeat_of_a_request_is_the_same_grant(
    harness: ServiceHarness, client: AdmissionClient
):
    first = await client.ask("collections", request_id="r-1")
    again = await client.ask("collections", request_id="r-1")
    assert again.repeated
    assert [one.id for one in again.grants] == [one.id for one in first.grants]


async def test_a_dry_run_reserves_nothing_and_explains(
    harness: ServiceHarness, client: AdmissionClient
):
    answer = await client.ask("collections", dry_run=True, explain=True, channel="sip")
    assert (answer.admitted, answer.grants, answer.dry_run) == (True, (), True)
    assert {one.pool: one.verdict for one in answer.verdicts}["channel:sip"] == "ok"
    assert await harness.in_use() == 0


async def test_a_restarted_dialer_finds_and_adopts_its_calls(
    harness: ServiceHarness, client: AdmissionClient
):
    answer = await client.ask("collections", count=2, channel="sip", pools=["trunk:carrier-a"])
    answer.grants[0].launched(port_taken=True, session_id="s-1")
    await answer.grants[0].settled()
    async with AdmissionClient(harness.url, owner="dialer-1") as restarted:
        listed = [one async for one in restarted.reservations("East", owner="dialer-1")]
        assert {one.id for one in listed} == {one.id for one in answer.grants}
        for one in listed:
            grant = restarted.take_up(one)
            assert grant.late
            assert grant.restate()["pools"] == ["trunk:carrier-a"]
            grant.ended("completed" if one.session_id else "not_launched")
            await grant.settled()
    assert await harness.in_use() == 0


async def test_a_dialer_paces_its_campaign_by_its_free_agents(
    harness: ServiceHarness, client: AdmissionClient
):
    assert await client.limit("East", "campaign:collections", 1, ttl_ms=60_000) == 1
    await client.ask("collections")
    assert (await client.ask("collections")).reason is Reason.CAMPAIGN_LIMIT


async def test_a_grant_that_is_handed_over_is_not_ended_here(
    harness: ServiceHarness, client: AdmissionClient
):
    async with client.admission("collections") as grant:
        grant.launched(session_id="s-1")
        grant.handed_over()
    assert (await harness.reservation(grant.id))["state"] == "live"


async def test_many_calls_share_the_client(harness: ServiceHarness, client: AdmissionClient):
    async def call(n: int) -> bool:
        async with client.admission(f"c{n % 3}", channel="sip", patience_s=60) as grant:
            grant.launched(port_taken=True)
        return grant.answered is not None

    assert all(await asyncio.gather(*(call(n) for n in range(50))))
    assert await harness.in_use() == 0
