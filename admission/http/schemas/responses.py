"""Responses as models, for the description only: the service sends the ledger's own answers.

Fields may be added to responses at any time; clients ignore unknown fields. A test compares what a
real service answers with these models, field by field.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, RootModel

from admission.domain import Outcome, Reason
from admission.domain.policy import ZonePolicy
from admission.domain.types import BATCH_MAX
from admission.http.schemas.base import Ms, Response, ZoneTime
from admission.http.schemas.repairs import AsideEntry, RecountState, StoredCounts
from admission.http.schemas.requests import End, Launched, Renew

State: TypeAlias = Literal["live", "ended", "expired"]


class FieldProblem(Response):
    """One invalid field."""

    field: str
    """Dotted path, or `body` for the whole."""
    message: str


class Problem(Response):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] | None = None
    """With 422: every invalid field."""
    retry_after_ms: int | None = None
    """With 429 and 503: retry after this many milliseconds."""


class SnapshotAge(Response):
    """The newest snapshot of the requested channel."""

    age_ms: Ms
    total: int | None = None
    unused: int | None = None


class PoolSnapshot(SnapshotAge):
    """The newest snapshot of a pool."""

    t0: ZoneTime
    t1: ZoneTime
    w0: int
    """Zone time in ms before which a granted call must be contained in the snapshot."""
    group: str | None = None
    """Channels that the platform counts together, such as `h323+sip`."""
    foreign: int | None = None
    """Ports of the group used by calls that this service did not admit; negative: reserved calls
    that the platform does not show."""


class Granted(Response):
    """One granted launch."""

    id: str
    channel: str
    """Launch on this channel."""
    mpp: str | None = None
    renew_within_ms: int | None = None
    """Report within this many milliseconds, or the reservation expires."""
    report_url: str | None = None
    """Accepts reports on this reservation without credentials."""
    state: State | None = None
    """In a repeated answer."""


class PoolVerdict(Response):
    """Whether one pool admits one unit (`explain`)."""

    pool: str
    limit: int | None = None
    in_use: int
    headroom: int | None = 0
    room: int | None = None
    verdict: Reason | Literal["ok"]


class Decision(Response):
    """A grant or a denial. Read an unknown `reason` as a denial."""

    decision: Literal["grant", "deny"]
    now: ZoneTime
    request_id: str
    zone: str
    channel: str
    """Granted: launch on this channel. Denied: as requested."""
    campaign: str
    granted: int
    """Number of launches granted."""
    launch_within_ms: int | None = None
    """Milliseconds from sending this request to the launch. At 0 or less: do not launch."""
    reservations: list[Granted]
    reason: Reason | None = None
    """Why not all requested launches were granted."""
    pool: str | None = None
    """The pool that limits."""
    in_use: int | None = None
    limit: int | None = None
    retry_after_ms: int | None = None
    """Retry after this many milliseconds; null where only an operator can help."""
    room: int | None = None
    """Units left in the tightest pool after this decision."""
    snapshot: SnapshotAge | None = None
    repeated: bool = False
    """The answer to an earlier request with the same `request_id`."""
    shadow: bool = False
    """A denial that was granted because the zone is in shadow mode."""
    dry_run: bool = False
    pools: list[PoolVerdict] | None = None
    """With `explain`."""


class ReportAnswer(Response):
    """What a reservation is after a report."""

    id: str
    now: ZoneTime
    state: State
    repeated: bool
    """The report changed nothing: it had been made before."""
    renew_within_ms: int | None = None
    """If live: report again within this many milliseconds."""
    adopted: bool = False
    """The reservation was unknown and was adopted."""


class Reservation(Response):
    """One reservation with all its times (zone time, ms)."""

    id: str
    now: ZoneTime | None = None
    zone: str
    state: State
    releasing: bool = False
    """Its end was reported, its port is not free yet: its pools still count it."""
    campaign: str
    channel: str | None = None
    mpp: str | None = None
    owner: str | None = None
    request_id: str | None = None
    pools: list[str]
    granted_at: int
    visible_by: int | None = None
    """Snapshots taken later than this contain the call."""
    deadline: int | None = None
    """The reservation expires then, unless a report comes first."""
    launched_at: int | None = None
    reported_at: int | None = None
    ended_at: int | None = None
    released_at: int | None = None
    answer_within_ms: int | None = None
    """Time to a first report, by the policy at the grant."""
    claim_within_ms: int | None = None
    """Time from the launch until the call has its port, by the policy at the grant."""
    max_call_ms: int | None = None
    """Longest call without a renewal, by the policy at the grant."""
    port_taken: bool | None = None
    """The call is known to have its port."""
    outcome: Outcome | None = None
    session_id: str | None = None
    """The platform's id of the call, as reported."""
    adopted: bool = False
    """Its dialer restated it after the zone had lost it."""


class ReservationPage(Response):
    """A page; it may hold fewer than `limit`, even none, and not be the last."""

    now: ZoneTime
    zone: str
    cursor: str | None
    """Cursor of the next page; null on the last."""
    reservations: list[Reservation]


class LearnedCeiling(Response):
    """What was learned of a channel from its snapshots, whether policy uses it or not."""

    in_force: bool
    """The learned ceiling counts; else the proved one does, or the smaller of both while cold."""
    fallback: Literal["cold", "recovering", "stale", "distrusted"] | None = None
    """Why the learned ceiling alone could not count now; null: it could."""
    ceiling: int | None = None
    """Most reservations by what was learned; null while nothing was."""
    doubts: list[str] = Field(default_factory=list)
    """Why the estimator does not trust it: cold, surprised, frozen_count, restless, failing,
    old_count."""
    frozen: bool = False
    """Many calls ended at once: nothing is granted until a snapshot is surely younger."""
    pending: int | None = None
    """Calls of this service that are expected to have no port yet."""
    age_ms: int | None = None
    """Age of the snapshot that it was learned from."""
    claim_median_ms: int | None = None
    """Half of the launches take their port within this time."""
    claim_p99_ms: int | None = None
    """99% of the launches take their port within this time."""
    count_age_ms: int | None = None
    """Mean age of the platform's counts."""
    foreign_sd_per_s: float | None = None
    """Ports by which foreign use drifts in a second, standard deviation."""
    foreign_slope_per_s: float | None = None
    """Trend of foreign use, in ports per second."""
    gain_ports: float | None = None
    """Last hour, while requests were denied for want of ports: mean number of ports that learned
    ceilings would have allowed beyond the proved one; negative: fewer, while cold."""
    gain_port_s: float = 0
    """The same as a sum, in ports times seconds."""
    wanted_s: float = 0
    """Seconds of the last hour in which requests were denied for want of ports."""


class Pool(Response):
    """A pool's counts."""

    pool: str
    in_use: int
    pending: int | None = None
    """Live reservations that the newest snapshot may not contain yet."""
    held: int | None = None
    """Live reservations that the newest snapshot contains."""
    ceiling: int | None = None
    """Most reservations by the newest snapshot: unused + held."""
    capacity: int | None = None
    """Size by the policy."""
    learned: LearnedCeiling | None = None
    limit: int | None = None
    """Most reservations now: the smallest of all limits."""
    headroom: int | None = None
    room: int | None = None
    """Units that can be granted now."""
    snapshot: PoolSnapshot | None = None
    adaptive_headroom: int = 0
    """Part of the headroom that measured over-launches added."""
    temporary_limit: int | None = None
    """A limit that lapses by itself, beside the policy's."""
    temporary_limit_until: ZoneTime | None = None
    """When the temporary limit lapses."""
    wildcard: bool = False
    """The policy has rules for its kind, not for this pool."""


class PolicyState(Response):
    """Which policy is live in a zone."""

    version: int
    digest: str | None = None
    differs_from_file: bool
    """The live policy was changed since, or the file was."""


class SourceStatus(Response):
    """State of a source of the zone, as seen by this replica; another replica may be polling."""

    source: str
    state: Literal["never", "ok", "failing", "standby"] | None = None
    """Absent: no replica polls it."""
    state_age_ms: int | None = None
    """Time in this state."""
    consecutive_failures: int | None = None
    """Polls without a usable answer since the last usable one."""
    last_error: str | None = None
    """Kept when the source is ok again."""
    last_success_age_ms: int | None = None
    polls: int | None = None
    failures: int | None = None
    """Polls without a usable answer."""
    refused: dict[str, int] | None = None
    """Reason to snapshots that the ledger refused."""
    notes: dict[str, Any] | None = None
    """What the platform returned beside the counts."""
    warnings: list[str] | None = None
    """To be checked by an operator, although there are counts."""


class DenialRecord(Response):
    """The last denial of a campaign for one reason at one pool."""

    at: ZoneTime
    campaign: str
    channel: str | None = None
    reason: Reason
    pool: str | None = None
    in_use: int | None = None
    limit: int | None = None


class PollingLease(Response):
    """The lease of the replica that polls the zone's sources."""

    holder: str | None = None
    token: int | None = None
    """Fencing token: the ledger refuses snapshots under an older one."""
    until: int | None = None
    """Zone time in ms at which the lease lapses."""


class ZoneStatus(Response):
    """Everything of a zone."""

    zone: str
    now: ZoneTime
    schema_: Annotated[int, Field(alias="schema")]
    """Version of the stored data."""
    recovering: bool
    """Nothing is granted until snapshots show the calls whose reservations the store lost."""
    recovered_from: int
    """Zone time in ms at which the last recovery began."""
    recover_until: int
    """Zone time in ms at which the last recovery ended or will end."""
    max_age_ms: Ms
    """Age from which a snapshot admits nothing."""
    policy: PolicyState | None = None
    paused: dict[str, ZoneTime] = Field(default_factory=dict)
    """Paused pools, or `zone`, and since when."""
    shadow: bool = False
    """Shadow mode: a denial is answered as a grant."""
    pools: list[Pool]
    foreign: int | None = None
    """Estimated ports of MPPs used by calls that this service did not admit."""
    waiters: int
    """Requests that wait for room, on all replicas."""
    longest_wait_ms: Ms
    lease: PollingLease
    sources: list[SourceStatus] = Field(default_factory=list)
    stats: dict[str, int]
    """Counters since the zone was created."""
    recent_denials: list[DenialRecord]
    """The newest first."""
    stored: StoredCounts | None = None
    recount: RecountState
    """Comparison of counts with the reservations."""
    set_aside: list[AsideEntry] = Field(default_factory=list)
    """What could not be read, up to 100 entries; cleared by an operator."""


class ZoneProblem(Response):
    """A zone whose store does not answer now."""

    zone: str
    problem: Problem


class ZoneList(Response):
    """All zones that the caller may see."""

    zones: list[ZoneStatus | ZoneProblem]


class Time(Response):
    """The zone's time."""

    now: ZoneTime


class PushAnswer(Response):
    """Whether a snapshot was accepted."""

    accepted: bool
    now: ZoneTime
    reason: str | None = None
    pool: str | None = None
    """The first pool that was refused."""
    refused: dict[str, str] | None = None
    """Pool to reason."""


class HandOverAnswer(Response):
    """An agent's session was accepted."""

    now: ZoneTime
    zone: str
    agent: int
    pool: str
    """The pool that counts the agent's calls."""


class Health(Response):
    """State of the service."""

    status: Literal["alive", "ready"]


class LaunchedItem(Launched):
    """A `launched` in a batch."""

    op: Literal["launched"]
    """What is reported."""
    id: str
    """Id of the reservation."""


class RenewItem(Renew):
    """A `renew` in a batch."""

    op: Literal["renew"]
    """What is reported."""
    id: str
    """Id of the reservation."""


class EndItem(End):
    """An `end` in a batch."""

    op: Literal["end"]
    """What is reported."""
    id: str
    """Id of the reservation."""


class ReportList(Response):
    """Reports, applied in order."""

    reports: list[LaunchedItem | RenewItem | EndItem] = Field(max_length=BATCH_MAX)
    """Applied in order, each answered by itself."""


class DecisionResult(Decision):
    """A decision in a batch."""

    status: Literal[200]


class ReportResult(ReportAnswer):
    """The answer to a report in a batch."""

    status: Literal[200]


class DecisionResults(Response):
    """One result for each request, in the same order."""

    results: list[DecisionResult | Problem]


class ReportResults(Response):
    """One result for each report, in the same order."""

    results: list[ReportResult | Problem]


class PauseAnswer(Response):
    """The effect of a pause or a resume."""

    now: ZoneTime
    zone: str
    pool: str | None
    """Null: the whole zone."""
    paused: bool
    changed: bool
    """False: it had that state before."""
    version: int
    """Version of the policy: pauses belong to it."""


class LimitAnswer(Response):
    """A temporary limit."""

    now: ZoneTime
    zone: str
    pool: str
    limit: int
    """The limit that applies now: the smallest of all limits of the pool."""
    temporary_limit: int
    """The limit that was set."""
    temporary_limit_until: ZoneTime
    """When the temporary limit lapses, unless it is set again."""


class PolicyAnswer(Response):
    """The live policy of a zone."""

    now: ZoneTime
    zone: str
    version: int
    """Grows with every change; also the ETag."""
    digest: str
    """SHA-256 of the policy: equal for files with equal meaning."""
    policy: ZonePolicy
    """As it was written, without defaults."""
    paused: dict[str, ZoneTime]
    """Paused pools, or `zone`, and since when."""
    changed: bool = False
    """After PUT and PATCH: the policy was another before."""


class PolicyPatch(RootModel[dict[str, Any]]):
    """A JSON merge patch (RFC 7396) of a policy: what changes; null removes."""
