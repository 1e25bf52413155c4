"""Compiles a zone's policy into the fields that the script reads.

The compiled policy is flat and without units, so that the script reads one field for each name in a
request. A setting without a rule of its own reaches the script unchanged under its own name, so a
new setting of the model is available to the script at once. Redis may hold a policy that an older
version compiled: the script reads a new setting with a default.
"""

from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from admission.domain.policy.parts import CampaignPolicy, MppPolicy, PoolPolicy
from admission.domain.policy.zone import ZonePolicy

# EP tries an H.323 port before a SIP one; an `any` call is granted in the same order.
ANY_ORDER: Final = ("h323", "sip")

# Settings of a zone that the script reads in another form.
OTHERWISE: Final = frozenset(
    {
        *("source", "sources", "source_zone", "ports"),
        *("headroom", "adaptive_headroom", "foreign_growth_per_s", "call_takes"),
        *("mpps", "applications", "campaigns", "pools"),
    }
)

# Sources that nothing is asked of.
UNPOLLED: Final = frozenset({"push", "static"})

Fields: TypeAlias = dict[str, dict[str, Any]]


def compile_policy(policy: ZonePolicy) -> Fields:
    """The `fields` of the ledger's `policy` operation. Absent optional keys are left out."""
    fields: Fields = {"zone": _compile_zone(policy), "guarantees": _collect_guarantees(policy)}
    for name, campaign in policy.campaigns.items():
        fields[f"campaign:{name}"] = _compile_campaign(campaign)
    for name, mpp in policy.mpps.items():
        fields |= _compile_mpp(f"mpp:{name}", mpp)
    for name, application in policy.applications.items():
        fields[f"application:{name}"] = _copy_settings(application)
    for name, pool in policy.pools.items():
        fields[name] = _copy_settings(pool) | _compile_rate(pool)
    return fields


def _copy_settings(part: BaseModel, *without: str) -> dict[str, Any]:
    """Settings by name; durations without `_ms`, since all are in ms."""
    return {
        name.removesuffix("_ms"): _convert(value)
        for name, value in part
        if value is not None and name not in without
    }


def _convert(value: object) -> object:
    if isinstance(value, BaseModel):
        return _copy_settings(value)
    return list(value) if isinstance(value, tuple) else value


def _compile_zone(policy: ZonePolicy) -> dict[str, Any]:
    return {
        **_copy_settings(policy, *OTHERWISE),
        "claim_max": policy.claim_max_ms,
        "any": _order_channels(policy.channels),
        "fed": list(policy.fed_channels),
        "takes": {c: list(policy.call_takes.get(c, (c,))) for c in policy.channels},
        **_split_ports_or_percent("headroom", policy.headroom),
        **_split_ports_or_percent("adaptive", policy.adaptive_headroom),
        "growth_per_s": policy.foreign_growth_per_s,
        "dedicated": policy.ports == "dedicated",
        "mpps": list(policy.mpps),
        "mpp_total": sum(sum(mpp.ports.values()) for mpp in policy.mpps.values()),
        "source": f"{','.join(policy.source_names)}/{policy.source_zone or ''}",
        "polled": any(name not in UNPOLLED for name in policy.source_names),
        "pushed": "push" in policy.source_names,
        **_compile_guarantees(policy),
        **_compile_rate(policy),
    }


def _split_ports_or_percent(name: str, value: int | str) -> dict[str, int]:
    """Either in ports or in percent of the limit; the other is 0."""
    if isinstance(value, int):
        return {name: value, f"{name}_percent": 0}
    return {name: 0, f"{name}_percent": int(value.rstrip("%"))}


def _collect_guarantees(policy: ZonePolicy) -> dict[str, int]:
    return {name: one.guarantee for name, one in policy.campaigns.items() if one.guarantee}


def _compile_guarantees(policy: ZonePolicy) -> dict[str, Any]:
    """Guarantees are ports of one channel: the zone's first."""
    total = sum(_collect_guarantees(policy).values())
    pool = {"guaranteed": f"channel:{policy.channels[0]}"} if total else {}
    return pool | {"guarantee_total": total}


def _order_channels(channels: tuple[str, ...]) -> list[str]:
    first = [channel for channel in ANY_ORDER if channel in channels]
    return first + [channel for channel in channels if channel not in first]


def _compile_mpp(pool: str, mpp: MppPolicy) -> Fields:
    """A pool for each channel, and a record of its own for the rate of all of them."""
    fields: Fields = {f"{pool}:{channel}": {"limit": n} for channel, n in mpp.ports.items()}
    return fields | ({pool: _compile_rate(mpp)} if mpp.rate_per_s else {})


def _compile_rate(limited: ZonePolicy | MppPolicy | CampaignPolicy | PoolPolicy) -> dict[str, Any]:
    """Rate and burst; `burst` 0 is the launches of one second."""
    second = max(1, -int(-limited.rate_per_s // 1)) if limited.rate_per_s else 0
    strict = {"rate_strict": True} if limited.rate_per_s and limited.rate_strict else {}
    return {"rate_per_s": limited.rate_per_s, "burst": limited.burst or second} | strict


def _compile_campaign(campaign: CampaignPolicy) -> dict[str, Any]:
    allowed = campaign.allowed_pools
    own = {} if allowed is None else {"allowed": list(allowed)}
    return _copy_settings(campaign, "allowed_pools") | own | _compile_rate(campaign)
