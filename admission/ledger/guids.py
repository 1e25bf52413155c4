"""Agents' sessions that somebody handed over: for every replica, as any may poll the zone.

A hash for each zone, agent -> Guid. It lapses when no Guid was handed over for a day; one that the
platform refuses is dropped at once. Nothing is decided by it.
"""

from collections.abc import Awaitable
from typing import Any, Final, cast

from admission.errors import Conflict
from admission.ledger.connection import RedisConnection
from admission.ledger.faults import translate
from admission.ledger.keys import guids

LIFE_MS: Final = 24 * 3_600_000
AGENTS_MAX: Final = 10_000  # of one zone
# Only the very Guid that was refused: a newer one may have come meanwhile.
_DROP: Final = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
"""


class HandedGuids:
    """Keeps them in the ledger's Redis.

    Args:
        connection: open.

    Every method raises Unavailable when Redis does not answer.
    """

    def __init__(self, connection: RedisConnection) -> None:
        self._redis = connection.client
        self._prefix = connection.settings.key_prefix

    async def keep(self, zone: str, agent: int, guid: str) -> None:
        """A Guid was handed over; it replaces an older one of the agent.

        Raises:
            Conflict: the zone has as many agents as it may.
        """
        key = guids(self._prefix, zone)
        known = await self._do(self._redis.hexists(key, str(agent)))
        if not known and await self._do(self._redis.hlen(key)) >= AGENTS_MAX:
            raise Conflict(f"There are {AGENTS_MAX} agents already.")
        await self._do(self._redis.hset(key, str(agent), guid))
        await self._do(self._redis.pexpire(key, LIFE_MS))

    async def of(self, zone: str) -> dict[int, str]:
        """Agent -> Guid, all of a zone."""
        found = await self._do(self._redis.hgetall(guids(self._prefix, zone)))
        return {int(agent): guid.decode() for agent, guid in found.items()}

    async def drop(self, zone: str, agent: int, guid: str) -> None:
        """That Guid is valid no more; a newer one stays."""
        await self._do(self._redis.eval(_DROP, 1, guids(self._prefix, zone), str(agent), guid))

    async def _do(self, command: Any) -> Any:
        try:
            return await cast(Awaitable[Any], command)
        except Exception as exc:
            raise translate(exc) from exc
