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
    """One capacity domain of a platform. This part is the policy: it lives in Redis, is shown and
    changed by `/v1/zones/{zone}/policy`, and all replicas see a change with their next decision."""

    source: Name | None = None
    """Who counts the ports: a `[sources.X]`, `push` (somebody PUTs snapshots) or `static` (nobody:
    `capacity` is all there is)."""
    sources: SourceNames | None = None
    """The same for several that count different pools."""
    source_zone: Annotated[Text, BeforeValidator(_as_text)] | None = None
    """The platform's own name for the zone; Huawei: the ccId."""
    channels: ChannelNames
    """Kinds of port, the default first. Experience Portal counts `sip` and `h323`; Huawei `voice`,
    `ivr`, `web`."""
    ports: Literal["shared", "dedicated"] = "shared"
    """`shared`: others use the ports too, only the newest snapshot counts. `dedicated`: nobody else
    does, which buys some percent of utilisation."""
    placement: Literal["platform", "controller"] = "platform"
    """`platform`: it chooses the MPP. `controller`: we do, among those with room, most free first,
    and the dialer must launch there."""
    headroom: Headroom = 0
    """Ports, or a percentage such as `"5%"` of the limit (rounded up), of each channel that are
    never granted."""
    adaptive_headroom: Headroom = "3%"
    """The most that measured over-launches (outcome no_resource) may add to the headroom: each adds
    a port, 200 launches take it away. Ports, or a percentage, rounded down; 0: none."""
    foreign_growth_per_s: PerSecond = 0
    """How fast use by others may grow: a ceiling shrinks by this for each second of its snapshot's
    age, and an older snapshot counts for as long as it then says more."""
    rate_per_s: PerSecond = 0
    """Launches per second of the whole zone. 0: no limit."""
    burst: Burst = 0
    """How many of them may come at once. 0: one second's worth."""
    shadow: bool = False
    """Decide and count, but answer a deny as a grant marked `shadow`: to watch before it counts."""

    launch_within_ms: Annotated[Duration, Field(ge=1)] = 1_000
    """A dialer launches within this of sending its request."""
    claim_within_ms: Duration = 2_000
    """The platform takes the port within this of the launch. The true value is worth some percent
    of utilisation: `admission measure`."""
    visibility_lag_ms: Duration = 500
    """How old the platform's own count may be when it answers."""
    end_notice_ms: Duration = 200
    """A call ended at most this long before its dialer learnt of it."""
    release_within_ms: Duration = 0
    """A port is free this long after the dialer says so."""
    poll_interval_ms: Annotated[Duration, Field(ge=10)] = 1_000
    """Time between snapshots; idle zones take longer."""
    poll_min_ms: Annotated[Duration, Field(ge=10)] = 200
    """Shortest time between snapshots, when someone was denied for capacity."""
    max_age_ms: Duration = 10_000
    """A snapshot older than this denies `stale_snapshot`; and a zone untouched for so long
    recovers."""
    answer_within_ms: Deadline = 150_000
    """No report of a reservation by then: it expires."""
    max_call_ms: Deadline = 3_600_000
    """Its port is taken and nothing is heard by then: it expires. Long calls renew."""
    retention_ms: Duration = 120_000
    """How long an ended reservation and its request still answer repeats."""

    capacity: dict[Name, Ports] = Field(default_factory=dict)
    """Ports of a channel: caps what a snapshot may claim; with `static` the capacity itself."""
    call_takes: dict[Name, ChannelNames] = Field(default_factory=dict)
    """Channels that one call of a channel occupies, where it is more than that channel. Huawei:
    `ivr = ["voice", "ivr"]`."""
    priority_reserve: dict[PriorityKey, Ports] = Field(default_factory=dict)
    """Class -> ports that must stay free when a campaign of that `priority` asks (trunk
    reservation)."""
    mpps: dict[Name, MppPolicy] = Field(default_factory=dict, max_length=MPPS_MAX)
    """The media servers, by the names that dialers use."""
    applications: dict[Name, ApplicationPolicy] = Field(
        default_factory=dict, max_length=APPLICATIONS_MAX
    )
    """What is known of an application."""
    campaigns: dict[CampaignKey, CampaignPolicy] = Field(
        default_factory=dict, max_length=CAMPAIGNS_MAX
    )
    """Who may ask. `"*"`: every campaign not named; without it those are refused (404)."""
    pools: dict[PoolKey, PoolPolicy] = Field(default_factory=dict, max_length=NAMED_POOLS_MAX)
    """Named pools such as `trunk:carrier-a`; `agent:*`: every one of that kind."""

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
