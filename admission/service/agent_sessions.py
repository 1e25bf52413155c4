"""Sessions of agents who signed in elsewhere, taken over to count the agents' calls with them."""

from admission.domain.policy import ZonePolicy
from admission.errors import NotFound
from admission.ledger import AgentSessionStore
from admission.sources import LiveSources, Source, UsesAgentGuids


class AgentSessions:
    """Checks whether a zone counts an agent, and stores the agent's Guid for the polling replica.

    Example:
        pool = await sessions.take("Huawei", policy, 1001, guid)

    Args:
        guids: the store.
        sources: those that use Guids read them from the store from now on.
    """

    def __init__(self, guids: AgentSessionStore, sources: LiveSources) -> None:
        self._guids = guids
        self._receivers: set[str] = set()
        sources.prepare_with(self._supply)

    def _supply(self, source: Source) -> None:
        if isinstance(source, UsesAgentGuids):
            source.use_guid_store(self._guids)
            self._receivers.add(source.name)

    async def take(self, zone: str, policy: ZonePolicy, agent: int, guid: str) -> str:
        """Store an agent's Guid. Returns: the pool in which the agent is counted.

        Raises:
            NotFound: the zone counts no agents, or not that one. Conflict: too many agents.
            Unavailable: the store does not answer.
        """
        if self._receivers.isdisjoint(policy.source_names):
            raise NotFound(f"no source of zone {zone} counts agents")
        pool = f"agent:{agent}"
        if pool not in policy.pools and "agent:*" not in policy.pools:
            raise NotFound(f"there is no pool {pool}")
        await self._guids.keep(zone, agent, guid)
        return pool
