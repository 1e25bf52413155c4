"""One zone of the service: every operation that the HTTP side may ask of it."""

import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from admission.domain import Answer, IngestAnswer, Snapshot, SnapshotGroup
from admission.domain.types import SigningKeys, TemporaryLimit
from admission.errors import AdmissionError
from admission.ledger import Ledger
from admission.service.agent_sessions import AgentSessions
from admission.service.policies import PolicyRegistry
from admission.service.policy_editor import PolicyEditor
from admission.service.waiting.coordinator import WaitCoordinator
from admission.sources import LiveSources
from admission.sources.polling import Poller

log = logging.getLogger(__name__)

Operation = dict[str, Any]

# Counters of the ledger's repairs, and what the log says of a new one.
_REPAIRS: Final = {
    "recounted": "counts differed from the reservations and were corrected",
    "undo_failed": "a failed call was not undone; the zone recovered and recounted",
    "set_aside": "unreadable entries were set aside; see docs/runbook.md#admissionentriessetaside",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """The open resources that all zones share; `open_service` (bootstrap.py) owns them.

    Args:
        policies: of the configuration file, and live.
        editor: changes live policies.
        ledger: decides.
        waiting: keeps admission requests with `wait_ms` open.
        poller: polls the platforms.
        sessions: takes over agents' sessions.
        sources: the connections to the platforms.
    """

    policies: PolicyRegistry
    editor: PolicyEditor
    ledger: Ledger
    waiting: WaitCoordinator
    poller: Poller
    sessions: AgentSessions
    sources: LiveSources


class Zone:
    """A configured zone. `Service.zone` makes it; its methods raise what the ledger raises.

    Example:
        zone = service.zone("East")
        answer = await zone.admit(operation)

    Args:
        name: of the zone.
        components: shared by all zones.
    """

    __slots__ = ("_components", "_ledger", "_recovered_from", "_repairs", "_waiting", "name")

    def __init__(self, name: str, components: Components) -> None:
        self.name = name
        self._components = components
        self._ledger = components.ledger
        self._waiting = components.waiting
        self._repairs: dict[str, int] = {}
        self._recovered_from: int | None = None

    async def get_time(self) -> int:
        """Zone time in ms."""
        return await self._ledger.get_time(self.name)

    def admit(
        self, operation: Operation, wait_ms: int = 0, caller: str = ""
    ) -> Coroutine[Any, Any, Answer]:
        """Decide one admission request; `wait_ms`: how long it may wait for room."""
        if wait_ms:
            return self._waiting.admit(self.name, operation, wait_ms, caller)
        return self._ledger.admit(self.name, operation, caller)

    def admit_batch(
        self, operations: Sequence[Operation], caller: str = ""
    ) -> Coroutine[Any, Any, list[Answer | AdmissionError]]:
        """Decide admission requests that do not wait, each by itself, in order."""
        return self._ledger.admit_batch(self.name, operations, caller)

    def withdraw(self, operation: Operation) -> None:
        """Take back in the background what that `admit` was granted: its client has hung up."""
        self._waiting.withdraw(self.name, operation)

    def report(self, operation: Operation, caller: str = "") -> Coroutine[Any, Any, Answer]:
        """Apply a report on a reservation: `launched`, `renew` or `end`."""
        return self._ledger.report(self.name, operation, caller)

    def report_batch(
        self, operations: Sequence[Operation], caller: str = ""
    ) -> Coroutine[Any, Any, list[Answer | AdmissionError]]:
        """Apply reports in order, each by itself."""
        return self._ledger.report_batch(self.name, operations, caller)

    async def get_reservation(self, reservation_id: str, scope: Sequence[str] | None) -> Answer:
        """One reservation with its times and pools."""
        return await self._ledger.get_reservation(self.name, reservation_id, scope)

    async def list_reservations(self, **filters: Any) -> Answer:
        """One page of reservations."""
        return await self._ledger.list_reservations(self.name, **filters)

    async def get_status(self) -> Answer:
        """Pools and counters by the ledger, and the health of the zone's sources."""
        policies = self._components.policies
        health = {one.source: asdict(one) for one in self._components.poller.health(self.name)}
        names = policies.live(self.name).source_names
        sources = [health.get(name, {"source": name}) for name in names]
        status = await self._ledger.get_status(self.name) | {"sources": sources}
        live = status["policy"]
        live["differs_from_file"] = policies.differs_from_file(self.name, live["digest"])
        self._log_repairs(status["stats"])
        self._log_recovery(status["recovered_from"])
        return status

    def _log_repairs(self, stats: Mapping[str, int]) -> None:
        """Log once when the ledger corrected counts or set unreadable entries aside."""
        for counter, message in _REPAIRS.items():
            count = stats.get(counter, 0)
            if count > self._repairs.get(counter, count):
                log.error("zone %s: %s (%d in total)", self.name, message, count)
            self._repairs[counter] = count

    def _log_recovery(self, began_at: int) -> None:
        """Log once when the zone began to recover."""
        if began_at != self._recovered_from and self._recovered_from is not None:
            log.warning(
                "zone %s: it began to recover: its state in Redis was lost, or is old", self.name
            )
        self._recovered_from = began_at

    async def push_snapshot(self, taken_at: int, groups: Sequence[SnapshotGroup]) -> IngestAnswer:
        """Ingest a pushed snapshot; `taken_at`: zone time in ms."""
        return await self._ledger.ingest(self.name, taken_at, Snapshot(groups=tuple(groups)))

    async def take_agent_session(self, agent: int, guid: str) -> Answer:
        """Take over an agent's session, to count the agent's calls with it."""
        policy = self._components.policies.live(self.name)
        pool = await self._components.sessions.take(self.name, policy, agent, guid)
        now = await self.get_time()
        self._components.poller.request_poll(self.name)
        return {"now": now, "zone": self.name, "agent": agent, "pool": pool}

    async def set_paused(self, pool: str | None, paused: bool, by: str | None = None) -> Answer:
        """Stop or resume grants of one pool, or of the zone (None). `by`: actor in the audit."""
        answer = await self._ledger.set_paused(self.name, pool, paused, by)
        if answer["changed"]:
            action = "paused" if paused else "resumed"
            log.warning("zone %s: %s %s", self.name, pool or "the whole zone", action)
        return answer

    async def set_limit(self, limit: TemporaryLimit) -> Answer:
        """Limit a pool for a while."""
        return await self._ledger.set_limit(self.name, limit)

    async def clear_aside(self, by: str | None = None) -> Answer:
        """Delete what could not be read and was set aside."""
        return await self._ledger.clear_aside(self.name, by)

    async def get_policy(self) -> Answer:
        """The live policy."""
        return await self._components.editor.read(self.name)

    async def put_policy(
        self, document: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        """Replace the live policy."""
        return await self._components.editor.put(self.name, document, versions, by)

    async def patch_policy(
        self, patch: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        """Change the live policy by a JSON merge patch."""
        return await self._components.editor.patch(self.name, patch, versions, by)

    async def list_audit_entries(self, limit: int, before: str | None) -> Answer:
        """Changes made by operators, newest first."""
        return await self._ledger.list_audit_entries(self.name, limit, before)

    async def rotate_keys(self, keep_ms: int, by: str | None = None) -> Answer:
        """Sign with a new key; signatures of earlier ones are accepted for `keep_ms` more."""
        answer = await self._ledger.rotate_keys(self.name, keep_ms, by)
        log.warning("zone %s: a new signing key; earlier ones for %d ms", self.name, keep_ms)
        return answer

    def get_keys(self, *, refresh: bool = False) -> Coroutine[Any, Any, SigningKeys]:
        """The keys with which all replicas sign the zone's `report_url`s and ids."""
        return self._ledger.get_keys(self.name, refresh=refresh)
