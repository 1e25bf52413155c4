"""What the HTTP side needs of the rest: one Protocol. Handlers know no ledger and no Redis."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol, runtime_checkable

from admission.domain.snapshots import IngestAnswer, SnapshotGroup
from admission.domain.types import Answer
from admission.errors import AdmissionError


@runtime_checkable
class Decider(Protocol):
    """Decides, remembers and reports on zones.

    Every method may raise the exceptions of `admission.errors`; each becomes one problem. Calls for
    one zone take effect in the order in which they were made, even when they run concurrently: a
    batch makes all of its calls without waiting in between. A call to `admit` may be cancelled (its
    client hung up); no other call is.

    Ids are public ones (`Zone~abc`). Answers are dicts with the fields of the API, in its order,
    each with `now` (zone time in ms) where it is about a zone: they are told as they are.
    """

    def zones(self) -> Collection[str]:
        """The names of all configured zones, in order. Every request looks into it."""
        ...

    async def ready(self) -> None:
        """Return when decisions can be made; raises `Unavailable` with the reason otherwise."""
        ...

    async def now(self, zone: str) -> int:
        """The zone's time in ms."""
        ...

    async def admit(self, zone: str, op: dict[str, Any]) -> Answer:
        """Decide one ask (op and answer: lua/README.md, `admit`; op may also have `wait_ms`).

        Raises:
            NotFound: an unknown campaign.
            Conflict: same request_id, other body.
            Invalid: an unknown channel, pool, application or MPP, with its field.
        """
        ...

    async def admit_all(
        self, zone: str, ops: Sequence[dict[str, Any]]
    ) -> list[Answer | AdmissionError]:
        """Decide many asks of one zone in order, none of which waits; faults stand in their places.

        As with `admit` it may be cancelled.
        """
        ...

    def withdraw(self, zone: str, op: dict[str, Any]) -> None:
        """Take back what that ask was granted: its client hung up before it was told."""
        ...

    async def stop_waiting(self) -> None:
        """Answer every ask that waits for room; from now on none waits: this process leaves."""
        ...

    async def report(self, zone: str, op: dict[str, Any]) -> Answer:
        """Apply one report: op `launched`, `renew` or `end`, as in lua/README.md.

        Raises:
            NotFound: an unknown id.
            Forbidden: a reservation outside `scope`.
        """
        ...

    async def reservation(
        self, zone: str, reservation_id: str, scope: Sequence[str] | None
    ) -> Answer:
        """One reservation with all its times. `scope`: the campaigns the caller may see, or all."""
        ...

    async def reservations(self, zone: str, **filters: Any) -> Answer:
        """One page: `cursor` (null at the end) and `reservations`.

        Args:
            filters: `limit` and `cursor` always; `campaign`, `owner`, `state`, `scope` when asked.
        """
        ...

    async def status(self, zone: str) -> Answer:
        """Everything of a zone; `pools` is a list of objects, each with its `pool` name."""
        ...

    async def pause(self, zone: str, pool: str | None, on: bool, by: str | None = None) -> Answer:
        """Stop (`on`) or resume grants: of a pool, or of the whole zone.

        Args:
            by: who does it, for the audit; None: not audited. So in all that changes by hand.

        Raises:
            NotFound: an unknown pool. Conflict: too many pools are paused.
        """
        ...

    async def set_limit(
        self,
        zone: str,
        pool: str,
        limit: int,
        ttl_ms: int,
        scope: Sequence[str] | None,
        by: str | None = None,
    ) -> Answer:
        """Limit a pool for `ttl_ms`. `scope`: campaigns whose pools the caller may limit, or all.

        Raises:
            NotFound: an unknown pool. Forbidden: one outside `scope`.
        """
        ...

    async def policy(self, zone: str) -> Answer:
        """The live policy: `now`, `version`, `digest`, `policy` (as it was written), `paused`."""
        ...

    async def put_policy(
        self, zone: str, document: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        """Replace the live policy. `versions`: those that it may replace; None: any.

        Raises:
            Invalid: wrong fields. PreconditionFailed: the live version is another.
        """
        ...

    async def patch_policy(
        self, zone: str, patch: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        """Change the live policy by a JSON merge patch; otherwise as `put_policy`."""
        ...

    async def audit(self, zone: str, limit: int, before: str | None) -> Answer:
        """What was done by hand, newest first. `before`: the id of an entry, only older ones."""
        ...

    async def secret(self, zone: str, *, anew: bool = False) -> bytes:
        """What all replicas sign the zone's `report_url`s with. `anew`: not from memory."""
        ...

    async def hand_over(self, zone: str, agent: int, guid: str) -> Answer:
        """Take the session of an agent who is signed in.

        Raises:
            NotFound: the zone counts no agents, or not that one. Conflict: too many agents.
        """
        ...

    async def push(self, zone: str, taken_at: int, groups: Sequence[SnapshotGroup]) -> IngestAnswer:
        """Ingest a pushed snapshot; `taken_at` is zone time in ms. A refusal is an answer."""
        ...
