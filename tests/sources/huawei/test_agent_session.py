"""Agents that another system signs in, and whose Guids are handed over."""

import pytest

from admission.errors import SourceError, Unavailable
from tests.support.huawei_platform import (
    Guids,
    agent_policy,
    center,
    counted,
    counting,
    counts_of,
    quiet,
)
from tests.support.secrets import keep_secret

FREE, BUSY = (1, 1), (1, 0)
NO_COOKIES = quiet(needs_cookies=False)


async def test_an_agent_whose_session_was_handed_over_is_counted_and_not_signed_in() -> None:
    async with center(NO_COOKIES) as at:
        guids = Guids({1001: keep_secret(await at.sign_in(1001))})
        async with counting(at, agents=(), guids=guids) as source:
            await at.call(1001)
            snapshot = await counted(source)
        truth = await at.truth()

    assert counts_of(snapshot) == {1001: BUSY}
    assert truth["signed_in"] == [1001]
    assert "event" not in truth["requests"]  # its events belong to the system that signed it in


async def test_a_guid_that_was_handed_over_comes_before_a_session_of_our_own() -> None:
    async with center(NO_COOKIES) as at:
        async with counting(at, guids=(guids := Guids())) as source:
            await counted(source)
            guids.known[1002] = keep_secret(await at.sign_in(1002, force=True))
            snapshot = await counted(source)
        truth = await at.truth()

    assert set(counts_of(snapshot)) == {1001, 1002, 1003}
    assert truth["sign_ins"]["1002"] == 2  # ours, and then the agent's own desktop
    assert truth["signed_in"] == [1002]  # whom we do not sign out


@pytest.mark.parametrize("deed", ["expire", "sign-out"])
async def test_a_refused_guid_is_dropped_and_reported_once(deed: str) -> None:
    async with center(NO_COOKIES) as at:
        guids = Guids()
        for agent in (1001, 1002):
            guids.known[agent] = keep_secret(await at.sign_in(agent))
        async with counting(at, agents=(), guids=guids) as source:
            await counted(source)
            await at.agent(1002, deed)
            first, second = await counted(source), await counted(source)

    expected = "the Guid that was handed over is no longer valid (1002)"
    assert first.warnings == (f"1 of 2 agents are not counted: {expected}",)
    assert second.warnings == ()
    assert set(counts_of(second)) == set(guids.known) == {1001}


async def test_a_newer_guid_stays_when_the_older_is_refused() -> None:
    async with center(NO_COOKIES) as at:
        first = keep_secret(await at.sign_in(1001))
        second = keep_secret(await at.sign_in(1001, force=True))
        guids = Guids({1001: first})
        drop = guids.drop

        async def late(zone: str, agent: int, guid: str) -> None:
            guids.known[1001] = second
            await drop(zone, agent, guid)

        guids.drop = late  # type: ignore[method-assign]
        async with counting(at, agents=(), guids=guids) as source:
            with pytest.raises(SourceError, match="no longer valid"):
                await counted(source)
            snapshot = await counted(source)

    assert counts_of(snapshot) == {1001: FREE}


async def test_when_a_guid_is_refused_our_own_session_takes_over() -> None:
    async with center() as at:  # needs cookies, which were not handed over
        guids = Guids({1001: keep_secret(await at.sign_in(1001))})
        async with counting(at, guids=guids, force_sign_in=True) as source:
            first, second = await counted(source), await counted(source)

    assert set(counts_of(first)) == {1002, 1003}
    assert set(counts_of(second)) == {1001, 1002, 1003}


async def test_an_agent_of_the_policy_without_a_session_is_reported() -> None:
    zone = agent_policy({"agent:1001": 1, "agent:1009": 1})
    async with center() as at, counting(at) as source:
        snapshot = await counted(source, zone)

    expected = "no Guid was handed over (1009)"
    assert snapshot.warnings == (f"1 of 2 agents are not counted: {expected}",)


async def test_a_store_that_is_away_is_not_blamed_on_the_platform() -> None:
    class Away(Guids):
        async def of(self, zone: str) -> dict[int, str]:
            raise Unavailable("no ledger")

    async with center() as at, counting(at, guids=Away()) as source:
        with pytest.raises(Unavailable):
            await counted(source)
