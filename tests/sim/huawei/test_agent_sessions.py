"""Agents' sessions at the simulated gateway, on a clock that the test moves: 60, 120, 120 s."""

import asyncio

import pytest

from admission.sim.huawei.agent_sessions import AgentSessions, Refusal, Session
from admission.sim.huawei.config import HuaweiSettings
from tests.support.manual_time import ManualTime

AGENT, PASSWORD = 1001, HuaweiSettings().agent_password


@pytest.fixture
def clock() -> ManualTime:
    return ManualTime(1_000.0)


@pytest.fixture
def agent_sessions(clock: ManualTime) -> AgentSessions:
    return AgentSessions(HuaweiSettings(), clock)


def code(agent_sessions: AgentSessions, guid: str, cookie: str) -> str:
    """`0`, or the retcode of a request with that Guid."""
    try:
        agent_sessions.check(AGENT, guid, cookie)
    except Refusal as refusal:
        return refusal.retcode
    return "0"


def newest(session: Session) -> str:
    return session.guids[-1][0]


async def test_a_guid_changes_after_60_s_and_the_old_one_is_good_to_120_s(
    agent_sessions: AgentSessions, clock: ManualTime
) -> None:
    session = agent_sessions.sign_in(AGENT, PASSWORD, force=False)
    first = newest(session)
    clock.now += 60
    second = await agent_sessions.event(AGENT, session)
    clock.now += 59
    before = code(agent_sessions, first, session.cookie)
    clock.now += 2

    assert second == newest(session) != first
    assert before == "0"
    assert code(agent_sessions, first, session.cookie) == "000-003"
    assert code(agent_sessions, second or "", session.cookie) == "0"


async def test_an_event_poll_waits_for_an_event(
    agent_sessions: AgentSessions, clock: ManualTime
) -> None:
    session = agent_sessions.sign_in(AGENT, PASSWORD, force=False)
    clock.now += 59
    waiting = asyncio.create_task(agent_sessions.event(AGENT, session))
    await asyncio.sleep(0)
    assert not waiting.done()

    agent_sessions.rotate(AGENT)
    assert await waiting == newest(session)


def test_an_agent_without_requests_for_two_minutes_is_signed_out(
    agent_sessions: AgentSessions, clock: ManualTime
) -> None:
    session = agent_sessions.sign_in(AGENT, PASSWORD, force=False)
    clock.now += 119
    assert code(agent_sessions, newest(session), session.cookie) == "0"
    clock.now += 119
    assert agent_sessions.signed_in() == [AGENT]
    clock.now += 2

    assert agent_sessions.signed_in() == []
    assert code(agent_sessions, newest(session), session.cookie) == "100-006"


@pytest.mark.parametrize(
    ("agent", "password", "expected"),
    [(AGENT, "wrong", "100-004"), (9, PASSWORD, "100-004"), (AGENT, PASSWORD, "100-002")],
)
def test_a_refused_sign_in_gives_its_reason(
    agent_sessions: AgentSessions, agent: int, password: str, expected: str
) -> None:
    agent_sessions.sign_in(AGENT, PASSWORD, force=False)
    with pytest.raises(Refusal) as refused:
        agent_sessions.sign_in(agent, password, force=False)
    assert refused.value.retcode == expected


def test_a_forced_sign_in_ends_the_other_session(agent_sessions: AgentSessions) -> None:
    first = agent_sessions.sign_in(AGENT, PASSWORD, force=False)
    second = agent_sessions.sign_in(AGENT, PASSWORD, force=True)

    assert code(agent_sessions, newest(first), first.cookie) == "000-003"
    assert code(agent_sessions, newest(second), second.cookie) == "0"


def test_a_request_without_the_cookie_is_refused(agent_sessions: AgentSessions) -> None:
    session = agent_sessions.sign_in(AGENT, PASSWORD, force=False)
    assert code(agent_sessions, newest(session), "") == "000-003"


async def test_the_event_poll_reports_the_end_of_a_session(
    agent_sessions: AgentSessions,
) -> None:
    session = agent_sessions.sign_in(AGENT, PASSWORD, force=False)
    waiting = asyncio.create_task(agent_sessions.event(AGENT, session))
    await asyncio.sleep(0)
    agent_sessions.forget(AGENT)

    with pytest.raises(Refusal, match="100-006"):
        await waiting


def test_after_a_switch_over_guids_are_of_the_other_gateway(agent_sessions: AgentSessions) -> None:
    before = newest(agent_sessions.sign_in(AGENT, PASSWORD, force=False))
    agent_sessions.switch_over()
    after = newest(agent_sessions.sign_in(AGENT, PASSWORD, force=True))

    assert before.endswith(".AgentGateway1")
    assert after.endswith(".AgentGateway2")
