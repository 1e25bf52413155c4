"""The policy of one zone: the `[zones.X]` part of the configuration.

Its parts are in `policy_parts`, what must hold between them in `policy_checks`; `policy` reads and
writes it, and compiles it for the ledger. Nothing here knows Redis or a clock.
"""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from admission.domain.policy.parts import (
    APPLICATIONS_MAX,
    CAMPAIGNS_MAX,
    MPP_WORDS,
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
from admission.domain.types import Name, StrictModel, Text
from admission.domain.validation import Location, Problem, raise_problems, suggest_name


def _as_text(value: object) -> object:
    """A call centre's ccId is a number, and may be written as one."""
    return str(value) if type(value) is int else value


class ZonePolicy(StrictModel):
    """One capacity domain of a platform. This part is the policy: it lives in Redis, is shown and
    changed by `/v1/zones/{zone}/policy`, and all replicas see a change with their next decision."""

    source: Name | None = None
    """The source of the port counts: a `[sources.X]`, `push` (snapshots arrive through
    `PUT /v1/zones/{zone}/snapshots`) or `static` (no counts: `capacity` is the limit)."""
    sources: SourceNames | None = None
    """Several sources that count different pools, instead of `source`."""
    source_zone: Annotated[Text, BeforeValidator(_as_text)] | None = None
    """The platform's name of the zone; Huawei: the ccId."""
    channels: ChannelNames
    """Kinds of port, the default first. Experience Portal counts `sip` and `h323`; Huawei `voice`,
    `ivr`, `web`."""
    ports: Literal["shared", "dedicated"] = "shared"
    """`shared`: other callers use the ports too, so only the newest snapshot counts. `dedicated`:
    only this service's dialers use them, which raises utilisation by some percent."""
    placement: Literal["platform", "controller"] = "platform"
    """`platform`: the platform chooses the MPP. `controller`: this service does, the one with the
    most free ports first, and the dialer must launch there."""
    headroom: Headroom = 0
    """Ports, or a percentage such as `"5%"` of the limit (rounded up), of each channel that are
    never granted."""
    ceilings: Literal["proved", "learned"] = "proved"
    """`proved`: no launch fails while the times below hold; what a snapshot may not show yet costs
    ports. `learned`: the service learns from each snapshot how many reservations the channel
    carries, whatever these times are, and few launches fail; the larger of both ceilings counts.
    While what was learned is cold, distrusted, stale or recovering, the proved ceiling counts."""
    overlaunch_target: Annotated[float, Field(gt=0, le=0.1)] = 0.001
    """With learned ceilings: the share of launches that may find no port, roughly. A smaller value
    uses fewer ports and leaves more of them to inbound calls."""
    adaptive_headroom: Headroom = "3%"
    """The most that measured over-launches (outcome no_resource) may add to the headroom: each adds
    a port, 200 launches take it away. Ports, or a percentage, rounded down; 0: none."""
    foreign_growth_per_s: PerSecond = 0
    """How fast use by others may grow: a ceiling shrinks by this for each second of its snapshot's
    age, and an older snapshot counts for as long as it then says more."""
    rate_per_s: PerSecond = 0
    """Launches per second of the whole zone. 0: no limit. It is the rate in the long run: after a
    pause `burst` launches are granted at once while the rate goes on, so that with the default
    burst a rate of 10 lets up to 19 through in the worst second (`rate_strict`: 10)."""
    burst: Burst = 0
    """Launches that may be granted at the same instant. 0: those of one second."""
    rate_strict: bool = False
    """Whether in any `burst / rate_per_s` seconds no more than `burst` launches are granted. Grants
    are counted; a dialer launches up to `launch_within_ms` later. For a carrier that counts
    launches strictly, set `burst` to its number and lower `rate_per_s` so that
    `burst / rate_per_s` is its time plus `launch_within_ms`."""
    shadow: bool = False
    """Decide and count, but answer a denial as a grant marked `shadow`: for observation before
    enforcement."""

    launch_within_ms: Annotated[Duration, Field(ge=1)] = 1_000
    """Longest time from a dialer's request to its launch."""
    claim_within_ms: Duration = 2_000
    """Longest time from the launch until the platform takes the port. The exact value raises
    utilisation by some percent: `admission measure`."""
    visibility_lag_ms: Duration = 500
    """Greatest age of the platform's counts when it answers."""
    end_notice_ms: Duration = 200
    """Longest time from the end of a call until its dialer is notified."""
    release_within_ms: Duration = 0
    """Longest time from the dialer's report of an end until the port is free."""
    poll_interval_ms: Annotated[Duration, Field(ge=10)] = 1_000
    """Time between snapshots; longer in idle zones."""
    poll_min_ms: Annotated[Duration, Field(ge=10)] = 200
    """Shortest time between snapshots, after a denial for capacity."""
    max_age_ms: Duration = 10_000
    """With an older snapshot launches are denied as `stale_snapshot`. A zone without any call for
    this long recovers first."""
    answer_within_ms: Deadline = 150_000
    """A reservation without a report expires after this time."""
    max_call_ms: Deadline = 3_600_000
    """A reservation whose port is taken expires this long after its last report. Dialers renew
    those of longer calls."""
    retention_ms: Duration = 120_000
    """Time for which an ended reservation and its request are stored, to answer repeats."""
    max_records: Annotated[int, Field(ge=1_000, le=50_000_000)] = 1_000_000
    """Reservations that the zone stores, live and ended, of some 500 bytes of Redis each. From half
    of it on no campaign may add more than a quarter of what is left within `retention_ms`; requests
    beyond are answered 429. `admission check` shows the memory that all zones together may need."""
    max_pools: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """Pools of which the zone stores something. While there are more, a pool that only a wildcard
    names gets no first snapshot and no temporary limit."""

    capacity: dict[Name, Ports] = Field(default_factory=dict)
    """Ports of a channel: an upper bound of every snapshot; with `static` the capacity itself."""
    call_takes: dict[Name, ChannelNames] = Field(default_factory=dict)
    """Channels that one call of a channel occupies, where it occupies more than that channel.
    Huawei: `ivr = ["voice", "ivr"]`."""
    priority_reserve: dict[PriorityKey, Ports] = Field(default_factory=dict)
    """Class -> ports that must stay free after a grant to a campaign of that `priority` (trunk
    reservation)."""
    mpps: dict[Name, MppPolicy] = Field(default_factory=dict, max_length=MPPS_MAX)
    """The media servers, by the names that dialers use."""
    applications: dict[Name, ApplicationPolicy] = Field(
        default_factory=dict, max_length=APPLICATIONS_MAX
    )
    """Times and MPPs of single applications."""
    campaigns: dict[CampaignKey, CampaignPolicy] = Field(
        default_factory=dict, max_length=CAMPAIGNS_MAX
    )
    """The campaigns that may request launches. `"*"`: every other campaign; without it, requests of
    other campaigns are answered 404."""
    pools: dict[PoolKey, PoolPolicy] = Field(default_factory=dict, max_length=NAMED_POOLS_MAX)
    """Named pools such as `trunk:carrier-a`; `agent:*`: every pool of that kind."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        raise_problems("zone", check(self))
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


if TYPE_CHECKING:
    pass


def check(policy: "ZonePolicy") -> Iterator[Problem]:
    """Every broken rule of a policy whose parts are sound by themselves."""
    yield from _check_sources(policy)
    yield from _check_channels(policy)
    yield from _check_static_capacity(policy)
    yield from _check_mpps(policy)
    yield from _check_pools(policy)
    yield from _check_guarantees(policy)
    yield from _check_polling(policy)
    yield from _check_deadlines(policy)


def _check_sources(policy: "ZonePolicy") -> Iterator[Problem]:
    if policy.source is None and policy.sources is None:
        yield Problem(place=("source",), message="is required: a source's name, push or static")
    if policy.source is not None and policy.sources is not None:
        yield Problem(place=("sources",), message="must not be given together with source")


def _check_channels(policy: "ZonePolicy") -> Iterator[Problem]:
    if "any" in policy.channels:
        message = "must not contain any: that word asks for whichever channel has room"
        yield Problem(place=("channels",), message=message)
    for word in MPP_WORDS:
        if word in policy.channels:
            message = f"must not contain {word}: an MPP's table has that word for something else"
            yield Problem(place=("channels",), message=message)
    named: list[tuple[Location, str]] = [(("capacity", name), name) for name in policy.capacity]
    for channel, taken in policy.call_takes.items():
        # What a channel that this zone does not have would take is no error: zones are copied.
        if channel not in policy.channels:
            continue
        named += [(("call_takes", channel, i), name) for i, name in enumerate(taken)]
    for place, name in named:
        yield from _known(place, name, policy.channels, "a channel of this zone")
    for name, mpp in policy.mpps.items():
        yield from _ports(("mpps", name), mpp, policy.channels)


def _ports(place: Location, mpp: MppPolicy, channels: Collection[str]) -> Iterator[Problem]:
    for name in mpp.ports:
        if name not in channels:
            hint = suggest_name(name, [*channels, *MPP_WORDS])
            yield Problem(
                place=(*place, name), message=f"{name} is not a channel of this zone{hint}"
            )


def _check_static_capacity(policy: "ZonePolicy") -> Iterator[Problem]:
    if "static" not in policy.source_names:
        return
    for channel in policy.channels:
        if channel not in policy.capacity:
            message = "is required: a static zone has no other measure of its ports"
            yield Problem(place=("capacity", channel), message=message)


def _check_mpps(policy: "ZonePolicy") -> Iterator[Problem]:
    if policy.placement == "controller" and not policy.mpps:
        message = "must not be controller in a zone without mpps: there is nothing to choose from"
        yield Problem(place=("placement",), message=message)
    for name, application in policy.applications.items():
        for i, mpp in enumerate(application.mpps):
            place = ("applications", name, "mpps", i)
            yield from _known(place, mpp, policy.mpps, "an MPP of this zone")


def _check_pools(policy: "ZonePolicy") -> Iterator[Problem]:
    wildcards = {pool for pool in policy.pools if pool.endswith(":*")}
    kinds = {f"{pool.partition(':')[0]}:*" for pool in policy.pools}
    for name, campaign in policy.campaigns.items():
        for place, pool in _list_pools(name, campaign):
            # `agent:*` may be allowed as soon as any agent is configured.
            if _kind(pool) not in wildcards and pool not in kinds:
                yield from _known(place, pool, policy.pools, "a pool of this zone")


def _check_guarantees(policy: "ZonePolicy") -> Iterator[Problem]:
    others = policy.campaigns.get("*")
    if others and others.guarantee:
        message = "must not be given to *: the number of such campaigns is unknown"
        yield Problem(place=("campaigns", "*", "guarantee"), message=message)


def _list_pools(name: str, campaign: CampaignPolicy) -> Iterator[tuple[Location, str]]:
    for key, pools in (("pools", campaign.pools), ("allowed_pools", campaign.allowed_pools or ())):
        for i, pool in enumerate(pools):
            yield ("campaigns", name, key, i), pool


def _kind(pool: str) -> str:
    return f"{pool.partition(':')[0]}:*"


def _known(place: Location, name: str, known: Collection[str], what: str) -> Iterator[Problem]:
    if name not in known:
        message = f"{name} is not {what}{suggest_name(name, known)}"
        yield Problem(place=place, message=message)


def _check_polling(policy: "ZonePolicy") -> Iterator[Problem]:
    if policy.poll_min_ms > policy.poll_interval_ms:
        message = f"must not be larger than poll_interval_ms, {policy.poll_interval_ms}"
        yield Problem(place=("poll_min_ms",), message=message)
    if policy.poll_interval_ms >= policy.max_age_ms:
        message = (
            f"must be less than max_age_ms, {policy.max_age_ms}: "
            "each snapshot would be stale before the next"
        )
        yield Problem(place=("poll_interval_ms",), message=message)


def _check_deadlines(policy: "ZonePolicy") -> Iterator[Problem]:
    """A reservation must not expire while its port may still be taken unseen."""
    claim, whose = _find_largest_claim(policy)
    least = policy.launch_within_ms + claim + policy.visibility_lag_ms + policy.max_age_ms
    for place, value in _list_deadlines(policy):
        if value is not None and value <= least:
            message = (
                f"must be greater than launch_within_ms + claim_within_ms{whose} + "
                f"visibility_lag_ms + max_age_ms = {least}: "
                "an expiry while pending would free a port that is taken"
            )
            yield Problem(place=place, message=message)


def _find_largest_claim(policy: "ZonePolicy") -> tuple[int, str]:
    largest, whose = policy.claim_within_ms, ""
    for name, application in policy.applications.items():
        if application.claim_within_ms is not None and application.claim_within_ms > largest:
            largest, whose = application.claim_within_ms, f" (of application {name})"
    return largest, whose


def _list_deadlines(policy: "ZonePolicy") -> Iterator[tuple[Location, int | None]]:
    for key in ("answer_within_ms", "max_call_ms"):
        yield (key,), getattr(policy, key)
        for name, campaign in policy.campaigns.items():
            yield ("campaigns", name, key), getattr(campaign, key)
        for name, pool in policy.pools.items():
            yield ("pools", name, key), getattr(pool, key)
