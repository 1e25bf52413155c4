"""The words of the house as values: what is asked, reported, photographed and answered.

Pydantic models are what comes in from outside: parsed once, trusted after. Everything else is
frozen. Nothing here knows Redis, HTTP, a clock or an event loop.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

COUNT_MAX: Final = 100
BATCH_MAX: Final = 1000
WAIT_MS_MAX: Final = 30_000
POOLS_MAX: Final = 8
LIMIT_TTL_MS_MAX: Final = 24 * 3_600_000
# What a zone, campaign, MPP, application or channel may be called. `:` separates the parts of a
# pool's name, `~` the zone from the rest of a reservation id, `{}` is Redis' hash tag.
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
POOL: Final = r"^[a-z][a-z0-9_-]{0,31}:[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
# The full name of any pool that can be paused or limited; `mpp:mpp1` is the whole MPP.
ANY_POOL: Final = (
    r"^[a-z][a-z0-9_-]{0,31}:[A-Za-z0-9][A-Za-z0-9._-]{0,63}(:[A-Za-z0-9][A-Za-z0-9._-]{0,63})?$"
)
REQUEST_ID: Final = r"^[A-Za-z0-9._:-]{1,64}$"
RESERVATION_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}~[A-Za-z0-9_-]{11}(\.[1-9][0-9]{0,2})?$"
AGENT_ID: Final = r"^[1-9][0-9]{2,5}$"
GUID: Final = r"^(JSESSIONID=)?[A-Za-z0-9._~+/-]{8,180}$"
# Prefixes of pools that are not the caller's to name: they follow from the request.
BUILT_IN_POOLS: Final = ("channel", "mpp", "campaign", "zone", "application")

Name: TypeAlias = Annotated[str, StringConstraints(pattern=NAME)]
PoolName: TypeAlias = Annotated[str, StringConstraints(pattern=POOL)]
Milliseconds: TypeAlias = Annotated[int, Field(ge=0, lt=2**53, strict=True)]
Text: TypeAlias = Annotated[str, StringConstraints(max_length=128)]
# Numbers a platform says: checked by the ledger, which counts what it refuses.
Counted: TypeAlias = Annotated[int, Field(ge=-(2**53), le=2**53, strict=True)]


class Reason(StrEnum):
    """Why a launch is denied, in the order in which the ledger checks."""

    ZONE_PAUSED = "zone_paused"
    POOL_PAUSED = "pool_paused"
    BREAKER_OPEN = "breaker_open"
    RECOVERING = "recovering"
    NO_SNAPSHOT = "no_snapshot"
    STALE_SNAPSHOT = "stale_snapshot"
    RATE_LIMITED = "rate_limited"
    NO_CAPACITY = "no_capacity"
    MPP_FULL = "mpp_full"
    CAMPAIGN_LIMIT = "campaign_limit"
    POOL_FULL = "pool_full"
    RESERVED = "reserved"
    FAIR_SHARE = "fair_share"


class Outcome(StrEnum):
    """How a call ended, as its dialer knows it."""

    COMPLETED = "completed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    ABANDONED = "abandoned"
    BAD_NUMBER = "bad_number"
    FAILED = "failed"
    NO_RESOURCE = "no_resource"
    NOT_LAUNCHED = "not_launched"
    UNKNOWN = "unknown"


# What a platform's own code says of the outcome; it decides, whatever the dialer made of it.
# SIP 404/484/604: no such number (RFC 3261). The others: Huawei's per-call fail codes.
PLATFORM_CODES: Final[dict[str, Outcome]] = {
    "404": Outcome.BAD_NUMBER,
    "484": Outcome.BAD_NUMBER,
    "604": Outcome.BAD_NUMBER,
    "34606": Outcome.NO_RESOURCE,
    "01048": Outcome.NO_RESOURCE,
    "00602": Outcome.NO_RESOURCE,
    "00605": Outcome.NO_RESOURCE,
}


class Strict(BaseModel):
    """A body from outside: an unknown field is refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_enum_values=True)


class Ask(Strict):
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


class AskBatch(Strict):
    """Up to 1000 asks, each parsed and decided by itself, in order: a bad one fails alone."""

    requests: Annotated[list[dict[str, Any]], Field(max_length=BATCH_MAX)]


class GoodBatch(Strict):
    """The same when none is bad, as nearly always: parsed in one go."""

    requests: Annotated[list[Ask], Field(max_length=BATCH_MAX)]


class Restated(Strict):
    """What a dialer still knows of its reservation, to be adopted after a loss of state."""

    zone: Name
    channel: Name
    campaign: Name
    mpp: Name | None = None
    pools: Annotated[list[PoolName], Field(default_factory=list, max_length=POOLS_MAX)]


class Launched(Strict):
    """The call was launched; `port_taken` only when it rings or is connected."""

    port_taken: bool = False
    session_id: Text | None = None
    mpp: Name | None = None
    reservation: Restated | None = None


class Renew(Strict):
    """The call is still up."""

    reservation: Restated | None = None


class End(Strict):
    """The call ended, or was never launched."""

    outcome: Annotated[Outcome, Field(strict=False)] = Outcome.COMPLETED
    ended_at: Milliseconds | None = None
    platform_code: Text | None = None

    def decided_outcome(self) -> Outcome:
        """The outcome, after the platform's own code had its word."""
        return PLATFORM_CODES.get(self.platform_code or "", Outcome(self.outcome))


class ReportBatch(Strict):
    """Up to 1000 reports in order: `{"op": "end", "id": ..., ...}`."""

    reports: Annotated[list[dict[str, Any]], Field(max_length=BATCH_MAX)]


class PushedPool(Strict):
    """A snapshot of one named pool."""

    total: Counted
    unused: Counted


class PushedSnapshot(Strict):
    """The body of `PUT /v1/zones/{zone}/snapshot`; the count is not older than `taken_at`."""

    taken_at: Milliseconds
    total: Counted | None = None
    unused: dict[Name, Counted] = {}
    mpp: Name | None = None
    pools: dict[PoolName, PushedPool] = {}

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


class HandedGuid(Strict):
    """The body of `PUT /v1/zones/{zone}/agents/{agent}/guid`: a signed-in agent's session (Huawei).

    With or without the `JSESSIONID=` in front that the platform's `Set-GUID` has.
    """

    guid: Annotated[str, StringConstraints(pattern=GUID), Field(repr=False)]

    @property
    def ticket(self) -> str:
        """The Guid alone."""
        return self.guid.removeprefix("JSESSIONID=")


class SetLimit(Strict):
    """The body of `PUT /v1/zones/{zone}/pools/{pool}/limit`: holds until it is not refreshed."""

    limit: Annotated[int, Field(ge=0, lt=2**31)]
    ttl_ms: Annotated[int, Field(ge=1, le=LIMIT_TTL_MS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotGroup:
    """Pools that share one total (EP: both protocols), with the unused ports of each.

    The numbers are the platform's, unchecked: the ledger refuses and counts what cannot be.
    """

    total: int
    unused: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One answer of a platform for one zone.

    Args:
        groups: what it counted.
        absent: pools of which it said that it has no number (Huawei's 4294967295).
        notes: facts for the zone's status only (licence end, signed-in agents). No secrets.
        warnings: what the operator should look at though there are counts, a line each.
    """

    groups: tuple[SnapshotGroup, ...]
    absent: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Whether this replica polls a zone now, and what the poller needs to know of the zone.

    Args:
        now: zone time in ms; the t0 of a snapshot whose query starts after this answer.
        token: fencing token when the lease is ours, else None.
        until: zone time in ms when the lease lapses.
        wanted: somebody was denied for capacity since the newest snapshot.
        idle_ms: ms since anybody asked for admission.
        newest_t0: t0 of the newest snapshot of the channel pools, 0 if none.
    """

    now: int
    token: int | None
    until: int
    wanted: bool
    idle_ms: int
    newest_t0: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestAnswer:
    """What the ledger made of a snapshot; `refused`: pool -> reason, empty when all was taken."""

    now: int
    accepted: bool
    reason: str | None = None
    pool: str | None = None
    refused: dict[str, str] = field(default_factory=dict)


# An answer of the ledger, in the field names of the API. Rendered as it is.
Answer: TypeAlias = dict[str, Any]
ReportVerb: TypeAlias = Literal["launched", "renew", "end"]
