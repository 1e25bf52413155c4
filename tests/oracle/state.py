"""The values of the oracle. Frozen, so that a copy of a whole zone is a copy of a few dicts."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

from tests.oracle.policy import Policy

HAD_PORT = frozenset({"completed", "no_answer", "busy", "abandoned"})


@dataclass(frozen=True, slots=True)
class Rules:
    """Each rule that docs/decisions/ceiling.md rests on. False breaks it, to see tests fail."""

    held_end_lowers: bool = True
    held_expiry_lowers: bool = True
    credit_needs_port: bool = True
    credit_needs_t1: bool = True
    credit_needs_end_notice: bool = True
    window_has_lag: bool = True
    held_before_window: bool = True
    launched_needs_port: bool = True
    launch_has_claim_time: bool = True
    growth_shrinks: bool = True
    kept_ends_lower: bool = True
    kept_expiry_lowers: bool = True
    recovers: bool = True
    earlier_policies_claim: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """One call's claim on its pools. A tombstone has no campaign and no pools."""

    id: str
    state: str = "live"
    campaign: str | None = None
    channel: str | None = None
    mpp: str | None = None
    owner: str | None = None
    pools: tuple[str, ...] = ()
    request: str | None = None
    request_id: str | None = None
    answer_within: int = 0
    max_call: int = 0
    granted_at: int = 0
    visible_by: int = 0
    deadline: int = 0
    due_at: int = 0
    taken: bool = False
    launched_at: int | None = None
    reported_at: int | None = None
    ended_at: int | None = None
    released_at: int | None = None
    outcome: str | None = None
    session: str | None = None
    adopted: bool = False
    claim_within: int | None = None

    @property
    def holds(self) -> bool:
        """Whether it occupies its pools."""
        return self.state in ("live", "releasing")

    @property
    def public_state(self) -> str:
        """The state as callers see it."""
        return "ended" if self.state == "releasing" else self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was granted under one `campaign/request_id`."""

    body: str
    channel: str
    granted_at: int
    launch_within: int
    answer_within: int
    mpp: str | None
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The newest snapshot of one pool. No `ceiling`: the platform had no number for it."""

    t0: int
    t1: int
    w0: int
    total: int | None = None
    unused: int | None = None
    ceiling: int | None = None
    foreign: int | None = None
    group: str | None = None
    best: int | None = None
    best_t1: int | None = None
    best_w0: int | None = None
    known_at: int | None = None
    polled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A leaky bucket as it was at `at_us`: so much work was in it, in us of draining."""

    level_us: int
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The breaker of one pool: (time in ms, failed) of each call that ended while it was closed.

    `window` in ms: the calls were counted for it. `open_until` stays set after that moment: half
    open, until a probe succeeds.
    """

    calls: tuple[tuple[int, bool], ...] = ()
    window: int = 0
    open_until: int | None = None
    probe_until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimit:
    """A limit for a while."""

    limit: int
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmetDemand:
    """The units of a pool that a campaign was denied: until when they count, how many at once.

    `burst`: units of the last requests that came together, since `since`; `by_rate`: a shared rate
    denied them.
    """

    until: int
    want: int
    since: int
    burst: int
    by_rate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What was learned from the snapshot t0, t1; `ceilings`: one for each step from t1 on."""

    t0: int
    t1: int
    step_ms: int
    valid_until: int
    pending: int
    burst_limit: int
    doubts: tuple[str, ...]
    ceilings: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class End:
    """One call that ended, or whose port was reported: the bin, its age there, whether launched."""

    bin: int
    age: int
    launched: bool


@dataclass(frozen=True, slots=True)
class Gain:
    """An interval between two snapshots, ended at `at`, at whose end a campaign contended.

    Args:
        ports: by how much the limit with learned ceilings exceeded the one with proved ceilings.
    """

    at: int
    lasted_ms: int
    ports: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What is learned of one channel, and the totals that it is learned from."""

    estimate: Estimate | None = None
    state: str | None = None
    lowered: int = 0
    failed_ceiling: int | None = None
    frozen_at: int | None = None
    reports: int = 0
    report_delay: int = 0
    ends: int = 0
    failures: int = 0
    drops: int = 0
    failed_at: int = 0
    burst_at: int = 0
    burst: int = 0
    ended: tuple[End, ...] = ()
    taken: tuple[End, ...] = ()
    gains: tuple[Gain, ...] = ()
    # id and launch of the reservations that held the pool when snapshots began to feed it
    before: frozenset[tuple[str, int | None]] = frozenset()


@dataclass(slots=True)
class Zone:
    """Everything the ledger knows of a zone."""

    policy: Policy
    rules: Rules = field(default_factory=Rules)
    version: int = 1
    digest: str = ""
    now: int = 0
    now_us: int = 0
    raw: int = 0
    offset: int = 0
    run_id: str | None = None
    stepped_at: int = 0
    recovered_from: int = 0
    recover_until: int = 0
    foreign: int = 0
    reservations: dict[str, Reservation] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    # pool with a strict rate -> its launches: zone time in ms when their slot ends, how many
    launches: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    # reservations when the call first asked
    stored: int | None = None
    # campaign -> period, reservations made in it
    made: dict[str, tuple[int, int]] = field(default_factory=dict)
    breakers: dict[str, Breaker] = field(default_factory=dict)
    set_limits: dict[str, SetLimit] = field(default_factory=dict)
    # (pool, campaign)
    unmet_demand: dict[tuple[str, str], UnmetDemand] = field(default_factory=dict)
    # pool -> headroom that measured over-launches called for, in parts of a port
    adaptive: dict[str, int] = field(default_factory=dict)
    learning: dict[str, Learning] = field(default_factory=dict)
    # pool -> for how long each reservation held it whose end took effect, oldest first
    held_for: dict[str, tuple[int, ...]] = field(default_factory=dict)
    # channel pool that a policy made fed -> when all calls of before are visible
    known_at: dict[str, int] = field(default_factory=dict)
    # pool, or `zone` -> since when
    paused: dict[str, int] = field(default_factory=dict)
    lease_holder: str | None = None
    lease_token: int = 0
    lease_until: int = 0
    wanted: bool = False
    admitted_at: int = 0

    def holders(self, pool: str) -> list[Reservation]:
        """The reservations that occupy a pool."""
        return [one for one in self.reservations.values() if one.holds and pool in one.pools]

    def put(self, reservation: Reservation, **changes: Any) -> Reservation:
        """Store a reservation with some changes."""
        changed = replace(reservation, **changes)
        self.reservations[changed.id] = changed
        return changed

    def begin_recovery(self) -> None:
        """Reservations may be out that this zone does not know."""
        self.recovered_from, self.recover_until = self.now, self.now + self.claim_max()
        self.wanted = True

    def copy(self) -> "Zone":
        """An independent copy. Everything inside the dicts is frozen."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return Zone(**{k: dict(v) if isinstance(v, dict) else v for k, v in values.items()})

    def claim_max(self) -> int:
        """The longest time in ms from any grant, by any policy, to its port being taken."""
        before = self.policy.ms("claim_before") if self.rules.earlier_policies_claim else 0
        return max(self.policy.ms("claim_max"), before)
