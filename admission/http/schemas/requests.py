"""Request bodies of the API, as pydantic models: parsed once at the edge, trusted inside."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from admission.domain import Name, Outcome, PoolName, SnapshotGroup, StrictModel
from admission.domain.outcomes import PLATFORM_CODES
from admission.domain.types import (
    BATCH_MAX,
    BUILT_IN_POOLS,
    COUNT_MAX,
    GUID,
    LIMIT_TTL_MS_MAX,
    POOLS_MAX,
    PUSHED_POOLS_MAX,
    REQUEST_ID,
    WAIT_MS_MAX,
    Counted,
    Milliseconds,
    Text,
)

ReportVerb: TypeAlias = Literal["launched", "renew", "end"]


class AdmissionRequest(StrictModel):
    """*May I launch?*: the body of `POST /v1/admissions`.

    Example: `{"campaign": "collections", "channel": "sip", "wait_ms": 2000}`.
    """

    campaign: Name
    """Campaign of the call; in the token's scope and in the policy."""
    zone: Name | None = None
    """Zone of the call. Absent: the configured default zone."""
    channel: Name | None = None
    """Kind of port. Absent: the zone's first; `any`: launch on the channel of the answer."""
    request_id: Annotated[str, StringConstraints(pattern=REQUEST_ID)] | None = None
    """Idempotency key, per zone and campaign. Absent: generated."""
    count: Annotated[int, Field(ge=1, le=COUNT_MAX)] = 1
    """Launches wanted."""
    min_count: Annotated[int, Field(ge=1, le=COUNT_MAX)] = 1
    """Fewest launches to grant; if fewer are possible, the request is denied."""
    application: Name | None = None
    """Application to launch; the policy has its MPPs and its claim time."""
    mpp: Name | None = None
    """MPP that will place the call, if the dialer knows it."""
    pools: Annotated[list[PoolName], Field(default_factory=list, max_length=POOLS_MAX)]
    """Further named pools that the call occupies, such as trunk:carrier-a."""
    wait_ms: Annotated[int, Field(ge=0, le=WAIT_MS_MAX)] = 0
    """Longest time to wait for room; 0: answer at once."""
    owner: Text | None = None
    """Name of the requesting dialer process, by which its reservations are listed. Absent: the
    token's name."""
    dry_run: bool = False
    """Decide, and reserve nothing."""
    explain: bool = False
    """With `dry_run`: return the verdict of every pool."""

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.min_count > self.count:
            raise ValueError("min_count must not be larger than count")
        if len(set(self.pools)) != len(self.pools):
            raise ValueError("pools must not name a pool twice")
        for pool in self.pools:
            if pool.partition(":")[0] in BUILT_IN_POOLS:
                raise ValueError(f"pools must not name {pool}: it follows from the request")
        if self.explain and not self.dry_run:
            raise ValueError("explain goes with dry_run")
        return self


class AdmissionBatch(StrictModel):
    """Up to 1000 admission requests, each decided by itself, in order."""

    requests: Annotated[list[AdmissionRequest], Field(max_length=BATCH_MAX)]
    """Each is decided by itself, in order."""


class RawAdmissionBatch(StrictModel):
    """A batch whose requests are not parsed yet, so that an invalid one fails alone."""

    requests: Annotated[list[dict[str, Any]], Field(max_length=BATCH_MAX)]


class KnownReservation(StrictModel):
    """What a dialer knows of its reservation, so that a zone that lost it can adopt it."""

    zone: Name
    """As granted."""
    channel: Name
    """As granted."""
    campaign: Name
    """As requested."""
    mpp: Name | None = None
    """MPP that the call is on."""
    pools: Annotated[list[PoolName], Field(default_factory=list, max_length=POOLS_MAX)]
    """Named pools that the call occupies."""


class LaunchedFields(BaseModel):
    """What a `launched` report says, as JSON or as a form."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    port_taken: bool = False
    """True once the call rings or is connected: its port is certainly taken."""
    session_id: Text | None = None
    """The platform's id of the call, kept for look-ups."""
    mpp: Name | None = None
    """MPP that placed the call; if it is not the reserved one, the reservation moves."""


class EndFields(BaseModel):
    """What an `end` report says, as JSON or as a form."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    outcome: Annotated[Outcome, Field(strict=False)] = Outcome.COMPLETED
    """How the call ended; it decides whether the call is known to have had a port."""
    ended_at: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    """When the call ended, in zone time; a time in the future is ignored."""
    platform_code: Text | None = None
    """The platform's own code; a known code decides the outcome."""


class Launched(LaunchedFields, StrictModel):
    """The call was launched; `port_taken` only when it rings or is connected."""

    reservation: KnownReservation | None = None
    """What the dialer knows of its reservation, adopted if the zone does not know it."""


class Renew(StrictModel):
    """The call is still up."""

    reservation: KnownReservation | None = None
    """What the dialer knows of its reservation, adopted if the zone does not know it."""


class End(EndFields, StrictModel):
    """The call ended, or was never launched."""

    def decided_outcome(self) -> Outcome:
        """The outcome by the platform's code if that is known, else the reported one."""
        return PLATFORM_CODES.get(self.platform_code or "", Outcome(self.outcome))


class ReportBatch(StrictModel):
    """Up to 1000 reports in order: `{"op": "end", "id": ..., ...}`."""

    reports: Annotated[list[dict[str, Any]], Field(max_length=BATCH_MAX)]


class PushedPool(StrictModel):
    """A snapshot of one named pool."""

    total: Counted
    """Units in all."""
    unused: Counted
    """Free units."""


class PushedSnapshot(StrictModel):
    """The body of `PUT /v1/zones/{zone}/snapshot`; the count is not older than `taken_at`."""

    taken_at: Milliseconds
    """Zone time before which the measurement did not begin; a time in the future is refused."""
    total: Counted | None = None
    """Ports in all, used and unused."""
    unused: Annotated[dict[Name, Counted], Field(default_factory=dict, max_length=100)]
    """Channel to free ports."""
    mpp: Name | None = None
    """The counts are of this MPP alone."""
    pools: Annotated[
        dict[PoolName, PushedPool], Field(default_factory=dict, max_length=PUSHED_POOLS_MAX)
    ]
    """Named pools, each with its own counts. More of them: several snapshots."""

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if (self.total is None) != (not self.unused):
            raise ValueError("total and unused go together")
        if self.total is None and not self.pools:
            raise ValueError("a snapshot needs total and unused, or pools")
        return self

    def list_pools(self) -> list[str]:
        """The names of all pools that are counted."""
        prefix = f"mpp:{self.mpp}:" if self.mpp else "channel:"
        return [*(prefix + channel for channel in self.unused), *self.pools]

    def groups(self) -> list[SnapshotGroup]:
        """The counts as the ledger takes them, one group for each total."""
        found = [
            SnapshotGroup(total=one.total, unused={pool: one.unused})
            for pool, one in self.pools.items()
        ]
        if self.total is not None:
            prefix = f"mpp:{self.mpp}:" if self.mpp else "channel:"
            unused = {prefix + channel: n for channel, n in self.unused.items()}
            found.insert(0, SnapshotGroup(total=self.total, unused=unused))
        return found


class GuidHandover(StrictModel):
    """The body of `PUT /v1/zones/{zone}/agents/{agent}/guid`: a signed-in agent's session (Huawei).

    With or without the `JSESSIONID=` in front that the platform's `Set-GUID` header has.
    """

    guid: Annotated[str, StringConstraints(pattern=GUID), Field(repr=False)]
    """Value of the platform's `Set-GUID` header; hand over each new one. It is never returned."""

    @property
    def ticket(self) -> str:
        """The Guid alone."""
        return self.guid.removeprefix("JSESSIONID=")


class SetLimit(StrictModel):
    """The body of `PUT /v1/zones/{zone}/pools/{pool}/limit`: a limit that lapses by itself."""

    limit: Annotated[int, Field(ge=0, lt=2**31)]
    """Calls at a time; the policy's own limit still applies."""
    ttl_ms: Annotated[int, Field(ge=1, le=LIMIT_TTL_MS_MAX)]
    """The limit lapses after this time, unless it is set again."""
