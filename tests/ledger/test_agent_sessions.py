"""Agents' sessions that were handed over, on a real Redis."""

from collections.abc import AsyncIterator

import pytest
import redis

from admission.config.settings import RedisSettings
from admission.errors import Conflict
from admission.ledger import agent_sessions as module
from admission.ledger.agent_sessions import LIFE_MS, AgentSessionStore
from admission.ledger.keys import guids as key_of
from admission.ledger.store.connection import connect

FIRST, SECOND = "first.AgentGateway1", "second.AgentGateway1"


@pytest.fixture
async def guids(redis_url: str) -> AsyncIterator[AgentSessionStore]:
    connection = await connect(RedisSettings(url=redis_url))
    yield AgentSessionStore(connection)
    await connection.close()


async def test_the_newest_guid_of_each_agent_is_kept_by_zone(guids: AgentSessionStore) -> None:
    await guids.keep("East", 1001, FIRST)
    await guids.keep("East", 1001, SECOND)
    await guids.keep("East", 1002, FIRST)

    assert await guids.of("East") == {1001: SECOND, 1002: FIRST}
    assert await guids.of("West") == {}


async def test_only_the_guid_that_was_refused_is_dropped(guids: AgentSessionStore) -> None:
    await guids.keep("East", 1001, SECOND)
    await guids.drop("East", 1001, FIRST)
    assert await guids.of("East") == {1001: SECOND}

    await guids.drop("East", 1001, SECOND)
    await guids.drop("East", 1009, SECOND)
    assert await guids.of("East") == {}


async def test_agent_sessions_expire_a_day_after_the_last_was_handed_over(
    guids: AgentSessionStore, redis_sync: redis.Redis
) -> None:
    await guids.keep("East", 1001, FIRST)

    assert LIFE_MS - 60_000 < redis_sync.pttl(key_of("adm", "East")) <= LIFE_MS


async def test_a_zone_stores_a_bounded_number_of_agents(
    guids: AgentSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGENTS_MAX", 2)
    await guids.keep("East", 1001, FIRST)
    await guids.keep("East", 1002, FIRST)

    with pytest.raises(Conflict):
        await guids.keep("East", 1003, FIRST)
    await guids.keep("East", 1002, SECOND)
    assert await guids.of("East") == {1001: FIRST, 1002: SECOND}
