"""Reports on their way: in order, bounded, and repeated no longer than they are of use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from admission.client import outbox
from admission.client.answers import Reported
from admission.client.outbox import PATIENCE_S, Outbox
from tests.support.client_transport import FINE, LATER, Answers, connected

LIVE = (200, '{"id": "East~a", "state": "live", "now": 1}', {})
UNKNOWN = (404, '{"detail": "no reservation East~a"}', {})
FORBIDDEN = (403, '{"detail": "not this campaign"}', {})
AWAY = (503, '{"retry_after_ms": 600000}', {})


class Received:
    """The answers that reports received."""

    def __init__(self) -> None:
        self.reports: list[Reported] = []
        self.replies: list[str] = []
        self.clock_s = 1000.0


@asynccontextmanager
async def opened(answers: Answers) -> AsyncIterator[tuple[Outbox, Received, list[Any]]]:
    received = Received()
    async with connected(answers) as (transport, asked):
        box = Outbox(
            transport, lambda: received.clock_s, lambda id, _reply: received.replies.append(id)
        )
        yield box, received, asked
        await box.close(60)


async def test_reports_of_a_reservation_go_in_their_order() -> None:
    async with opened([LIVE]) as (box, received, asked):
        for verb in ("launched", "end"):
            box.put("East~a", verb, {}, received.reports.append)
        assert await box.settled("East~a", 60)
    assert [one.path.rpartition("/")[2] for one in asked] == ["launched", "end"]
    assert [one.state for one in received.reports] == ["live", "live"]
    assert received.replies == ["East~a", "East~a"]


async def test_a_report_of_an_unknown_reservation_has_no_state() -> None:
    async with opened([UNKNOWN]) as (box, received, _):
        box.put("East~a", "end", {}, received.reports.append)
        assert await box.settled("East~a", 60)
    assert [(one.id, one.state) for one in received.reports] == [("East~a", None)]
    assert received.replies == []


@pytest.mark.parametrize("odd", [FORBIDDEN, FINE])  # the latter says nothing of a reservation
async def test_a_report_that_fails_blocks_no_other(
    odd: tuple[int, str, dict[str, str]],
) -> None:
    async with opened([odd, LIVE]) as (box, received, _):
        for verb in ("launched", "end"):
            box.put("East~a", verb, {}, received.reports.append)
        assert await box.settled("East~a", 60)
    assert len(received.reports) == 1


async def test_a_report_is_repeated_until_it_is_answered() -> None:
    async with opened([LATER, LATER, LIVE]) as (box, received, asked):
        box.put("East~a", "end", {}, received.reports.append)
        assert await box.settled("East~a", 60)
    assert (len(asked), len(received.reports)) == (3, 1)


async def test_a_report_whose_time_is_up_is_tried_once_and_given_up() -> None:
    async with opened([LIVE, LATER]) as (box, received, asked):

        def receive_late(answer: Reported) -> None:
            received.reports.append(answer)
            received.clock_s += 2 * PATIENCE_S

        box.put("East~a", "launched", {}, receive_late)
        box.put("East~a", "end", {}, received.reports.append)
        assert await box.settled("East~a", 60)
    assert (len(asked), len(received.reports)) == (2, 1)


async def test_reports_beyond_the_limit_are_given_up_until_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "REPORTS_MAX", 2)
    async with opened([LIVE]) as (box, received, asked):
        for id in ("East~a", "East~b", "East~c"):
            box.put(id, "end", {}, received.reports.append)
        assert await asyncio.gather(*(box.settled(id, 60) for id in ("East~a", "East~b")))
        assert len(asked) == 2
        for id in ("East~d", "East~e"):
            box.put(id, "end", {}, received.reports.append)
        assert await asyncio.gather(*(box.settled(id, 60) for id in ("East~d", "East~e")))
    assert len(asked) == 4


async def test_close_waits_for_reports_under_way() -> None:
    async with opened([LIVE]) as (box, received, _):
        box.put("East~a", "end", {}, received.reports.append)
        await box.close(60)
        assert len(received.reports) == 1


async def test_close_gives_up_reports_that_are_not_answered() -> None:
    async with opened([AWAY]) as (box, received, _):
        for verb in ("launched", "end"):
            box.put("East~a", verb, {}, received.reports.append)
        assert not await box.settled("East~a", 0)
        await box.close(0)
        assert await box.settled("East~a", 0)
        assert (received.reports, box._waiting, box._workers) == ([], 0, {})
