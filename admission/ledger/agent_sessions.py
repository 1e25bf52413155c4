"""Agents' sessions that a caller handed over, kept in Redis because any replica may poll the zone.

A hash for each zone, agent -> Guid (lua/agent_sessions.lua). It expires when no Guid was handed
over for a day; a Guid that the platform refuses is removed at once. No decision depends on it.
"""

from typing import Any, Final

from admission.errors import Conflict
from admission.ledger.keys import guids
from admission.ledger.scripts import load_single_file
from admission.ledger.store.connection import RedisConnection

LIFE_MS: Final = 24 * 3_600_000
AGENTS_MAX: Final = 10_000  # of one zone


class AgentSessionStore:
    """Agents' sessions in the ledger's Redis. Every method raises Unavailable without an answer.

    Example:
        store = AgentSessionStore(connection)
        await store.keep("Huawei", 1001, guid)

    Args:
        connection: open.
    """

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._script = load_single_file("agent_sessions")

    async def keep(self, zone: str, agent: int, guid: str) -> None:
        """Store a Guid; it replaces an older one of the agent.

        Raises:
            Conflict: the zone has as many agents as it may.
        """
        if not await self._run(zone, "keep", str(agent), guid, str(LIFE_MS), str(AGENTS_MAX)):
            raise Conflict(f"There are {AGENTS_MAX} agents already.")

    async def of(self, zone: str) -> dict[int, str]:
        """Agent -> Guid, all of a zone."""
        flat = await self._run(zone, "all")
        return {int(flat[i]): flat[i + 1].decode() for i in range(0, len(flat), 2)}

    async def drop(self, zone: str, agent: int, guid: str) -> None:
        """Remove a Guid that is no longer valid; a newer one stays."""
        await self._run(zone, "drop", str(agent), guid)

    async def _run(self, zone: str, *arguments: str) -> Any:
        key = guids(self._connection.settings.key_prefix, zone)
        return await self._connection.evaluate(self._script, [key], *arguments)
