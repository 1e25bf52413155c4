"""Huawei CC-Gateway as a source: current calls of each agent, one pool `agent:ID` for each.

Which agents are counted, of those that the zone's policy has as pools (`agent:1001`, or `agent:*`):
those whose Guid was handed over, and those whose session the configuration lets this service own.
A Guid that was handed over comes first; when the gateway refuses it, it is dropped.

An agent's room is its pool's limit (1 without) minus its calls. One that cannot be counted is left
out, so that its pool becomes stale and is denied; the others are not held up.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from admission.config.sources.huawei import HuaweiAgentGatewaySettings
from admission.domain.snapshots import Snapshot, SnapshotGroup
from admission.errors import AdmissionError, SourceError
from admission.sources.base import ANY_ZONE, ConfiguredSource, GuidStore, PolledZone
from admission.sources.huawei.agent_session import OwnedSession, SessionBackoff
from admission.sources.huawei.gateway_client import LOST, GatewayClient, GatewayFault, Ticket

PREFIX: Final = "agent:"
EVERY_AGENT: Final = "agent:*"
SHOWN_AGENTS: Final = 3
REASONS_MAX: Final = 5
LEAVE_S_MAX: Final = 3.0
ROUND_PART: Final = 0.95  # of the time-out; the rest is for what is done with the counts
# A zone that was not asked about for so many times its max_age is polled elsewhere now.
IDLE_AGES: Final = 2
_NO_SESSION: Final = "no Guid was handed over"
_REFUSED: Final = "the Guid that was handed over is valid no more"
_OTHER: Final = "for other reasons"
_LATE: Final = "there was no time left"

Item = TypeVar("Item")


class _NoGuids:
    """For who hands none over."""

    async def of(self, zone: str) -> Mapping[int, str]:
        """None at all."""
        return {}

    async def drop(self, zone: str, agent: int, guid: str) -> None:
        """There is none."""


class HuaweiAgentGatewaySource(ConfiguredSource[HuaweiAgentGatewaySettings]):
    """Counts agents' calls at one CC-Gateway.

    Args:
        name: as the configuration calls it.
        settings: where it is, and whose sessions are ours.
        pace: when to sign in again.

    Errors: ConfigError for a `ca_file` that cannot be used.
    """

    def __init__(
        self, name: str, settings: HuaweiAgentGatewaySettings, *, pace: SessionBackoff | None = None
    ) -> None:
        super().__init__(name, settings)
        self._pace = pace or SessionBackoff()
        self._client = GatewayClient(settings)
        self._own = {agent.id: agent for agent in settings.agents}
        self._guids: GuidStore = _NoGuids()
        self._tickets: dict[tuple[str, int], Ticket] = {}
        self._sessions: dict[int, OwnedSession] = {}
        self._wanted: dict[str, set[int]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._sign_ins = asyncio.Semaphore(settings.max_concurrent_queries)
        self._polls = asyncio.Semaphore(settings.max_concurrent_event_polls)
        self._turn = 0
        self._closed = False

    def use_guid_store(self, store: GuidStore) -> None:
        """Count agents whose Guids were handed over, too."""
        self._guids = store

    async def query(
        self, source_zone: str, channels: Sequence[str], zone: PolledZone = ANY_ZONE
    ) -> Snapshot:
        """Count the calls of a zone's agents (`Source.query`).

        Args:
            source_zone: is not looked at: agents are named by the zone's pools.
            channels: are not looked at: ports are not counted here.
            zone: its agents' pools, and their limits.

        Errors: SourceError when no agent at all could be counted, or the store is away.
        """
        if self._closed:
            raise SourceError("this connection is closed")
        guids = await self._guids.of(zone.name)
        agents = sorted(self._agents(zone, guids))
        self._want(zone, {agent for agent in agents if agent in self._own} - guids.keys())
        calls: dict[int, int] = {}
        faults: dict[int, str] = {}

        async def count(agent: int) -> None:
            faults[agent] = _LATE
            try:
                calls[agent] = await self._count(zone.name, agent, guids.get(agent))
                del faults[agent]
            except AdmissionError as error:
                faults[agent] = error.detail

        try:
            async with asyncio.timeout(self.timeout_ms / 1000 * ROUND_PART):
                await _each(self._in_turn(agents), self.settings.max_concurrent_queries, count)
        except TimeoutError:
            pass  # who was not reached is told below
        finally:
            self._expect_again(zone)
        faults |= {agent: _LATE for agent in agents if agent not in calls | faults}
        return self._snapshot(zone, agents, calls, faults)

    async def close(self) -> None:
        """Sign out whoever is not talking, and let go of the connections."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        sessions, self._sessions = list(self._sessions.values()), {}
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S_MAX):
                await _each(sessions, self.settings.max_concurrent_queries, OwnedSession.leave)
                await asyncio.gather(*self._leaving, return_exceptions=True)
        for session in sessions:
            await session.abandon()
        await self._client.close()

    # -- who is counted

    def _agents(self, zone: PolledZone, guids: Mapping[int, str]) -> set[int]:
        named = {int(agent) for agent in _agent_ids(zone.pools)}
        return named | ({*self._own, *guids} if EVERY_AGENT in zone.pools else set())

    def _want(self, zone: PolledZone, agents: set[int]) -> None:
        """From now on these sessions are to be ours; others of the zone end."""
        self._wanted[zone.name] = agents
        if timer := self._timers.pop(zone.name, None):
            timer.cancel()
        for agent in agents - self._sessions.keys():
            self._sessions[agent] = OwnedSession(
                self._client,
                self._own[agent],
                force=self.settings.force_sign_in,
                sign_ins=self._sign_ins,
                polls=self._polls,
                pace=self._pace,
            )
        self._end_unwanted()

    def _expect_again(self, zone: PolledZone) -> None:
        """Unless somebody asks about the zone again in time, its sessions end."""
        if not self._closed:
            idle_s = IDLE_AGES * zone.max_age_ms / 1000
            loop = asyncio.get_running_loop()
            self._timers[zone.name] = loop.call_later(idle_s, self._forget, zone.name)

    def _forget(self, zone: str) -> None:
        """Nobody asks about the zone any more: its sessions are not for us to keep."""
        self._wanted.pop(zone, None)
        self._timers.pop(zone, None)
        self._end_unwanted()

    def _end_unwanted(self) -> None:
        wanted = set().union(*self._wanted.values())
        for agent in self._sessions.keys() - wanted:
            self._end(self._sessions.pop(agent).leave())

    def _end(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(ending)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # -- counting

    async def _count(self, zone: str, agent: int, guid: str | None) -> int:
        if guid is not None:
            return await self._count_with(zone, agent, guid)
        session = self._sessions.get(agent)
        if session is None:
            raise SourceError(_NO_SESSION)
        await session.settled.wait()
        return await session.count()

    async def _count_with(self, zone: str, agent: int, guid: str) -> int:
        ticket = self._tickets.get((zone, agent))
        if ticket is None or ticket.guid != guid:
            ticket = self._tickets[zone, agent] = Ticket(guid=guid)
        try:
            return await self._client.callnums(agent, ticket)
        except GatewayFault as fault:
            if fault.retcode not in LOST:
                raise
        self._tickets.pop((zone, agent), None)
        await self._guids.drop(zone, agent, guid)
        raise SourceError(_REFUSED)

    def _in_turn(self, agents: Sequence[int]) -> list[int]:
        """Another one first each time, so that a slow gateway leaves out others each time."""
        self._turn += 1
        first = self._turn * self.settings.max_concurrent_queries % max(1, len(agents))
        return [*agents[first:], *agents[:first]]

    def _snapshot(
        self,
        zone: PolledZone,
        agents: Sequence[int],
        calls: Mapping[int, int],
        faults: Mapping[int, str],
    ) -> Snapshot:
        told = list(_told(faults))
        if agents and not calls:
            raise SourceError(f"no agent is counted at {self.settings.place}: {'; '.join(told)}")
        if not agents:
            told = ["there is no agent to count: list agents, or hand over their Guids"]
        else:
            told = [f"{len(faults)} of {len(agents)} agents are not counted: {one}" for one in told]
        notes: dict[str, Any] = {"agents": len(agents), "agents_counted": len(calls)}
        groups = tuple(_group(agent, n, zone.pools) for agent, n in sorted(calls.items()))
        return Snapshot(groups=groups, notes=notes, warnings=tuple(told))


def _agent_ids(pools: Iterable[str]) -> Iterator[str]:
    for pool in pools:
        agent = pool.removeprefix(PREFIX)
        if agent != pool and agent.isascii() and agent.isdecimal():
            yield agent


def _group(agent: int, calls: int, pools: Mapping[str, int | None]) -> SnapshotGroup:
    pool = f"{PREFIX}{agent}"
    limit = pools.get(pool, pools.get(EVERY_AGENT))
    capacity = 1 if limit is None else limit
    return SnapshotGroup(total=capacity, unused={pool: max(0, capacity - calls)})


def _told(faults: Mapping[int, str]) -> Iterator[str]:
    """A line for each reason, with the first few agents whom it concerns."""
    concerned: dict[str, list[int]] = defaultdict(list)
    for agent in sorted(faults):
        concerned[faults[agent]].append(agent)
    if len(concerned) > REASONS_MAX:
        for reason in sorted(concerned)[REASONS_MAX:]:
            concerned[_OTHER] += concerned.pop(reason)
    for reason, agents in sorted(concerned.items()):
        more = len(agents) - SHOWN_AGENTS
        shown = ", ".join(map(str, agents[:SHOWN_AGENTS])) + (
            f" and {more} more" if more > 0 else ""
        )
        yield f"{reason} ({shown})"


async def _each(
    items: Iterable[Item], at_once: int, deed: Callable[[Item], Awaitable[None]]
) -> None:
    """Do it to all of them, so many at a time."""
    rest = iter(items)

    async def work() -> None:
        for item in rest:
            await deed(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
