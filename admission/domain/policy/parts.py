"""The parts of a zone's policy: campaigns, pools, applications, breakers, and their limits.

A part knows only itself; what must hold between parts is in `policy_checks`.
"""

import re
from typing import Annotated, Final, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from admission.domain.types import BUILT_IN_POOLS, POOLS_MAX, Name, PoolName, StrictModel
from admission.domain.validation import (
    CAMPAIGN_KEY,
    POOL_PATTERN,
    PRIORITY,
    Problem,
    raise_problems,
)

# Limits on everything. All of them stay far below 2^31, where platforms' own counters end.
PORTS_MAX: Final = 1_000_000
DURATION_MS_MAX: Final = 3_600_000
CALL_MS_MAX: Final = 7 * 24 * 3_600_000
RATE_MIN: Final = 0.001
RATE_MAX: Final = 100_000
WEIGHT_MIN: Final = 0.01
WEIGHT_MAX: Final = 10_000
PRIORITY_MAX: Final = 9
CHANNELS_MAX: Final = 16
SOURCES_MAX: Final = 8
MPPS_MAX: Final = 500
APPLICATIONS_MAX: Final = 5_000
CAMPAIGNS_MAX: Final = 5_000
NAMED_POOLS_MAX: Final = 20_000

ANY_CAMPAIGN: Final = "*"
_PERCENT: Final = re.compile(r"(100|[1-9]?[0-9])%")

_T = TypeVar("_T")


def _no_doubles(values: tuple[_T, ...]) -> tuple[_T, ...]:
    if len(set(values)) != len(values):
        raise ValueError("must not name anything twice")
    return values


def _ports_or_percent(value: object) -> object:
    is_ports = type(value) is int and 0 <= value <= PORTS_MAX
    is_percent = isinstance(value, str) and _PERCENT.fullmatch(value)
    if not is_ports and not is_percent:
        raise ValueError(f'must be ports (0 to {PORTS_MAX}) or a percentage such as "5%"')
    return value


def _zero_or_at_least(value: float) -> float:
    if 0 < value < RATE_MIN:
        raise ValueError(f"must be 0 (no limit) or at least {RATE_MIN}")
    return value


def _as_said(value: float) -> float:
    """Who wrote 2 reads 2 again, not 2.0."""
    return int(value) if value == int(value) else value


def _not_built_in(pool: str) -> str:
    kind = pool.partition(":")[0]
    if kind in BUILT_IN_POOLS:
        raise ValueError(f"must not be of the kind {kind}: such pools follow from the request")
    return pool


Ports: TypeAlias = Annotated[int, Field(ge=0, le=PORTS_MAX)]
Headroom: TypeAlias = Annotated[int | str, BeforeValidator(_ports_or_percent)]
Duration: TypeAlias = Annotated[int, Field(ge=0, le=DURATION_MS_MAX)]
Deadline: TypeAlias = Annotated[int, Field(ge=1, le=CALL_MS_MAX)]
PerSecond: TypeAlias = Annotated[
    float,
    Field(ge=0, le=RATE_MAX, allow_inf_nan=False),
    AfterValidator(_zero_or_at_least),
    AfterValidator(_as_said),
]
Burst: TypeAlias = Annotated[int, Field(ge=0, le=PORTS_MAX)]
Weight: TypeAlias = Annotated[
    float,
    Field(ge=WEIGHT_MIN, le=WEIGHT_MAX, allow_inf_nan=False),
    AfterValidator(_as_said),
]
CampaignKey: TypeAlias = Annotated[str, StringConstraints(pattern=CAMPAIGN_KEY)]
PoolKey: TypeAlias = Annotated[
    str, StringConstraints(pattern=POOL_PATTERN), AfterValidator(_not_built_in)
]
PriorityKey: TypeAlias = Annotated[str, StringConstraints(pattern=PRIORITY)]
# TOML and JSON have lists only; a frozen policy has tuples.
ChannelNames: TypeAlias = Annotated[
    tuple[Name, ...],
    Field(strict=False, min_length=1, max_length=CHANNELS_MAX),
    AfterValidator(_no_doubles),
]
SourceNames: TypeAlias = Annotated[
    tuple[Name, ...],
    Field(strict=False, min_length=1, max_length=SOURCES_MAX),
    AfterValidator(_no_doubles),
]
MppNames: TypeAlias = Annotated[
    tuple[Name, ...], Field(strict=False, max_length=MPPS_MAX), AfterValidator(_no_doubles)
]
PoolNames: TypeAlias = Annotated[
    tuple[PoolName, ...], Field(strict=False, max_length=POOLS_MAX), AfterValidator(_no_doubles)
]
PoolPatterns: TypeAlias = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=POOL_PATTERN)], ...],
    Field(strict=False, max_length=NAMED_POOLS_MAX),
    AfterValidator(_no_doubles),
]


class BreakerPolicy(StrictModel):
    """A circuit breaker: no launches for `pause_ms` when `failures_percent` of at least `min_calls`
    calls in `window_ms` failed; then one request at a time is granted until a call succeeds."""

    failures_percent: Annotated[int, Field(ge=1, le=100)] = 50
    """Part of the ended calls that failed."""
    window_ms: Annotated[int, Field(ge=1, le=DURATION_MS_MAX)] = 120_000
    """Time over which calls are counted."""
    min_calls: Annotated[int, Field(ge=1, le=PORTS_MAX)] = 5
    """With fewer ended calls the breaker stays closed."""
    pause_ms: Annotated[int, Field(ge=1, le=DURATION_MS_MAX)] = 60_000
    """Time without launches."""


class _Counted(StrictModel):
    """Settings that campaigns and named pools share."""

    limit: Ports | None = None
    """Most calls at the same time. Absent: no limit of its own."""
    limit_unset: Ports | None = None
    """The limit while no temporary limit is set: 0 grants nothing unless a pacing engine sets one
    and keeps it alive. Absent: `limit` alone counts then."""
    rate_per_s: PerSecond = 0
    """Launches per second. 0: no limit."""
    burst: Burst = 0
    """Launches that may be granted at the same instant. 0: those of one second. A request with a
    greater `min_count` is refused."""
    rate_strict: bool = False
    """Whether in any `burst / rate_per_s` seconds no more than `burst` launches are granted: for a
    carrier that counts strictly. See `rate_per_s` of the zone."""
    answer_within_ms: Deadline | None = None
    """As the zone's; the smallest that applies to a reservation counts."""
    max_call_ms: Deadline | None = None
    """As the zone's; the smallest that applies to a reservation counts."""
    breaker: BreakerPolicy | None = None
    """The circuit breaker for failing calls. Absent: none."""


class PoolPolicy(_Counted):
    """A named pool. Without a limit only snapshots limit it."""

    needs_snapshot: bool = False
    """Whether nothing is granted from the pool before its first snapshot, and after a loss of state
    before the next: for agents, which a source counts."""


class CampaignPolicy(_Counted):
    """One campaign, or `"*"`: every campaign that is not named, each with a pool of its own."""

    guarantee: Ports = 0
    """Ports of the zone's first channel that stay free for the campaign, even while it is idle."""
    weight: Weight = 1
    """Share of contended ports, relative to the weights of other campaigns."""
    priority: Annotated[int, Field(ge=0, le=PRIORITY_MAX)] = 0
    """Class, 0 (highest) to 9: see `priority_reserve`."""
    pools: PoolNames = ()
    """Named pools that every call of the campaign occupies."""
    allowed_pools: PoolPatterns | None = None
    """Named pools or kinds that a request may name. Absent: all that are configured."""

    @model_validator(mode="after")
    def _guarantee_fits(self) -> Self:
        if self.limit is not None and self.guarantee > self.limit:
            message = f"must not be larger than the campaign's limit, {self.limit}"
            raise_problems("campaign", [Problem(place=("guarantee",), message=message)])
        return self


class MppPolicy(StrictModel):
    """An MPP: one key for each channel with its ports, and the rate of its launches.

    `rate_per_s`, `burst` and `rate_strict` are keys of this table, so no channel may have these
    names.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Ports] = Field(init=False)

    rate_per_s: PerSecond = 0
    """Launches per second on this MPP. 0: no limit."""
    burst: Burst = 0
    """Launches that may be granted at the same instant. 0: those of one second."""
    rate_strict: bool = False
    """As a campaign's."""

    @property
    def ports(self) -> dict[str, int]:
        """Channel -> ports, in the order in which they were said."""
        return dict(self.__pydantic_extra__)

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if len(self.ports) > CHANNELS_MAX:
            raise ValueError(f"must have at most {CHANNELS_MAX} channels")
        return self


# Keys of an MPP's table that are no channels.
MPP_WORDS: Final = tuple(MppPolicy.model_fields)


class ApplicationPolicy(StrictModel):
    """An application of the platform."""

    mpps: MppNames = ()
    """The MPPs that run it; with exactly one, its launches count there. None: all."""
    claim_within_ms: Duration | None = None
    """Its own claim time, where its pages are slower than the zone's."""
