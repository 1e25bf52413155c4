"""Request bodies of the API, as pydantic models."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from admission.domain.outcomes import PLATFORM_CODES, Outcome
from admission.domain.snapshots import SnapshotGroup
from admission.domain.types import (
    BATCH_MAX,
    BUILT_IN_POOLS,
    COUNT_MAX,
    GUID,
    LIMIT_TTL_MS_MAX,
    POOLS_MAX,
    REQUEST_ID,
    WAIT_MS_MAX,
    Counted,
    Milliseconds,
    Name,
    PoolName,
    StrictModel,
    Text,
)


class AdmissionRequest(StrictModel):
    """*May I launch?*: the body of `POST /v1/admissions`."""

    campaign: Name
    zone: Name | None = None
    channel: Name | None = None
    request_id: Annotated[str, StringConstraints(pattern=REQUEST_ID)] | None = None
    count: Annotated[int, Field(ge=1, le=COUNT_MAX)] = 1
    min_count: Annotated[int, Field(ge=1, le=COUNT_MAX)] = 1
    application: Name | None = None
    mpp: Name | None = None
    pools: Annotated[list[PoolName], Field(default_factory=list, max_length=POOLS_MAX)]
    wait_ms: Annotated[int, Field(ge=0, le=WAIT_MS_MAX)] = 0
    owner: Text | None = None
    dry_run: bool = False
    explain: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
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


class RawAdmissionBatch(StrictModel):
    """Up to 1000 asks, each parsed and decided by itself, in order: a bad one fails alone."""

    requests: Annotated[list[dict[str, Any]], Field(max_length=BATCH_MAX)]


class AdmissionBatch(StrictModel):
    """The same when none is bad, as nearly always: parsed in one go."""

    requests: Annotated[list[AdmissionRequest], Field(max_length=BATCH_MAX)]


class KnownReservation(StrictModel):
    """What a dialer still knows of its reservation, to be adopted after a loss of state."""

    zone: Name
    channel: Name
    campaign: Name
    mpp: Name | None = None
    pools: Annotated[list[PoolName], Field(default_factory=list, max_length=POOLS_MAX)]


class Launched(StrictModel):
    """The call was launched; `port_taken` only when it rings or is connected."""

    port_taken: bool = False
    session_id: Text | None = None
    mpp: Name | None = None
    reservation: KnownReservation | None = None


class Renew(StrictModel):
    """The call is still up."""

    reservation: KnownReservation | None = None


class End(StrictModel):
    """The call ended, or was never launched."""

    outcome: Annotated[Outcome, Field(strict=False)] = Outcome.COMPLETED
    ended_at: Milliseconds | None = None
    platform_code: Text | None = None

    def decided_outcome(self) -> Outcome:
        """The outcome, after the platform's own code had its word."""
        return PLATFORM_CODES.get(self.platform_code or "", Outcome(self.outcome))


class ReportBatch(StrictModel):
    """Up to 1000 reports in order: `{"op": "end", "id": ..., ...}`."""

    reports: Annotated[list[dict[str, Any]], Field(max_length=BATCH_MAX)]


class PushedPool(StrictModel):
    """A snapshot of one named pool."""

    total: Counted
    unused: Counted


class PushedSnapshot(StrictModel):
    """The body of `PUT /v1/zones/{zone}/snapshot`; the count is not older than `taken_at`."""

    taken_at: Milliseconds
    total: Counted | None = None
    unused: Annotated[dict[Name, Counted], Field(default_factory=dict)]
    mpp: Name | None = None
    pools: Annotated[dict[PoolName, PushedPool], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.total is None) != (not self.unused):
            raise ValueError("total and unused go together")
        if self.total is None and not self.pools:
            raise ValueError("a snapshot needs total and unused, or pools")
        return self

    def groups(self) -> "list[SnapshotGroup]":
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

    With or without the `JSESSIONID=` in front that the platform's `Set-GUID` has.
    """

    guid: Annotated[str, StringConstraints(pattern=GUID), Field(repr=False)]

    @property
    def ticket(self) -> str:
        """The Guid alone."""
        return self.guid.removeprefix("JSESSIONID=")


class SetLimit(StrictModel):
    """The body of `PUT /v1/zones/{zone}/pools/{pool}/limit`: holds until it is not refreshed."""

    limit: Annotated[int, Field(ge=0, lt=2**31)]
    ttl_ms: Annotated[int, Field(ge=1, le=LIMIT_TTL_MS_MAX)]


ReportVerb: TypeAlias = Literal["launched", "renew", "end"]
