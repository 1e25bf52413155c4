"""Huawei CC-Gateway as a source: current calls of each agent, one pool `agent:ID` for each.

Of the agents that the zone's policy has as pools (`agent:1001`, or `agent:*`), those are counted
whose Guid was handed over and those whose session the configuration lets this service own. A Guid
that was handed over has precedence; one that the gateway refuses is dropped.

An agent's unused units are its pool's limit (1 without) minus its calls. An agent that cannot be
counted is left out, so that its pool becomes stale and is denied; the others are counted.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from admission.config.sources.huawei import HuaweiAgentGatewaySettings
from admission.domain import Snapshot, SnapshotGroup
from admission.domain.policy import ZonePolicy
from admission.errors import AdmissionError, SourceError
from admission.sources.authentication import CredentialGate, CredentialsRefused
from admission.sources.base import ConfiguredSource, GuidStore
from admission.sources.huawei.agent_session import OwnedSession, SessionBackoff
from admission.sources.huawei.gateway_client import LOST, GatewayClient, GatewayFault, Ticket

PREFIX: Final = "agent:"
EVERY_AGENT: Final = "agent:*"
# A warning names so many agents for each reason, and so many reasons.
AGENTS_NAMED_MAX: Final = 3
REASONS_MAX: Final = 5
# A shutdown waits no longer for agents to be signed out; the gateway ends silent sessions by
# itself.
SIGN_OUT_S_MAX: Final = 3.0
# Part of the time-out for requests; the rest is for building the snapshot.
ROUND_PART: Final = 0.95
# Without a query for this many times its max_age_ms, another replica polls the zone.
IDLE_AGES: Final = 2
_NO_SESSION: Final = "no Guid was handed over"
_REFUSED: Final = "the Guid that was handed over is no longer valid"
_OTHER: Final = "for other reasons"
_NO_TIME: Final = "the query's time was over"

Item = TypeVar("Item")


class _EmptyGuidStore:
    """The store until `use_guid_store` sets one."""

    async def of(self, zone: str) -> Mapping[int, str]:
        """Return no Guid."""
        return {}

    async def drop(self, zone: str, agent: int, guid: str) -> None:
        """Do nothing."""


class HuaweiAgentGatewaySource(ConfiguredSource[HuaweiAgentGatewaySettings]):
    """Counts agents' calls at one CC-Gateway.

    Args:
        name: the X of `[sources.X]`.
        settings: the gateway's address, and the agents whose sessions this service owns.
        backoff: pauses between attempts to sign in.

    Raises:
        ConfigError: the `ca_file` cannot be used.

    Example:
        source = HuaweiAgentGatewaySource("agents", settings)
        snapshot = await source.query("Contact-Center", policy)
        await source.close()
    """

    def __init__(
        self,
        name: str,
        settings: HuaweiAgentGatewaySettings,
        *,
        backoff: SessionBackoff | None = None,
    ) -> None:
        super().__init__(name, settings)
        self._backoff = backoff or SessionBackoff()
        self._client = GatewayClient(settings)
        self._own = {agent.id: agent for agent in settings.agents}
        self._guids: GuidStore = _EmptyGuidStore()
        self._tickets: dict[tuple[str, int], Ticket] = {}
        self._sessions: dict[int, OwnedSession] = {}
        self._gates: dict[int, CredentialGate] = {}  # of own agents; they outlive their sessions
        self._wanted: dict[str, set[int]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._sign_outs: set[asyncio.Task[None]] = set()
        self._sign_ins = asyncio.Semaphore(settings.max_concurrent_queries)
        self._event_polls = asyncio.Semaphore(settings.max_concurrent_event_polls)
        self._round = 0
        self._closed = False

    def forget_refusal(self) -> None:
        """Sign refused agents in again now (`RemembersRefusals`)."""
        for gate in self._gates.values():
            gate.forget()
        for session in self._sessions.values():
            session.try_again()

    def use_guid_store(self, store: GuidStore) -> None:
        """Count agents whose Guids were handed over, too."""
        self._guids = store

    async def query(self, zone: str, policy: ZonePolicy) -> Snapshot:
        """Count the calls of a zone's agents (`Source.query`).

        Args:
            zone: the Guids that were handed over belong to it.
            policy: its agents' pools and their limits; `max_age_ms` is how long sessions outlive
                the last query. Its `source_zone` and `channels` are not used.

        Raises:
            CredentialsRefused: not a single agent could be counted, some because of their password.
            SourceError: not a single agent could be counted.
            Unavailable: the store of Guids does not answer.
        """
        if self._closed:
            raise SourceError("this connection is closed")
        guids = await self._guids.of(zone)
        agents = sorted(self._select_agents(policy, guids))
        self._own_sessions(zone, {agent for agent in agents if agent in self._own} - guids.keys())
        calls: dict[int, int] = {}
        faults: dict[int, str] = {}
        refused: set[int] = set()

        async def count(agent: int) -> None:
            faults[agent] = _NO_TIME
            try:
                calls[agent] = await self._count_calls(zone, agent, guids.get(agent))
                del faults[agent]
            except AdmissionError as error:
                faults[agent] = error.detail
                if isinstance(error, CredentialsRefused):
                    refused.add(agent)

        try:
            async with asyncio.timeout(self.timeout_ms / 1000 * ROUND_PART):
                await _for_each(self._rotate(agents), self.settings.max_concurrent_queries, count)
        except TimeoutError:
            pass  # the warning names the agents that were not reached
        finally:
            self._schedule_forget(zone, policy.max_age_ms)
        faults |= {agent: _NO_TIME for agent in agents if agent not in calls | faults}
        try:
            return self._make_snapshot(policy, agents, calls, faults)
        except SourceError as error:
            raise (CredentialsRefused if refused else SourceError)(error.detail) from None

    async def close(self) -> None:
        """Sign out the agents without a call, and close the connections."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        sessions, self._sessions = list(self._sessions.values()), {}
        with suppress(TimeoutError):
            async with asyncio.timeout(SIGN_OUT_S_MAX):
                await _for_each(sessions, self.settings.max_concurrent_queries, OwnedSession.leave)
                await asyncio.gather(*self._sign_outs, return_exceptions=True)
        for session in sessions:
            await session.abandon()
        await self._client.close()

    # -- which agents are counted

    def _select_agents(self, policy: ZonePolicy, guids: Mapping[int, str]) -> set[int]:
        named = set(_agent_ids(policy.pools))
        return named | ({*self._own, *guids} if EVERY_AGENT in policy.pools else set())

    def _own_sessions(self, zone: str, agents: set[int]) -> None:
        """Begin sessions for these agents of the zone, and end those of its other agents."""
        self._wanted[zone] = agents
        if timer := self._timers.pop(zone, None):
            timer.cancel()
        for agent in agents - self._sessions.keys():
            self._sessions[agent] = OwnedSession(
                self._client,
                self._own[agent],
                force=self.settings.force_sign_in,
                sign_ins=self._sign_ins,
                event_polls=self._event_polls,
                backoff=self._backoff,
                gate=self._gates.setdefault(agent, CredentialGate()),
            )
        self._end_unwanted()

    def _schedule_forget(self, zone: str, max_age_ms: int) -> None:
        """End the zone's sessions unless a query comes in time."""
        if not self._closed:
            idle_s = IDLE_AGES * max_age_ms / 1000
            loop = asyncio.get_running_loop()
            self._timers[zone] = loop.call_later(idle_s, self._forget, zone)

    def _forget(self, zone: str) -> None:
        self._wanted.pop(zone, None)
        self._timers.pop(zone, None)
        self._end_unwanted()

    def _end_unwanted(self) -> None:
        wanted = set().union(*self._wanted.values())
        for agent in self._sessions.keys() - wanted:
            self._start_sign_out(self._sessions.pop(agent).leave())

    def _start_sign_out(self, sign_out: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(sign_out)
        self._sign_outs.add(task)
        task.add_done_callback(self._sign_outs.discard)

    # -- counting

    async def _count_calls(self, zone: str, agent: int, guid: str | None) -> int:
        if guid is not None:
            return await self._count_with_guid(zone, agent, guid)
        session = self._sessions.get(agent)
        if session is None:
            raise SourceError(_NO_SESSION)
        await session.attempted.wait()
        return await session.count_calls()

    async def _count_with_guid(self, zone: str, agent: int, guid: str) -> int:
        ticket = self._tickets.get((zone, agent))
        if ticket is None or ticket.guid != guid:
            ticket = self._tickets[zone, agent] = Ticket(guid=guid)
        try:
            return await self._client.count_calls(agent, ticket)
        except GatewayFault as fault:
            if fault.retcode not in LOST:
                raise
        self._tickets.pop((zone, agent), None)
        await self._guids.drop(zone, agent, guid)
        raise SourceError(_REFUSED)

    def _rotate(self, agents: Sequence[int]) -> list[int]:
        """Begin with other agents each time, so that a slow gateway omits others each time."""
        self._round += 1
        first = self._round * self.settings.max_concurrent_queries % max(1, len(agents))
        return [*agents[first:], *agents[:first]]

    def _make_snapshot(
        self,
        policy: ZonePolicy,
        agents: Sequence[int],
        calls: Mapping[int, int],
        faults: Mapping[int, str],
    ) -> Snapshot:
        reasons = list(_describe_faults(faults))
        if agents and not calls:
            raise SourceError(f"no agent is counted at {self.settings.place}: {'; '.join(reasons)}")
        if agents:
            failed = f"{len(faults)} of {len(agents)} agents are not counted"
            warnings = [f"{failed}: {reason}" for reason in reasons]
        else:
            warnings = ["there is no agent to count: list agents, or hand over their Guids"]
        groups = (_make_group(agent, n, policy) for agent, n in sorted(calls.items()))
        return Snapshot(
            groups=tuple(groups),
            notes={"agents": len(agents), "agents_counted": len(calls)},
            warnings=tuple(warnings),
        )


def _agent_ids(pools: Iterable[str]) -> Iterator[int]:
    for pool in pools:
        agent = pool.removeprefix(PREFIX)
        if agent != pool and agent.isascii() and agent.isdecimal():
            yield int(agent)


def _make_group(agent: int, calls: int, policy: ZonePolicy) -> SnapshotGroup:
    name = f"{PREFIX}{agent}"
    pool = policy.pools.get(name, policy.pools.get(EVERY_AGENT))
    capacity = 1 if pool is None or pool.limit is None else pool.limit
    return SnapshotGroup(total=capacity, unused={name: max(0, capacity - calls)})


def _describe_faults(faults: Mapping[int, str]) -> Iterator[str]:
    """One line for each reason, with the first few of its agents."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    for agent in sorted(faults):
        by_reason[faults[agent]].append(agent)
    if len(by_reason) > REASONS_MAX:
        for reason in sorted(by_reason)[REASONS_MAX:]:
            by_reason[_OTHER] += by_reason.pop(reason)
    for reason, agents in sorted(by_reason.items()):
        more = len(agents) - AGENTS_NAMED_MAX
        named = ", ".join(map(str, agents[:AGENTS_NAMED_MAX])) + (
            f" and {more} more" if more > 0 else ""
        )
        yield f"{reason} ({named})"


async def _for_each(
    items: Iterable[Item], concurrency: int, action: Callable[[Item], Awaitable[None]]
) -> None:
    """Perform an action for each item, at most `concurrency` at the same time."""
    rest = iter(items)

    async def work() -> None:
        for item in rest:
            await action(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
