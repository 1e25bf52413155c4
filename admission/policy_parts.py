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

from admission.explain import CAMPAIGN_KEY, POOL_PATTERN, PRIORITY, Problem, refuse
from admission.model import BUILT_IN_POOLS, POOLS_MAX, Name, PoolName, Strict

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


class BreakerPolicy(Strict):
    """Pause a campaign or pool for `pause_ms` when too many of its calls fail in `window_ms`."""

    failures_percent: Annotated[int, Field(ge=1, le=100)] = 50
    window_ms: Annotated[int, Field(ge=1, le=DURATION_MS_MAX)] = 120_000
    min_calls: Annotated[int, Field(ge=1, le=PORTS_MAX)] = 5
    pause_ms: Annotated[int, Field(ge=1, le=DURATION_MS_MAX)] = 60_000


class _Counted(Strict):
    """What campaigns and named pools have in common."""

    limit: Ports | None = None
    rate_per_s: PerSecond = 0
    burst: Burst = 0
    answer_within_ms: Deadline | None = None
    max_call_ms: Deadline | None = None
    breaker: BreakerPolicy | None = None


class PoolPolicy(_Counted):
    """A named pool, such as `trunk:carrier-a`; without a limit only its snapshots bound it.

    `needs_snapshot`: nothing is granted from it before its first snapshot (agents).
    """

    needs_snapshot: bool = False


class CampaignPolicy(_Counted):
    """One campaign, or `*`: every campaign not named, each a pool of its own.

    `pools` are always taken; `allowed_pools` may be asked for (absent: all configured).
    """

    guarantee: Ports = 0
    weight: Weight = 1
    priority: Annotated[int, Field(ge=0, le=PRIORITY_MAX)] = 0
    pools: PoolNames = ()
    allowed_pools: PoolPatterns | None = None

    @model_validator(mode="after")
    def _guarantee_fits(self) -> Self:
        if self.limit is not None and self.guarantee > self.limit:
            message = f"must not be larger than the campaign's limit, {self.limit}"
            refuse("campaign", [Problem(place=("guarantee",), message=message)])
        return self


class MppPolicy(Strict):
    """An MPP: its ports, one key for each channel, and how fast it may be given launches.

    `rate_per_s` and `burst` are words of this table, so no channel may be called that.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Ports] = Field(init=False)

    rate_per_s: PerSecond = 0
    burst: Burst = 0

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


class ApplicationPolicy(Strict):
    """An application: the MPPs that run it (none listed: all), and its own claim time."""

    mpps: MppNames = ()
    claim_within_ms: Duration | None = None
