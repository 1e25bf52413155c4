"""The composition root: settings in, a service that decides out; and everything closed again.

settings -> Redis -> ledger -> policies stored -> sources -> poller -> Service (the HTTP's Decider)
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Any, Final
from uuid import uuid4

from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from admission.errors import AdmissionError, NotFound, Unavailable
from admission.handover import Handover
from admission.ledger.bell import LOST, Bell
from admission.ledger.connection import RedisConnection, open_connection
from admission.ledger.guids import HandedGuids
from admission.ledger.ledger import Ledger, Statistics
from admission.model import Answer, IngestAnswer, Snapshot, SnapshotGroup
from admission.policies import Policies, polling, source_types, stored_policy
from admission.policy_editor import PolicyEditor
from admission.policy_zone import ZonePolicy
from admission.settings import Settings
from admission.sources.build import build_source
from admission.sources.health import PollEvent
from admission.sources.poller import Poller
from admission.tasks import end_all
from admission.telemetry import Telemetry
from admission.waiting import Waiting

log = logging.getLogger(__name__)

PREPARE_PAUSE_S_MAX: Final = 2.0  # between two attempts to reach a Redis that is not there yet


class Service:
    """Decides for all configured zones.

    Args:
        policies: of the configuration, and live; `editor` changes the latter.
        connection, ledger, poller, waiting: open; their owner is `open_service`.
        handover: takes agents' sessions.
    """

    def __init__(
        self,
        policies: Policies,
        editor: PolicyEditor,
        connection: RedisConnection,
        ledger: Ledger,
        poller: Poller,
        waiting: Waiting,
        handover: Handover,
    ) -> None:
        self._policies = policies
        self._editor = editor
        self._connection = connection
        self._ledger = ledger
        self._poller = poller
        self._waiting = waiting
        self._handover = handover
        self._unprepared = "starting"

    def zones(self) -> list[str]:
        """All configured zones, in the order of the file."""
        return list(self._policies)

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
        self._poller.poke(zone)
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


@asynccontextmanager
async def open_service(settings: Settings, telemetry: Telemetry) -> AsyncIterator[Service]:
    """Open everything that deciding takes, in order; close it in the reverse order.

    A Redis that does not answer yet is waited for in the background: the service is not ready
    until then, and every decision is refused as unavailable.

    Raises:
        ConfigError: something that is configured cannot work.
    """
    async with AsyncExitStack() as stack:
        connection = await open_connection(settings.redis)
        stack.push_async_callback(connection.close)
        statistics = Statistics(on_batch=telemetry.group_committed, on_call=telemetry.called)
        policies = Policies(settings.zones)
        ledger = Ledger(connection, statistics=statistics, on_policy=policies.saw)
        stack.push_async_callback(ledger.close)
        sources = {name: build_source(name, one) for name, one in settings.sources.items()}
        for source in sources.values():
            stack.push_async_callback(source.close)
        replica = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        waiting = Waiting(ledger, replica=replica, limit=settings.limits.waiters)
        stack.push_async_callback(waiting.stop)
        poller = Poller(
            ledger,
            holder=replica,
            zones={},
            on_event=_counting(telemetry),
        )
        editor = PolicyEditor(ledger, source_types(settings.sources))
        handover = Handover(HandedGuids(connection), sources)
        service = Service(policies, editor, connection, ledger, poller, waiting, handover)
        async with (
            _prepared(service),
            _rung(connection, poller, waiting),
            polling(policies, poller, sources),
        ):
            yield service


@asynccontextmanager
async def _prepared(service: Service) -> AsyncIterator[None]:
    """Prepare in the background; a store that must not be used ends the service."""
    preparing = asyncio.create_task(service.prepare(), name="prepare")
    try:
        # Most of the time Redis is there: then the first request finds everything ready.
        await asyncio.wait({preparing}, timeout=1.0)
        if preparing.done():
            preparing.result()
        else:
            preparing.add_done_callback(_log_failure)
        yield
    finally:
        await end_all(preparing)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()):
        log.error("this Redis cannot be used: %s", fault)


@asynccontextmanager
async def _rung(
    connection: RedisConnection, poller: Poller, waiting: Waiting
) -> AsyncIterator[None]:
    """Listen for `poll ZONE`: somebody, on whatever replica, waits for a newer snapshot.

    And for `room ZONE`: something got better for those who wait for room.
    """

    def ring(text: str) -> None:
        verb, _, zone = text.partition(" ")
        if verb == "poll":
            poller.poke(zone)
        elif text == LOST:
            waiting.lost()
        else:
            waiting.hear(text)

    bell = Bell(connection.client, connection.settings.key_prefix)
    stop_listening = bell.listen(ring)
    await bell.start()
    try:
        yield
    finally:
        stop_listening()
        await bell.stop()


def _counting(telemetry: Telemetry) -> Any:
    def count(event: PollEvent) -> None:
        if event.kind in ("accepted", "refused", "failed"):
            telemetry.polled(event.zone, event.source, failed=event.kind == "failed")

    return count
