"""Renewals nobody thinks of, and what a service that lost its state is told again."""

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from admission.client import AdmissionClient, Reason
from tests.client.house import found, in_use, take_your_time, until, until_is
from tests.service.house import House

ANSWER_WITHIN_MS = 1_000


@pytest.fixture
async def hasty(house: House) -> AsyncIterator[AdmissionClient]:
    """Reservations last a second unless they are renewed; so renewals come every half."""
    await take_your_time(
        house,
        launch_within_ms=1,
        visibility_lag_ms=0,
        poll_interval_ms=200,
        max_age_ms=300,
        answer_within_ms=ANSWER_WITHIN_MS,
    )
    async with AdmissionClient(house.url) as opened:
        yield opened


async def lives_on(house: House, id: str, longer_ms: int) -> None:
    """Until its deadline has moved by so much."""
    first = (await found(house, id))["deadline"]

    async def moved() -> bool:
        return bool((await found(house, id))["deadline"] >= first + longer_ms)

    await until(moved)


async def test_a_held_grant_is_renewed_and_an_ended_one_is_not(
    house: House, hasty: AdmissionClient
):
    answer = await hasty.ask("collections", count=2, channel="sip")
    held, ended = answer.grants
    ended.ended()
    await ended.settled()
    before = await found(house, ended.id)
    await lives_on(house, held.id, 2 * ANSWER_WITHIN_MS)
    assert (await found(house, held.id))["state"] == "live"
    assert (await found(house, ended.id)) | {"now": 0} == before | {"now": 0}


async def test_what_is_given_up_is_not_renewed(house: House, hasty: AdmissionClient):
    answer = await hasty.ask("collections", count=2, channel="sip")
    held, unsure = answer.grants
    unsure.ended("unknown")
    await lives_on(house, held.id, ANSWER_WITHIN_MS)
    await until_is(house, unsure.id, state="expired")


async def test_a_call_that_an_operator_ended_is_let_go(house: House, hasty: AdmissionClient):
    [grant] = (await hasty.ask("collections", channel="sip")).grants
    await house.send("POST", f"/v1/reservations/{grant.id}/end", {"outcome": "failed"})

    async def told() -> bool:
        return grant.answered is not None and grant.answered.state == "ended"

    await until(told)
    assert await in_use(house) == 0


async def test_a_zone_that_lost_its_state_is_told_of_every_call_at_once(
    house: House, client: AdmissionClient, redis_async: redis.asyncio.Redis
):
    answer = await client.ask("collections", count=3, channel="sip", pools=["trunk:carrier-a"])
    rings, launched, _ = answer.grants
    rings.launched(port_taken=True, session_id="s-1", mpp="mpp1")
    launched.launched()
    await rings.settled()
    await redis_async.flushall()
    assert (await client.ask("collections")).reason is Reason.RECOVERING
    taken = await until_is(house, rings.id, state="live", taken=True)
    assert (taken["session"], taken["mpp"]) == ("s-1", "mpp1")
    for grant in answer.grants:
        await until_is(house, grant.id, state="live")
    assert await in_use(house, "campaign:collections") == 3
    assert await in_use(house, "trunk:carrier-a") == 3


async def test_a_dialer_that_does_not_ask_heals_the_counts_with_its_next_renewal(
    house: House, hasty: AdmissionClient, redis_async: redis.asyncio.Redis
):
    answer = await hasty.ask("collections", count=2, channel="sip")
    rings, quiet = answer.grants
    rings.launched(port_taken=True, session_id="s-1")
    await rings.settled()
    await redis_async.flushall()
    # A connected call is renewed seldom; the other's renewal shows that the state is lost.
    await until_is(house, quiet.id, state="live")
    await until_is(house, rings.id, state="live", taken=True, session="s-1")
