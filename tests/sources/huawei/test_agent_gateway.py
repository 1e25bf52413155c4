"""Agents' calls, counted at a simulated CC-Gateway over real loopback connections."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from admission.domain.policy.zone import ZonePolicy
from admission.errors import SourceError
from admission.sources.authentication import CredentialsRefused
from tests.support.http_peer import say, serve_peer
from tests.support.huawei_platform import (
    AGENTS,
    POLICY,
    agent_policy,
    center,
    counted,
    counted_again,
    counting,
    counts_of,
    quiet,
)
from tests.support.secrets import AGENT_PASSWORD

FREE, BUSY = (1, 1), (1, 0)


async def refused(source: Any, policy: ZonePolicy = POLICY) -> str:
    """The error of a query without counts, in the form that the operator reads."""
    with pytest.raises(SourceError) as caught:
        await counted(source, policy)
    assert caught.value.detail.isprintable()
    assert AGENT_PASSWORD not in caught.value.detail
    return caught.value.detail


@pytest.mark.parametrize("text_counts", [True, False])
async def test_each_agent_is_a_pool_with_the_room_that_its_calls_leave(text_counts: bool) -> None:
    async with center(quiet(text_counts=text_counts)) as at, counting(at) as source:
        await at.call(1002)
        snapshot = await counted(source)

    assert counts_of(snapshot) == {1001: FREE, 1002: BUSY, 1003: FREE}
    assert snapshot.notes == {"agents": 3, "agents_counted": 3}
    assert snapshot.warnings == ()


async def test_the_pool_s_limit_is_the_agent_s_capacity_and_room_is_never_negative() -> None:
    zone = agent_policy({"agent:*": None, "agent:1001": 3, "agent:1002": 2})
    async with center() as at, counting(at) as source:
        for agent, calls in ((1001, 2), (1002, 3)):
            await at.control("PUT", f"/licences/agent:{agent}", {"calls": calls})
            await at.call(agent, calls)
        snapshot = await counted(source, zone)

    assert counts_of(snapshot) == {1001: (3, 1), 1002: (2, 0), 1003: FREE}


async def test_only_agents_that_the_zone_s_policy_has_as_pools_are_signed_in() -> None:
    zone = agent_policy({"agent:1002": 1, "trunk:a": 5})
    async with center() as at, counting(at) as source:
        snapshot = await counted(source, zone)
        truth = await at.truth()

    assert counts_of(snapshot) == {1002: FREE}
    assert truth["signed_in"] == [1002]


async def test_a_zone_without_agents_is_an_error() -> None:
    async with center() as at, counting(at, agents=()) as source:
        snapshot = await counted(source)

    assert (snapshot.groups, snapshot.notes["agents"]) == ((), 0)
    assert "list agents, or hand over their Guids" in snapshot.warnings[0]


# -- Guids


async def test_a_new_guid_is_taken_from_the_event_poll() -> None:
    async with center() as at, counting(at) as source:
        await counted(source)
        for agent in AGENTS:
            await at.agent(agent, "rotate")
        # Each agent has begun another event poll, so the one that reported the new Guid is over.
        await at.until(lambda truth: truth["requests"]["event"] >= 2 * len(AGENTS))
        for agent in AGENTS:
            await at.agent(agent, "retire")
        snapshot = await counted(source)
        truth = await at.truth()

    assert counts_of(snapshot) == dict.fromkeys(AGENTS, FREE)
    assert truth["sign_ins"] == {"1001": 1, "1002": 1, "1003": 1}


async def test_guids_that_keep_changing_are_followed() -> None:
    async with center(quiet(guid_changes_s=0.05)) as at, counting(at) as source:
        await counted(source)
        truth = await at.until(lambda truth: truth["requests"].get("event", 0) >= 5 * len(AGENTS))
        await counted(source)

    assert set(truth["sign_ins"].values()) == {1}


async def test_a_gateway_that_switches_over_keeps_the_sessions() -> None:
    async with center() as at, counting(at) as source:
        await counted(source)
        await at.misbehave("code", code="000-004")
        error = await refused(source)
        await at.control("POST", "/switch-over")
        await at.behave()
        await at.agent(1001, "rotate")
        snapshot = await counted(source)
        truth = await at.truth()

    assert "callnums: the gateway is switching over (000-004) (1001, 1002, 1003)" in error
    assert counts_of(snapshot) == dict.fromkeys(AGENTS, FREE)
    assert set(truth["sign_ins"].values()) == {1}


@pytest.mark.parametrize(
    ("deed", "says"),
    [
        ("expire", "callnums: its session expired (000-003) (1002)"),
        ("sign-out", "callnums: it is not signed in (100-006) (1002)"),
    ],
)
async def test_a_lost_session_is_reported_and_opened_again(deed: str, says: str) -> None:
    async with center() as at, counting(at) as source:
        await at.misbehave("hang", "event")  # so that it is not an event poll that notices
        await counted(source)
        await at.agent(1002, deed)
        snapshot = await counted(source)
        await at.behave()
        if deed == "expire":
            await at.agent(1002, "sign-out")
        again = await counted_again(source)
        truth = await at.truth()

    assert snapshot.warnings == (f"1 of 3 agents are not counted: {says}",)
    assert counts_of(again) == dict.fromkeys(AGENTS, FREE)
    assert truth["sign_ins"] == {"1001": 1, "1002": 2, "1003": 1}


async def test_an_event_poll_that_finds_the_session_lost_opens_it_again() -> None:
    async with center() as at, counting(at) as source:
        await counted(source)
        await at.until(lambda truth: truth["requests"].get("event", 0) >= len(AGENTS))
        await at.agent(1002, "sign-out")
        await at.until(lambda truth: truth["sign_ins"]["1002"] == 2)


# -- signing in


async def test_an_agent_that_is_signed_in_elsewhere_is_left_alone() -> None:
    async with center() as at, counting(at) as source:
        await at.sign_in(1002)
        snapshot = await counted(source)
        truth = await at.truth()
        await at.agent(1002, "sign-out")
        again = await counted_again(source)

    says = "sign-in: it is signed in elsewhere (100-002) (1002)"
    assert snapshot.warnings == (f"1 of 3 agents are not counted: {says}",)
    assert counts_of(snapshot) == {1001: FREE, 1003: FREE}
    assert truth["sign_ins"]["1002"] == 1
    assert counts_of(again) == dict.fromkeys(AGENTS, FREE)


async def test_an_agent_that_is_signed_in_elsewhere_is_signed_out_with_force_only() -> None:
    async with center() as at, counting(at, force_sign_in=True) as source:
        await at.sign_in(1002)
        snapshot = await counted(source)
        truth = await at.truth()

    assert counts_of(snapshot) == dict.fromkeys(AGENTS, FREE)
    assert truth["sign_ins"]["1002"] == 2


async def test_a_wrong_password_is_one_line_and_is_not_tried_again_and_again() -> None:
    wrong = AGENT_PASSWORD + "x"
    async with center() as at, counting(at, password=wrong) as source:
        errors = [await refused(source) for _ in range(5)]
        truth = await at.truth()

    place = at.url.split("/")[2]
    for error in errors:
        assert error.startswith(
            f"no agent is counted at {place}: "
            "sign-in: its id, password or phone is refused (100-004); not sent again for "
        )
        assert error.endswith("correct the credentials, then reload (SIGHUP) (1001, 1002, 1003)")
    assert truth["requests"]["sign_in"] == 3


async def test_a_refused_password_is_one_however_often_the_zone_comes_and_goes() -> None:
    """Sessions end when no query comes, as when another replica polls the zone."""
    async with center() as at, counting(at, (1001,), password="wrong") as source:
        for policy in (POLICY, agent_policy({"agent:1002": 1}), POLICY):
            with pytest.raises(SourceError):
                await counted(source, policy)
        with pytest.raises(CredentialsRefused):
            await counted(source)
        assert (await at.truth())["requests"]["sign_in"] == 1


async def test_a_refused_password_is_sent_again_after_a_reload() -> None:
    async with center() as at, counting(at, (1001,), password="wrong") as source:
        await refused(source)
        source.forget_refusal()
        await at.until(lambda truth: truth["requests"]["sign_in"] == 2)
        await refused(source)


async def test_a_changed_password_file_is_sent_without_a_reload(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong")
    async with center() as at, counting(at, (1001,), password={"file": str(secret)}) as source:
        await refused(source)
        secret.write_text(AGENT_PASSWORD)
        assert counts_of(await counted_again(source, 1)) == {1001: FREE}


async def test_of_many_agents_a_few_are_named() -> None:
    agents = tuple(range(2001, 2009))
    async with center(quiet(agents)) as at, counting(at, agents, password="wrong") as source:
        assert (await refused(source)).endswith("(2001, 2002, 2003 and 5 more)")


async def test_an_answer_without_a_guid_is_no_sign_in() -> None:
    async with center() as at, counting(at) as source:
        await at.misbehave("missing", "sign_in")
        assert "sign-in: the answer has no Set-GUID" in await refused(source)


# -- what may come instead of a count


@pytest.mark.parametrize(
    ("code", "message", "says"),
    [
        ("000-004", "x", "the gateway is switching over (000-004)"),
        ("000-007", "x", "the same request is under way there (000-007)"),
        ("100-003", "x", "the provider is unavailable (100-003)"),
        ("100-007", "x", "internal error there (100-007)"),
        ("105-001", "x", "disaster recovery is under way (105-001)"),
        ("105-014", "x", "disaster recovery is under way (105-014)"),
        ("200-123", "the queue\nis gone", "the queue is gone (200-123)"),
        ("200-123", "", "not a known code (200-123)"),
    ],
)
async def test_each_error_is_named_and_keeps_the_session(
    code: str, message: str, says: str
) -> None:
    async with center() as at, counting(at) as source:
        await counted(source)
        await at.misbehave("code", "callnums", code=code, message=message)
        error = await refused(source)
        await at.behave()
        snapshot = await counted(source)
        truth = await at.truth()

    assert f"callnums: {says} (1001, 1002, 1003)" in error
    assert counts_of(snapshot) == dict.fromkeys(AGENTS, FREE)
    assert set(truth["sign_ins"].values()) == {1}


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("unauthorized", "the credentials are refused (401)"),
        ("html", "answered with an HTML page"),
        ("not_json", "the answer is no JSON object"),
        ("http_500", "failed with HTTP status 500"),
        ("huge", "longer than 256 KiB"),
        ("drop", "closed the connection without an answer"),
        ("missing", "the answer has no number of calls"),
        ("wrap", "the answer has no number of calls"),
    ],
)
async def test_what_is_no_count_is_named(kind: str, says: str) -> None:
    async with center() as at, counting(at) as source:
        await counted(source)
        await at.misbehave(kind, "callnums")
        assert says in await refused(source)


async def test_json_that_is_nested_too_deeply_is_named() -> None:
    async with serve_peer(say('{"a":' * 40_000)) as peer, counting(peer) as source:
        assert "nested too deeply" in await refused(source)


async def test_an_agent_whose_answer_does_not_come_does_not_hold_up_the_others() -> None:
    async with center() as at, counting(at, timeout_ms=3_000) as source:
        await counted(source)
        await at.misbehave("hang", "callnums", times=1)
        snapshot = await counted(source)

    assert len(snapshot.groups) == 2
    assert "1 of 3 agents are not counted: the query's time was over" in snapshot.warnings[0]


async def test_an_unreachable_gateway_is_reported() -> None:
    async with center() as at:
        pass
    async with counting(at) as source:
        assert "cannot connect" in await refused(source)


async def test_event_polls_that_fail_do_not_end_the_session() -> None:
    async with center() as at, counting(at) as source:
        await counted(source)
        await at.misbehave("http_500", "event")
        await at.agent(1001, "rotate")
        before = (await at.truth())["requests"].get("event", 0)
        await at.until(lambda truth: truth["requests"]["event"] > before + 3)
        snapshot = await counted(source)
        truth = await at.truth()

    assert counts_of(snapshot) == dict.fromkeys(AGENTS, FREE)
    assert set(truth["sign_ins"].values()) == {1}


# -- leaving


async def test_agents_without_a_call_are_signed_out_at_the_end() -> None:
    async with center() as at:
        async with counting(at) as source:
            await counted(source)
            await at.call(1002)
        truth = await at.truth()

    assert truth["signed_in"] == [1002]
    assert truth["left_talking"] == []


async def test_sessions_without_queries_are_closed() -> None:
    brief = agent_policy({"agent:*": 1}, max_age_ms=50)
    async with center() as at, counting(at) as source:
        await counted(source, brief)
        await at.until(lambda truth: truth["signed_in"] == [])
        await counted(source)  # and opened again by the next query
        truth = await at.truth()

    assert truth["signed_in"] == list(AGENTS)


async def test_an_agent_that_policy_drops_is_signed_out() -> None:
    async with center() as at, counting(at) as source:
        await counted(source)
        await counted(source, agent_policy({"agent:1001": 1}))
        await at.until(lambda truth: truth["signed_in"] == [1001])


async def test_a_closed_source_counts_no_agent() -> None:
    async with center() as at:
        async with counting(at) as source:
            pass
        assert await refused(source) == "this connection is closed"
        await source.close()


async def test_hundreds_of_agents_share_a_few_connections() -> None:
    agents = tuple(range(2001, 2301))
    async with (
        center(quiet(agents)) as at,
        counting(at, agents, max_concurrent_queries=8) as source,
    ):
        snapshot = await counted(source)
        truth = await at.until(lambda truth: truth["requests"].get("event", 0) >= len(agents))
        tasks = len(asyncio.all_tasks())

    assert len(snapshot.groups) == len(agents)
    assert truth["most_at_once"] <= 16  # 8 sign in, 8 are counted
    assert tasks < 8 * len(agents)
