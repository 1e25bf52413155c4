"""Answers as models, for the description only: what is sent is the ledger's own answer, as it is.

Fields may be added to answers at any time; clients ignore those they do not know.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel

from admission.domain.outcomes import Outcome, Reason
from admission.domain.policy.zone import ZonePolicy
from admission.http.schemas.requests import End, Launched, Renew

Ms = Annotated[int, Field(description="Milliseconds.")]

ZoneTime = Annotated[int, Field(description="The zone's time in ms.")]


class FieldProblem(BaseModel):
    """One wrong field."""

    field: str = Field(description="Dotted path, or `body` for the whole.")
    message: str


class Problem(BaseModel):
    """A fault (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] | None = Field(None, description="With 422: every wrong field.")
    retry_after_ms: Ms | None = Field(None, description="With 429 and 503: ask again after this.")


class SnapshotAge(BaseModel):
    """The newest snapshot of the channel that was asked for."""

    age_ms: Ms
    total: int | None = None
    unused: int | None = None


class Granted(BaseModel):
    """One launch that was granted."""

    id: str
    channel: str = Field(description="Launch on this one.")
    mpp: str | None = None
    renew_within_ms: Ms | None = Field(None, description="Report by then, or it expires.")
    report_url: str | None = Field(None, description="Reports for this one, without credentials.")
    state: Literal["live", "ended", "expired"] | None = Field(None, description="In a repeat.")


class PoolVerdict(BaseModel):
    """What one pool says to one unit (`explain`)."""

    pool: str
    limit: int | None = None
    in_use: int
    headroom: int = 0
    room: int | None = None
    verdict: Reason | Literal["ok"]


class Decision(BaseModel):
    """A grant or a deny. Read an unknown `reason` as a deny."""

    decision: Literal["grant", "deny"]
    now: ZoneTime
    request_id: str
    zone: str
    channel: str = Field(description="Granted: launch on this one. Denied: as asked.")
    campaign: str
    granted: int
    launch_within_ms: Ms | None = Field(
        None, description="Counted from when this request was sent. At 0 or less: do not launch."
    )
    reservations: list[Granted]
    reason: Reason | None = Field(None, description="Why not (all of them).")
    pool: str | None = Field(None, description="The pool that limits.")
    in_use: int | None = None
    limit: int | None = None
    retry_after_ms: Ms | None = Field(None, description="Null where only an operator helps.")
    room: int | None = Field(None, description="Units left in the tightest pool, after this.")
    snapshot: SnapshotAge | None = None
    repeated: bool = Field(False, description="The answer to an earlier, equal request.")
    shadow: bool = Field(False, description="A deny, granted because the zone only watches.")
    dry_run: bool = False
    pools: list[PoolVerdict] | None = Field(None, description="With `explain`.")


class ReportAnswer(BaseModel):
    """What a reservation is after a report."""

    id: str
    now: ZoneTime
    state: Literal["live", "ended", "expired"]
    repeated: bool = Field(description="It changed nothing: it was reported before.")
    renew_within_ms: Ms | None = Field(None, description="Live: report again by then.")
    adopted: bool = Field(False, description="It was unknown and has been taken up again.")


class Reservation(BaseModel):
    """One reservation with all its times (zone time, ms)."""

    id: str
    now: ZoneTime | None = None
    state: Literal["live", "ended", "expired"]
    campaign: str
    channel: str
    mpp: str | None = None
    owner: str | None = None
    request_id: str | None = None
    pools: list[str]
    granted_at: int
    visible_by: int | None = None
    deadline: int | None = None
    launched_at: int | None = None
    reported_at: int | None = None
    ended_at: int | None = None
    released_at: int | None = None
    taken: bool | None = None
    outcome: Outcome | None = None
    session: str | None = None


class ReservationPage(BaseModel):
    """A page; it may hold fewer than `limit`, even none, and not be the last."""

    now: ZoneTime
    zone: str
    cursor: str | None = Field(description="For the next page; null: that was all.")
    reservations: list[Reservation]


class Pool(BaseModel):
    """A pool's counts."""

    pool: str
    in_use: int
    pending: int | None = None
    held: int | None = None
    ceiling: int | None = None
    capacity: int | None = None
    limit: int | None = None
    headroom: int | None = None
    room: int | None = None
    snapshot: SnapshotAge | None = None
    adaptive_headroom: int = Field(
        0, description="The part of the headroom that measured over-launches called for."
    )
    set_limit: int | None = Field(None, description="A limit for a while, beside policy's.")
    set_until: ZoneTime | None = Field(None, description="Until when that holds.")
    wildcard: bool = Field(False, description="Policy has rules for its kind, not for this one.")


class PolicyState(BaseModel):
    """Which policy a zone goes by."""

    version: int
    digest: str
    differs_from_file: bool = Field(description="It was changed since, or the file was.")


class SourceStatus(BaseModel):
    """How a source of the zone is, as this replica knows it; another one may be polling."""

    source: str
    state: Literal["never", "ok", "failing", "standby"] | None = Field(
        None, description="Absent: nobody polls it."
    )
    last_error: str | None = Field(None, description="It stays when the source is ok again.")
    last_success_age_ms: Ms | None = None
    polls: int | None = None
    failures: int | None = None
    notes: dict[str, Any] | None = Field(None, description="What came beside the counts.")
    warnings: list[str] | None = Field(None, description="To look at, though there are counts.")


class ZoneStatus(BaseModel):
    """Everything of a zone."""

    zone: str
    now: ZoneTime
    recovering: bool
    policy: PolicyState | None = None
    paused: dict[str, ZoneTime] = Field(
        default_factory=dict, description="Paused pools, or `zone`, and since when."
    )
    shadow: bool = Field(False, description="It only watches: a deny is answered as a grant.")
    pools: list[Pool]
    sources: list[SourceStatus] = Field(default_factory=list)
    stats: dict[str, int] = Field(description="Counters since the zone was born.")


class ZoneProblem(BaseModel):
    """A zone whose store does not answer now."""

    zone: str
    problem: Problem


class ZoneList(BaseModel):
    """All zones that the caller may see."""

    zones: list[ZoneStatus | ZoneProblem]


class Time(BaseModel):
    """The zone's time."""

    now: ZoneTime


class PushAnswer(BaseModel):
    """Whether a snapshot was taken."""

    accepted: bool
    now: ZoneTime
    reason: str | None = None
    pool: str | None = Field(None, description="The first pool that was refused.")
    refused: dict[str, str] | None = Field(None, description="Pool to reason.")


class HandOverAnswer(BaseModel):
    """An agent's session was taken."""

    now: ZoneTime
    zone: str
    agent: int
    pool: str = Field(description="The pool that its calls are counted in.")


class Health(BaseModel):
    """How the service is."""

    status: Literal["alive", "ready"]


class LaunchedItem(Launched):
    """A `launched` in a batch."""

    op: Literal["launched"]
    id: str


class RenewItem(Renew):
    """A `renew` in a batch."""

    op: Literal["renew"]
    id: str


class EndItem(End):
    """An `end` in a batch."""

    op: Literal["end"]
    id: str


class ReportList(BaseModel):
    """Reports, applied in order."""

    reports: list[LaunchedItem | RenewItem | EndItem] = Field(max_length=1000)


class DecisionResult(Decision):
    """A decision in a batch."""

    status: Literal[200]


class ReportResult(ReportAnswer):
    """A report's answer in a batch."""

    status: Literal[200]


class DecisionResults(BaseModel):
    """As many as asked, in the same order."""

    results: list[DecisionResult | Problem]


class ReportResults(BaseModel):
    """As many as reported, in the same order."""

    results: list[ReportResult | Problem]


class PauseAnswer(BaseModel):
    """What a pause or a resume did."""

    now: ZoneTime
    zone: str
    pool: str | None = Field(description="Null: the whole zone.")
    paused: bool
    changed: bool = Field(description="False: it was so before.")
    version: int = Field(description="Of the policy: pauses belong to it.")


class LimitAnswer(BaseModel):
    """A limit for a while."""

    now: ZoneTime
    zone: str
    pool: str
    limit: int = Field(description="What counts now: the smallest of all limits of the pool.")
    set_limit: int
    until: ZoneTime = Field(description="When it lapses, unless it is set again.")


class PolicyAnswer(BaseModel):
    """The live policy of a zone."""

    now: ZoneTime
    zone: str
    version: int = Field(description="Grows with every change; also the ETag.")
    digest: str = Field(description="SHA-256 of the policy: equal for files that say the same.")
    policy: ZonePolicy = Field(description="As it was written, without defaults.")
    paused: dict[str, ZoneTime] = Field(description="Paused pools, or `zone`, and since when.")
    changed: bool = Field(False, description="After PUT and PATCH: it was not so before.")


class PolicyPatch(RootModel[dict[str, Any]]):
    """A JSON merge patch (RFC 7396) of a policy: what changes; null removes."""
