"""What the HTTP side needs of the service: two Protocols. Handlers import no ledger, no Redis."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol, runtime_checkable

from admission.domain import Answer, IngestAnswer, SnapshotGroup
from admission.domain.types import SigningKeys, StoreMemory, TemporaryLimit
from admission.errors import AdmissionError


class Zone(Protocol):
    """One configured zone (`admission.service.zone.Zone`).

    Every method may raise the exceptions of `admission.errors`; each becomes one problem. Calls
    of one caller for one zone take effect in the order in which they were made, even when they run
    concurrently: a batch makes all of its calls without waiting in between. `admit` and
    `admit_batch` may be cancelled because the client disconnected, no other call is; a cancelled
    call may have been granted, so the caller then calls `withdraw`.

    Reservation ids are public ones (`Zone~abc`). Answers are dicts with the fields of the API, in
    its order, each with `now` (zone time in ms).
    """

    @property
    def name(self) -> str:
        """The zone's name."""
        ...

    async def get_time(self) -> int:
        """Zone time in ms."""
        ...

    async def admit(self, operation: dict[str, Any], wait_ms: int = 0, caller: str = "") -> Answer:
        """Decide one admission request.

        Args:
            operation: `admit` as in lua/README.md; its `op` is set.
            wait_ms: how long the answer may wait for room.
            caller: who asks; callers take turns, and share the places for waiting requests.

        Raises:
            NotFound: unknown campaign.
            Conflict: same request_id, other body.
            Invalid: unknown channel, pool, application or MPP, with its field.
        """
        ...

    async def admit_batch(
        self, operations: Sequence[dict[str, Any]], caller: str = ""
    ) -> list[Answer | AdmissionError]:
        """Decide admission requests in order, none of which waits; a fault stands in its place."""
        ...

    def withdraw(self, operation: dict[str, Any]) -> None:
        """Take back what that `admit` was granted: its client disconnected before the response."""
        ...

    async def report(self, operation: dict[str, Any], caller: str = "") -> Answer:
        """Apply one report: `launched`, `renew` or `end`, as in lua/README.md.

        Raises:
            NotFound: an unknown id.
            Forbidden: a reservation outside `scope`.
        """
        ...

    async def report_batch(
        self, operations: Sequence[dict[str, Any]], caller: str = ""
    ) -> list[Answer | AdmissionError]:
        """Apply reports in order; a fault stands in its place."""
        ...

    async def get_reservation(self, reservation_id: str, scope: Sequence[str] | None) -> Answer:
        """One reservation with all its times. `scope`: the campaigns the caller may see, or all."""
        ...

    async def list_reservations(self, **filters: Any) -> Answer:
        """One page: `cursor` (null at the end) and `reservations`.

        Args:
            filters: `limit` and `cursor` always; `campaign`, `owner`, `state`, `scope` if given.
        """
        ...

    async def get_status(self) -> Answer:
        """Everything of a zone; `pools` is a list of objects, each with its `pool` name."""
        ...

    async def set_paused(self, pool: str | None, paused: bool, by: str | None = None) -> Answer:
        """Stop or resume grants of a pool, or of the whole zone (None).

        Args:
            by: the actor in the audit; None: not audited. So in every change by an operator.

        Raises:
            NotFound: an unknown pool. Conflict: too many pools are paused.
        """
        ...

    async def set_limit(self, limit: TemporaryLimit) -> Answer:
        """Limit a pool for a while.

        Raises:
            NotFound: an unknown pool. Forbidden: one outside the scope.
        """
        ...

    async def clear_aside(self, by: str | None = None) -> Answer:
        """Delete what could not be read and was set aside: `cleared` entries."""
        ...

    async def get_policy(self) -> Answer:
        """The live policy: `now`, `version`, `digest`, `policy` (as it was written), `paused`."""
        ...

    async def put_policy(
        self, document: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        """Replace the live policy. `versions`: those that it may replace; None: any.

        Raises:
            Invalid: wrong fields. PreconditionFailed: the live version is another.
        """
        ...

    async def patch_policy(
        self, patch: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        """Change the live policy by a JSON merge patch; otherwise as `put_policy`."""
        ...

    async def list_audit_entries(self, limit: int, before: str | None) -> Answer:
        """Changes by operators, newest first. `before`: the id of an entry, only older ones."""
        ...

    async def rotate_keys(self, keep_ms: int, by: str | None = None) -> Answer:
        """Sign with a new key; signatures of earlier ones are accepted for `keep_ms` more."""
        ...

    async def get_keys(self, *, refresh: bool = False) -> SigningKeys:
        """The keys that sign the zone's `report_url`s and ids. `refresh`: read them again."""
        ...

    async def take_agent_session(self, agent: int, guid: str) -> Answer:
        """Take over the session of an agent who is signed in.

        Raises:
            NotFound: the zone counts no agents, or not that one. Conflict: too many agents.
        """
        ...

    async def push_snapshot(self, taken_at: int, groups: Sequence[SnapshotGroup]) -> IngestAnswer:
        """Ingest a pushed snapshot; `taken_at` is zone time in ms. A refusal is an answer."""
        ...


@runtime_checkable
class Decider(Protocol):
    """Decides, remembers and reports on zones (`admission.service.service.Service`)."""

    def list_zones(self) -> Collection[str]:
        """The names of all configured zones, in order."""
        ...

    def zone(self, name: str) -> Zone:
        """The zone of that name; raises `NotFound` when it is not configured."""
        ...

    async def check_ready(self) -> None:
        """Return when decisions can be made; raises `Unavailable` with the reason otherwise."""
        ...

    async def read_store_memory(self) -> list[StoreMemory]:
        """The memory of each server of the store. Raises: Unavailable: one does not answer."""
        ...

    async def stop_waiting(self) -> None:
        """Answer every request that waits for room; from now on none waits: the process stops."""
        ...
