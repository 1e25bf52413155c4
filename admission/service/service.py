"""The service: what the HTTP side asks of it, for all configured zones (its `Decider`).

Each answer is that of the ledger, of who waits, of the policy's editor or of the poller; here it is
known which zones there are, whose word is asked, and whether decisions can be made yet.
"""

import logging
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from admission.domain.policy.zone import ZonePolicy
from admission.domain.snapshots import IngestAnswer, Snapshot, SnapshotGroup
from admission.domain.types import Answer
from admission.errors import AdmissionError, NotFound, Unavailable
from admission.ledger.ledger import Ledger
from admission.ledger.store.connection import RedisConnection
from admission.service.agent_sessions import AgentSessions
from admission.service.policies import PolicyRegistry, stored_policy
from admission.service.policy_editor import PolicyEditor
from admission.service.waiting.coordinator import WaitCoordinator
from admission.sources.polling.poller import Poller

log = logging.getLogger(__name__)

PREPARE_PAUSE_S_MAX: Final = 2.0  # between two attempts to reach a Redis that is not there yet


class Service:
    """Decides for all configured zones.

    Args:
        policies: of the configuration, and live; `editor` changes the latter.
        connection, ledger, poller, waiting: open; their owner is
            `open_service` (bootstrap.py).
        handover: takes agents' sessions.
    """

    def __init__(
        self,
        policies: PolicyRegistry,
        editor: PolicyEditor,
        connection: RedisConnection,
        ledger: Ledger,
        poller: Poller,
        waiting: WaitCoordinator,
        handover: AgentSessions,
    ) -> None:
        self._policies = policies
        self._editor = editor
        self._connection = connection
        self._ledger = ledger
        self._poller = poller
        self._waiting = waiting
        self._handover = handover
        self._unprepared = "starting"

    def zones(self) -> Collection[str]:
        """All configured zones, in the order of the file."""
        return self._policies.zones()

    async def prepare(self) -> None:
        """Check the store and give it the policies; again and again until it answers.

        Raises:
            ConfigError: the store must not be used.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.1, max=PREPARE_PAUSE_S_MAX),
        )
        async for attempt in retrying:
            with attempt:
                await self._prepare_once()

    async def ready(self) -> None:
        """Return when decisions can be made: Redis answers, the schema fits, policies are there.

        Raises:
            Unavailable: with what is missing.
        """
        if self._unprepared:
            raise Unavailable(self._unprepared)
        await self._ledger.now(next(iter(self._policies)))

    async def now(self, zone: str) -> int:
        """The zone's time in ms."""
        return await self._ledger.now(self._known(zone))

    def admit(self, zone: str, op: dict[str, Any]) -> Coroutine[Any, Any, Answer]:
        """May it launch?"""
        return self._waiting.admit(self._known(zone), op)

    async def admit_all(
        self, zone: str, ops: Sequence[dict[str, Any]]
    ) -> list[Answer | AdmissionError]:
        """May they launch? Each by itself."""
        return await self._waiting.admit_all(self._known(zone), ops)

    def withdraw(self, zone: str, op: dict[str, Any]) -> None:
        """Nobody heard the answer to that ask."""
        self._waiting.withdraw(self._known(zone), op)

    async def stop_waiting(self) -> None:
        """Answer everybody who waits for room; from now on nobody does."""
        await self._waiting.stop()

    async def report(self, zone: str, op: dict[str, Any]) -> Answer:
        """Take a report on a reservation."""
        return await self._ledger.report(self._known(zone), op)

    async def reservation(
        self, zone: str, reservation_id: str, scope: Sequence[str] | None
    ) -> Answer:
        """One reservation."""
        return await self._ledger.reservation(self._known(zone), reservation_id, scope)

    async def reservations(self, zone: str, **filters: Any) -> Answer:
        """A page of reservations."""
        return await self._ledger.reservations(self._known(zone), **filters)

    async def status(self, zone: str) -> Answer:
        """A zone: pools and counters of the ledger, and how its sources are."""
        policy = self._policies.live(self._known(zone))
        health = {one.source: asdict(one) for one in self._poller.health(zone)}
        sources = [health.get(name, {"source": name}) for name in policy.source_names]
        status = await self._ledger.status(zone) | {"sources": sources}
        live = status["policy"]
        live["differs_from_file"] = self._policies.differs_from_file(zone, live["digest"])
        return status

    async def push(self, zone: str, taken_at: int, groups: Sequence[SnapshotGroup]) -> IngestAnswer:
        """Take a snapshot that somebody pushed."""
        snapshot = Snapshot(groups=tuple(groups))
        return await self._ledger.ingest(self._known(zone), taken_at, snapshot)

    async def hand_over(self, zone: str, agent: int, guid: str) -> Answer:
        """Take an agent's session, to count its calls with."""
        policy = self._policies.live(self._known(zone))
        pool = await self._handover.take(zone, policy, agent, guid)
        now = await self._ledger.now(zone)
        self._poller.request_poll(zone)
        return {"now": now, "zone": zone, "agent": agent, "pool": pool}

    async def pause(self, zone: str, pool: str | None, on: bool, by: str | None = None) -> Answer:
        """Stop or resume grants, of one pool or of the zone. `by`: who does it, for the audit."""
        answer = await self._ledger.pause(self._known(zone), pool, on, by)
        if answer["changed"]:
            done = "paused" if on else "resumed"
            log.warning("zone %s: %s %s", zone, pool or "the whole zone", done)
        return answer

    async def set_limit(
        self,
        zone: str,
        pool: str,
        limit: int,
        ttl_ms: int,
        scope: Sequence[str] | None,
        by: str | None = None,
    ) -> Answer:
        """Limit a pool for a while."""
        return await self._ledger.set_limit(self._known(zone), pool, limit, ttl_ms, scope, by)

    async def policy(self, zone: str) -> Answer:
        """The live policy."""
        return await self._editor.read(self._known(zone))

    async def put_policy(
        self, zone: str, document: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        """Replace the live policy."""
        return await self._editor.put(self._known(zone), document, versions, by)

    async def patch_policy(
        self, zone: str, patch: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        """Change the live policy by a JSON merge patch."""
        return await self._editor.patch(self._known(zone), patch, versions, by)

    async def audit(self, zone: str, limit: int, before: str | None) -> Answer:
        """What was done by hand, newest first."""
        return await self._ledger.audit(self._known(zone), limit, before)

    def secret(self, zone: str, *, anew: bool = False) -> Coroutine[Any, Any, bytes]:
        """What all replicas sign the zone's `report_url`s with."""
        return self._ledger.secret(self._known(zone), anew=anew)

    async def reload(self, zones: Mapping[str, ZonePolicy]) -> None:
        """The file was read again: what it says anew becomes live.

        Raises:
            Unavailable: the store does not answer; some zones may have been done.
        """
        self._policies.reload(zones)
        for zone in zones:
            await self._store(zone)

    def _known(self, zone: str) -> str:
        if zone not in self._policies:
            raise NotFound(f"there is no zone {zone}")
        return zone

    async def _prepare_once(self) -> None:
        try:
            await self._connection.check()
            for zone in self._policies:
                await self._store(zone)
        except Unavailable as fault:
            if self._unprepared != fault.detail:
                log.warning("not ready: %s", fault.detail)
            self._unprepared = fault.detail
            raise
        self._unprepared = ""

    async def _store(self, zone: str) -> None:
        policy = stored_policy(self._policies.of_file(zone))
        version, applied = await self._ledger.store_policy(zone, policy, "file", by="the file")
        what = "applied" if applied else "known: the live one stays"
        log.info("zone %s: policy of the file %s (version %d)", zone, what, version)
