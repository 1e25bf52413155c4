"""Renewals in the background, and restated calls after the service lost its state."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import redis.asyncio

from admission.client import AdmissionClient, Grant, Reason, Reservation
from admission.client.grant import Registry, Terms
from admission.client.grant_registry import GrantRegistry
from admission.client.renewals import AGAIN_S, REFUSED_AGAIN_S, RENEW_EVERY_S, Renewals
from admission.client.transport import Call, Reply, Transport
from admission.errors import AdmissionError, Unavailable
from tests.support.client_transport import connected
from tests.support.service import ServiceHarness, wait_until

ANSWER_WITHIN_MS = 1_000


@pytest.fixture
async def hasty(harness: ServiceHarness) -> AsyncIterator[AdmissionClient]:
    """Reservations last a second unless they are renewed; so renewals come every half."""
    await harness.accept_late_launches(
        launch_within_ms=1,
        visibility_lag_ms=0,
        poll_interval_ms=200,
        max_age_ms=300,
        answer_within_ms=ANSWER_WITHIN_MS,
    )
    async with AdmissionClient(harness.url) as opened:
        yield opened


async def lives_on(harness: ServiceHarness, id: str, longer_ms: int) -> None:
    """Until its deadline has moved by so much."""
    first = (await harness.reservation(id))["deadline"]

    async def moved() -> bool:
        return bool((await harness.reservation(id))["deadline"] >= first + longer_ms)

    await wait_until(moved)


async def test_a_held_grant_is_renewed_and_an_ended_one_is_not(
    harness: ServiceHarness, hasty: AdmissionClient
):
    answer = await hasty.ask("collections", count=2, channel="sip")
    held, ended = answer.grants
    ended.ended()
    await ended.settled()
    before = await harness.reservation(ended.id)
    await lives_on(harness, held.id, 2 * ANSWER_WITHIN_MS)
    assert (await harness.reservation(held.id))["state"] == "live"
    assert (await harness.reservation(ended.id)) | {"now": 0} == before | {"now": 0}


async def test_a_grant_of_unknown_outcome_is_not_renewed(
    harness: ServiceHarness, hasty: AdmissionClient
):
    answer = await hasty.ask("collections", count=2, channel="sip")
    held, unsure = answer.grants
    unsure.ended("unknown")
    await lives_on(harness, held.id, ANSWER_WITHIN_MS)
    await harness.wait_for_reservation(unsure.id, state="expired")


async def test_a_call_that_an_operator_ended_is_dropped(
    harness: ServiceHarness, hasty: AdmissionClient
):
    [grant] = (await hasty.ask("collections", channel="sip")).grants
    await harness.send("POST", f"/v1/reservations/{grant.id}/end", {"outcome": "failed"})

    async def reported() -> bool:
        return grant.answered is not None and grant.answered.state == "ended"

    await wait_until(reported)
    assert await harness.in_use() == 0


async def test_every_call_is_restated_to_a_zone_that_lost_its_state(
    harness: ServiceHarness, client: AdmissionClient, redis_async: redis.asyncio.Redis
):
    answer = await client.ask("collections", count=3, channel="sip", pools=["trunk:carrier-a"])
    rings, launched, _ = answer.grants
    rings.launched(port_taken=True, session_id="s-1", mpp="mpp1")
    launched.launched()
    await rings.settled()
    await redis_async.flushall()
    assert (await client.ask("collections")).reason is Reason.RECOVERING
    taken = await harness.wait_for_reservation(rings.id, state="live", port_taken=True)
    assert (taken["session_id"], taken["mpp"]) == ("s-1", "mpp1")
    for grant in answer.grants[1:]:
        assert not (await harness.wait_for_reservation(grant.id, state="live"))["port_taken"]
    assert not (await harness.reservation(answer.grants[2].id)).get("launched_at")
    assert await harness.in_use("campaign:collections") == 3
    assert await harness.in_use("trunk:carrier-a") == 3


async def test_a_dialer_that_does_not_ask_heals_the_counts_with_its_next_renewal(
    harness: ServiceHarness, hasty: AdmissionClient, redis_async: redis.asyncio.Redis
):
    answer = await hasty.ask("collections", count=2, channel="sip")
    rings, quiet = answer.grants
    rings.launched(port_taken=True, session_id="s-1")
    await rings.settled()
    await redis_async.flushall()
    # A connected call is renewed seldom; the other's renewal shows that the state is lost.
    await harness.wait_for_reservation(quiet.id, state="live")
    await harness.wait_for_reservation(rings.id, state="live", port_taken=True, session_id="s-1")


NOW_S = 1000.0
LIVE = {"status": 200, "id": "East~0", "state": "live", "renew_within_ms": 60_000}


def grants(count: int, renew_within_ms: int | None = 0) -> list[Grant]:
    """Calls of which one knows only when they are to be renewed."""
    made = []
    for n in range(count):
        one = Reservation(
            id=f"East~{n}",
            zone="East",
            channel="sip",
            campaign="c",
            renew_within_ms=renew_within_ms,
        )
        made.append(Grant(one, Terms(request_id="r", launch_by=0.0), cast(Registry, None)))
    return made


@asynccontextmanager
async def kept(
    calls: Sequence[Grant], *answers: Sequence[dict[str, Any]]
) -> AsyncIterator[tuple[Renewals, list[str]]]:
    """The renewals of these calls on a service with these answers, and the ids of each answer."""
    answered: list[str] = []
    replies = [(200, json.dumps({"results": answer}), {}) for answer in answers]
    async with connected(replies) as (transport, _):
        renewals = Renewals(transport, lambda: NOW_S, lambda id, _reply: answered.append(id))
        for one in calls:
            renewals.keep(one)
        yield renewals, answered


@pytest.mark.parametrize(
    ("status", "again_s"),
    [
        (400, REFUSED_AGAIN_S),
        (403, REFUSED_AGAIN_S),
        (499, REFUSED_AGAIN_S),
        (500, AGAIN_S),
        (503, AGAIN_S),
        (None, AGAIN_S),
    ],
)
async def test_failed_renewals_are_repeated_with_growing_pauses(
    status: int | None, again_s: tuple[float, float]
):
    calls = grants(1)
    async with kept(calls, [{"status": status}]) as (renewals, answered):
        await renewals._renew(calls)
    low, high = again_s
    assert low <= renewals._deadlines["East~0"] - NOW_S <= high
    assert (renewals.count, answered, calls[0].answered) == (1, [], None)


@pytest.mark.parametrize("results", [[LIVE], [{"status": 200}] * 2, ["live", "live"], {}])
async def test_an_answer_that_cannot_be_read_is_a_failure_for_all(results: Any):
    calls = grants(2)
    async with kept(calls, results) as (renewals, _):
        await renewals._renew(calls)
    assert renewals.count == 2
    assert all(AGAIN_S[0] <= at - NOW_S <= AGAIN_S[1] for at in renewals._deadlines.values())


async def test_a_call_that_the_service_does_not_know_is_dropped():
    calls = grants(1)
    async with kept(calls, [{"status": 404}]) as (renewals, _):
        renewals.restate("East")
        await renewals._renew(calls)
    assert calls[0].answered is not None
    assert (calls[0].answered.id, calls[0].answered.state) == ("East~0", None)
    assert (renewals.count, renewals._deadlines, renewals._lost) == (0, {}, set())


@pytest.mark.parametrize(
    ("renew_within_ms", "in_s"),
    [(1_000, 0.5), (10_000, 5.0), (10_000_000, RENEW_EVERY_S), (None, RENEW_EVERY_S)],
)
async def test_a_grant_is_renewed_at_half_its_time_and_at_least_every_minute(
    renew_within_ms: int | None, in_s: float
):
    async with kept(grants(1, renew_within_ms), []) as (renewals, _):
        assert renewals._deadlines == {"East~0": NOW_S + in_s}


async def test_a_lost_call_makes_all_calls_of_its_zone_restated_once():
    calls = grants(2)
    adopted = LIVE | {"adopted": True}
    async with kept(calls, [adopted | {"now": 7}, adopted], [adopted] * 2) as (renewals, answered):
        await renewals._renew(calls)
        assert renewals._lost == {"East~0", "East~1"}
        assert set(renewals._deadlines.values()) == {NOW_S}
        await renewals._renew(calls)
    assert renewals._lost == set()
    assert set(renewals._deadlines.values()) == {NOW_S + 30}
    assert answered == ["East~0"]  # only an answer with its zone's time counts


async def test_due_grants_are_renewed_in_the_background():
    calls = grants(1)
    async with kept(calls, [{"status": 404}]) as (renewals, _):
        running = asyncio.create_task(renewals.run())
        async with asyncio.timeout(60):
            while renewals.count:  # noqa: ASYNC110  no event
                await asyncio.sleep(0.001)
        running.cancel()


class SlowWire:
    """A service that answers a batch of renewals when it may, and all else at once."""

    def __init__(self, fault: AdmissionError | None) -> None:
        self.fault = fault
        self.sent: list[str] = []
        self.renewing, self.may_answer = asyncio.Event(), asyncio.Event()

    async def call(self, call: Call) -> Reply:
        verb = call.path.rpartition("/")[2]
        self.sent.append(verb)
        if verb == "end":
            return Reply(body=LIVE, sent_at=0.0, arrived_at=0.0)
        self.renewing.set()
        await self.may_answer.wait()
        self.sent.append("renewed")
        if self.fault:
            raise self.fault
        return Reply(body={"results": [LIVE]}, sent_at=0.0, arrived_at=0.0)


@pytest.mark.parametrize("fault", [None, Unavailable("the store")])
async def test_no_renewal_comes_after_an_end(fault: AdmissionError | None):
    transport = SlowWire(fault)
    registry = GrantRegistry(cast(Transport, transport), lambda: NOW_S)
    registry.open()
    due = Reservation(id="East~0", zone="East", channel="sip", campaign="c", renew_within_ms=0)
    grant = Grant(due, Terms(request_id="r", launch_by=0.0), registry)
    registry.keep(grant)
    await transport.renewing.wait()
    grant.ended("unknown")
    for _ in range(10):  # without a wait for the renewal it would be sent now
        await asyncio.sleep(0)
    transport.may_answer.set()
    assert await grant.settled(60)
    await registry.close(60)
    assert transport.sent == ["batch", "renewed", "end"]
