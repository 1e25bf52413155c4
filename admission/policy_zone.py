"""The policy of one zone: the `[zones.X]` part of the configuration.

Its parts are in `policy_parts`, what must hold between them in `policy_checks`; `policy` reads and
writes it, and compiles it for the ledger. Nothing here knows Redis or a clock.
"""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from admission.explain import refuse
from admission.model import Name, Strict, Text
from admission.policy_checks import check
from admission.policy_parts import (
    APPLICATIONS_MAX,
    CAMPAIGNS_MAX,
    MPPS_MAX,
    NAMED_POOLS_MAX,
    ApplicationPolicy,
    Burst,
    CampaignKey,
    CampaignPolicy,
    ChannelNames,
    Deadline,
    Duration,
    Headroom,
    MppPolicy,
    PerSecond,
    PoolKey,
    PoolPolicy,
    Ports,
    PriorityKey,
    SourceNames,
)


def _as_text(value: object) -> object:
    """A call centre's ccId is a number, and may be written as one."""
    return str(value) if type(value) is int else value


class ZonePolicy(Strict):
    """Everything that an operator decides about one zone. Durations are milliseconds."""

    source: Name | None = None
    sources: SourceNames | None = None
    source_zone: Annotated[Text, BeforeValidator(_as_text)] | None = None
    channels: ChannelNames
    ports: Literal["shared", "dedicated"] = "shared"
    placement: Literal["platform", "controller"] = "platform"
    headroom: Headroom = 0
    adaptive_headroom: Headroom = "3%"
    foreign_growth_per_s: PerSecond = 0
    rate_per_s: PerSecond = 0
    burst: Burst = 0
    shadow: bool = False

    launch_within_ms: Annotated[Duration, Field(ge=1)] = 1_000
    claim_within_ms: Duration = 2_000
    visibility_lag_ms: Duration = 500
    end_notice_ms: Duration = 200
    release_within_ms: Duration = 0
    poll_interval_ms: Annotated[Duration, Field(ge=10)] = 1_000
    poll_min_ms: Annotated[Duration, Field(ge=10)] = 200
    max_age_ms: Duration = 10_000
    answer_within_ms: Deadline = 150_000
    max_call_ms: Deadline = 3_600_000
    retention_ms: Duration = 120_000

    capacity: dict[Name, Ports] = Field(default_factory=dict)
    call_takes: dict[Name, ChannelNames] = Field(default_factory=dict)
    priority_reserve: dict[PriorityKey, Ports] = Field(default_factory=dict)
    mpps: dict[Name, MppPolicy] = Field(default_factory=dict, max_length=MPPS_MAX)
    applications: dict[Name, ApplicationPolicy] = Field(
        default_factory=dict, max_length=APPLICATIONS_MAX
    )
    campaigns: dict[CampaignKey, CampaignPolicy] = Field(
        default_factory=dict, max_length=CAMPAIGNS_MAX
    )
    pools: dict[PoolKey, PoolPolicy] = Field(default_factory=dict, max_length=NAMED_POOLS_MAX)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse("zone", check(self))
        return self

    @property
    def source_names(self) -> tuple[str, ...]:
        """The zone's sources, whichever way they were written."""
        return self.sources or (() if self.source is None else (self.source,))

    @property
    def fed_channels(self) -> tuple[str, ...]:
        """Channels whose ceiling comes from snapshots: none where the capacity is static."""
        return () if "static" in self.source_names else self.channels

    @property
    def claim_max_ms(self) -> int:
        """The longest that a launch of any application may take to be visible, from its grant."""
        own = [a.claim_within_ms or 0 for a in self.applications.values()]
        return self.launch_within_ms + max([self.claim_within_ms, *own])
