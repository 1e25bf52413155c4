"""The policy of one zone: the `[zones.X]` part of the configuration, and its compiled form.

The operator's words come in once, as a `ZonePolicy`; what the ledger decides with is
`compile_policy`, flat and without units, so that the script reads one field for each thing
a request names. Nothing here knows Redis or a clock.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from admission.errors import Invalid
from admission.explain import problems_of, refuse
from admission.model import Name, Strict, Text
from admission.policy_checks import check
from admission.policy_parts import (
    APPLICATIONS_MAX,
    CAMPAIGNS_MAX,
    MPPS_MAX,
    NAMED_POOLS_MAX,
    ApplicationPolicy,
    BreakerPolicy,
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

# EP tries an H.323 port before a SIP one; an `any` call is granted in the same order.
ANY_ORDER = ("h323", "sip")

Fields: TypeAlias = dict[str, dict[str, Any]]


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


def parse_policy(data: object) -> ZonePolicy:
    """The policy in a decoded JSON or TOML document.

    Raises:
        Invalid: it is not one; lists every wrong field.
    """
    return _parsed(lambda: ZonePolicy.model_validate(data))


def from_json(text: str | bytes) -> ZonePolicy:
    """The policy in a JSON text, such as `policy_json` writes.

    Raises:
        Invalid: it is not one; lists every wrong field.
    """
    return _parsed(lambda: ZonePolicy.model_validate_json(text))


def policy_json(policy: ZonePolicy) -> str:
    """The policy's source: what was said, in the order in which it was said, no defaults.

    Defaults stay out so that a release with a new parameter does not make every unchanged
    file look changed.
    """
    return json.dumps(_said(policy), separators=(",", ":"))


def digest(policy: ZonePolicy) -> str:
    """SHA-256 (hex) of the policy's canonical source: equal for files that say the same.

    Only the order of the MPPs counts, because placement prefers the first on ties.
    """
    said = _said(policy)
    said["mpps"] = list(said.get("mpps", {}).items())
    canonical = json.dumps(said, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _said(policy: ZonePolicy) -> dict[str, Any]:
    return policy.model_dump(exclude_unset=True)


def _parsed(parse: Callable[[], ZonePolicy]) -> ZonePolicy:
    try:
        return parse()
    except ValidationError as error:
        found = problems_of(ZonePolicy, error)
        raise Invalid(*(problem.field_error() for problem in found)) from None


def compile_policy(policy: ZonePolicy) -> Fields:
    """The `fields` of the ledger's `policy` operation. Absent optional keys are left out."""
    fields: Fields = {"zone": _zone(policy), "guarantees": _guarantees(policy)}
    for name, campaign in policy.campaigns.items():
        fields[f"campaign:{name}"] = _campaign(campaign)
    for name, mpp in policy.mpps.items():
        fields |= _mpp(f"mpp:{name}", mpp)
    for name, application in policy.applications.items():
        fields[f"application:{name}"] = _application(application)
    for name, pool in policy.pools.items():
        fields[name] = _counted(pool) | ({"needs_snapshot": True} if pool.needs_snapshot else {})
    return fields


def _zone(policy: ZonePolicy) -> dict[str, Any]:
    return {
        **_times(policy),
        "channels": list(policy.channels),
        "any": _any_order(policy.channels),
        "fed": list(policy.fed_channels),
        "takes": {c: list(policy.call_takes.get(c, (c,))) for c in policy.channels},
        "capacity": dict(policy.capacity),
        **_ports_or_percent("headroom", policy.headroom),
        **_ports_or_percent("adaptive", policy.adaptive_headroom),
        "growth_per_s": policy.foreign_growth_per_s,
        "dedicated": policy.ports == "dedicated",
        "placement": policy.placement,
        "mpps": list(policy.mpps),
        "mpp_total": sum(sum(mpp.ports.values()) for mpp in policy.mpps.values()),
        "source": f"{','.join(policy.source_names)}/{policy.source_zone or ''}",
        "shadow": policy.shadow,
        "priority_reserve": dict(policy.priority_reserve),
        **_guaranteed(policy),
        **_rate(policy),
    }


def _ports_or_percent(name: str, value: int | str) -> dict[str, int]:
    """Either in ports or in percent of the limit; the other is 0."""
    if isinstance(value, int):
        return {name: value, f"{name}_percent": 0}
    return {name: 0, f"{name}_percent": int(value.rstrip("%"))}


def _guarantees(policy: ZonePolicy) -> dict[str, int]:
    return {name: one.guarantee for name, one in policy.campaigns.items() if one.guarantee}


def _guaranteed(policy: ZonePolicy) -> dict[str, Any]:
    """Guarantees are ports of one channel: the zone's first."""
    total = sum(_guarantees(policy).values())
    pool = f"channel:{policy.channels[0]}" if total else None
    return _present({"guaranteed": pool}) | {"guarantee_total": total}


def _times(policy: ZonePolicy) -> dict[str, int]:
    return {
        "launch_within": policy.launch_within_ms,
        "claim_within": policy.claim_within_ms,
        "claim_max": policy.claim_max_ms,
        "visibility_lag": policy.visibility_lag_ms,
        "end_notice": policy.end_notice_ms,
        "release_within": policy.release_within_ms,
        "poll_interval": policy.poll_interval_ms,
        "poll_min": policy.poll_min_ms,
        "max_age": policy.max_age_ms,
        "answer_within": policy.answer_within_ms,
        "max_call": policy.max_call_ms,
        "retention": policy.retention_ms,
    }


def _any_order(channels: tuple[str, ...]) -> list[str]:
    first = [channel for channel in ANY_ORDER if channel in channels]
    return first + [channel for channel in channels if channel not in first]


def _mpp(pool: str, mpp: MppPolicy) -> Fields:
    """A pool for each channel, and a record of its own for the rate of all of them."""
    fields: Fields = {f"{pool}:{channel}": {"limit": n} for channel, n in mpp.ports.items()}
    return fields | ({pool: _rate(mpp)} if mpp.rate_per_s else {})


def _rate(limited: ZonePolicy | MppPolicy | CampaignPolicy | PoolPolicy) -> dict[str, Any]:
    """`burst` 0 means one second's worth: said here once, so that nobody else has to know."""
    second = max(1, -int(-limited.rate_per_s // 1)) if limited.rate_per_s else 0
    return {"rate_per_s": limited.rate_per_s, "burst": limited.burst or second}


def _counted(counted: CampaignPolicy | PoolPolicy) -> dict[str, Any]:
    optional = {
        "limit": counted.limit,
        "answer_within": counted.answer_within_ms,
        "max_call": counted.max_call_ms,
        "breaker": None if counted.breaker is None else _breaker(counted.breaker),
    }
    return _rate(counted) | _present(optional)


def _campaign(campaign: CampaignPolicy) -> dict[str, Any]:
    allowed = None if campaign.allowed_pools is None else list(campaign.allowed_pools)
    own = {
        "guarantee": campaign.guarantee,
        "weight": campaign.weight,
        "priority": campaign.priority,
        "pools": list(campaign.pools),
    }
    return own | _present({"allowed": allowed}) | _counted(campaign)


def _application(application: ApplicationPolicy) -> dict[str, Any]:
    own = {"mpps": list(application.mpps)}
    return own | _present({"claim_within": application.claim_within_ms})


def _breaker(breaker: BreakerPolicy) -> dict[str, int]:
    return {
        "failures_percent": breaker.failures_percent,
        "window": breaker.window_ms,
        "min_calls": breaker.min_calls,
        "pause": breaker.pause_ms,
    }


def _present(optional: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in optional.items() if value is not None}
