"""Agents' sessions at the simulated gateway, on a clock that the test moves: 60, 120, 120 s."""

import asyncio

import pytest

from admission.sim.huawei.agent_sessions import Desk, Refusal, Session
from admission.sim.huawei.config import HuaweiSettings

AGENT, PASSWORD = 1001, HuaweiSettings().agent_password


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(clock: Clock) -> Desk:
    return Desk(HuaweiSettings(), clock)


def code(desk: Desk, guid: str, cookie: str) -> str:
    """`0`, or the retcode of a request with that Guid."""
    try:
        desk.check(AGENT, guid, cookie)
    except Refusal as refusal:
        return refusal.retcode
    return "0"


def newest(session: Session) -> str:
    return session.guids[-1][0]


async def test_a_guid_changes_after_60_s_and_the_old_one_is_good_to_120_s(
    desk: Desk, clock: Clock
) -> None:
    session = desk.sign_in(AGENT, PASSWORD, force=False)
    first = newest(session)
    clock.now += 60
    second = await desk.event(AGENT, session)
    clock.now += 59
    before = code(desk, first, session.cookie)
    clock.now += 2

    assert second == newest(session) != first
    assert before == "0"
    assert code(desk, first, session.cookie) == "000-003"
    assert code(desk, second or "", session.cookie) == "0"


async def test_an_event_poll_before_that_waits(desk: Desk, clock: Clock) -> None:
    session = desk.sign_in(AGENT, PASSWORD, force=False)
    clock.now += 59
    waiting = asyncio.create_task(desk.event(AGENT, session))
    await asyncio.sleep(0)
    assert not waiting.done()

    desk.rotate(AGENT)
    assert await waiting == newest(session)


def test_who_asks_nothing_for_two_minutes_is_signed_out(desk: Desk, clock: Clock) -> None:
    session = desk.sign_in(AGENT, PASSWORD, force=False)
    clock.now += 119
    assert code(desk, newest(session), session.cookie) == "0"
    clock.now += 119
    assert desk.signed_in() == [AGENT]
    clock.now += 2

    assert desk.signed_in() == []
    assert code(desk, newest(session), session.cookie) == "100-006"


@pytest.mark.parametrize(
    ("agent", "password", "expected"),
    [(AGENT, "wrong", "100-004"), (9, PASSWORD, "100-004"), (AGENT, PASSWORD, "100-002")],
)
def test_a_sign_in_that_is_refused_says_why(
    desk: Desk, agent: int, password: str, expected: str
) -> None:
    desk.sign_in(AGENT, PASSWORD, force=False)
    with pytest.raises(Refusal) as refused:
        desk.sign_in(agent, password, force=False)
    assert refused.value.retcode == expected


def test_a_forced_sign_in_ends_the_other_session(desk: Desk) -> None:
    first = desk.sign_in(AGENT, PASSWORD, force=False)
    second = desk.sign_in(AGENT, PASSWORD, force=True)

    assert code(desk, newest(first), first.cookie) == "000-003"
    assert code(desk, newest(second), second.cookie) == "0"


def test_a_request_without_the_cookie_is_refused(desk: Desk) -> None:
    session = desk.sign_in(AGENT, PASSWORD, force=False)
    assert code(desk, newest(session), "") == "000-003"


async def test_whose_session_ended_learns_it_from_the_event_poll(desk: Desk) -> None:
    session = desk.sign_in(AGENT, PASSWORD, force=False)
    waiting = asyncio.create_task(desk.event(AGENT, session))
    await asyncio.sleep(0)
    desk.forget(AGENT)

    with pytest.raises(Refusal, match="100-006"):
        await waiting


def test_after_a_switch_over_guids_are_of_the_other_gateway(desk: Desk) -> None:
    before = newest(desk.sign_in(AGENT, PASSWORD, force=False))
    desk.switch_over()
    after = newest(desk.sign_in(AGENT, PASSWORD, force=True))

    assert before.endswith(".AgentGateway1")
    assert after.endswith(".AgentGateway2")
