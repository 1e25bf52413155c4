"""Names in a request: which of them policy does not know, and the pools that follow from them."""

from collections.abc import Iterator
from math import inf
from typing import Any

from tests.oracle.policy import kind
from tests.oracle.pools import in_use, limit
from tests.oracle.state import Zone

Fields = dict[str, Any]


def name_error(zone: Zone, request: Fields, *, any_channel: bool) -> dict[str, Any] | None:
    """The first name of a request that policy does not know or allow."""
    for code, field, wrong in wrong_names(zone, request, any_channel=any_channel):
        if wrong:
            return {"error": code, "field": field}
    return None


def wrong_names(
    zone: Zone, request: Fields, *, any_channel: bool
) -> Iterator[tuple[str, str, bool]]:
    """Each check of a name, in order: code, field, whether it fails."""
    policy = zone.policy
    wild = any_channel and request["channel"] == "any"
    yield "unknown_channel", "channel", not wild and request["channel"] not in policy.channels()
    campaign = policy.campaign(request["campaign"])
    yield "unknown_campaign", "campaign", campaign is None
    for pool in request.get("pools") or []:
        yield "unknown_pool", "pools", policy.named(pool) is None
        yield "pool_not_allowed", "pools", not is_allowed(campaign or {}, pool)
    application = request.get("application")
    unknown = application is not None and policy.application(application) is None
    yield "unknown_application", "application", unknown
    mpp = request.get("mpp")
    yield "unknown_mpp", "mpp", mpp is not None and mpp not in placeable(zone, request)


def is_allowed(campaign: dict[str, Any], pool: str) -> bool:
    """Whether a campaign may name a pool: exactly, by its kind, or as its calls hold it anyway."""
    allowed = campaign.get("allowed")
    if pool in (campaign.get("pools") or []):
        return True
    return allowed is None or pool in allowed or f"{kind(pool)}:*" in allowed


def placeable(zone: Zone, request: Fields) -> list[str]:
    """The MPPs that may place the call, in policy order."""
    own = (zone.policy.application(request.get("application") or "") or {}).get("mpps")
    return [mpp for mpp in zone.policy.mpps() if not own or mpp in own]


def mpp_of(zone: Zone, request: Fields, channel: str) -> str | None:
    """The MPP of a request, None when the platform chooses."""
    own = (zone.policy.application(request.get("application") or "") or {}).get("mpps")
    if request.get("mpp"):
        return str(request["mpp"])
    if own and len(own) == 1:
        return str(own[0])
    if zone.policy.zone.get("placement") != "controller":
        return None
    return max(placeable(zone, request), key=lambda m: get_free_on(zone, m, channel), default=None)


def get_free_on(zone: Zone, mpp: str, channel: str) -> float:
    """Free ports of an MPP for one channel; one that is paused comes last."""
    pool = f"mpp:{mpp}:{channel}"
    if pool in zone.paused or f"mpp:{mpp}" in zone.paused:
        return -inf
    return (limit(zone, pool) or 0) - in_use(zone, pool)


def pools_of(zone: Zone, request: Fields, channel: str, mpp: str | None) -> list[str]:
    """Every pool that one call of this request occupies, in order, no doubles."""
    campaign = request["campaign"]
    pools = [f"channel:{one}" for one in zone.policy.taken_by(channel)]
    pools += mpp_pools(zone, channel, mpp)
    pools += [f"campaign:{campaign}"]
    pools += (zone.policy.campaign(campaign) or {}).get("pools") or []
    pools += request.get("pools") or []
    return list(dict.fromkeys(pools))


def mpp_pools(zone: Zone, channel: str | None, mpp: str | None) -> list[str]:
    """The pools of a call on a known MPP."""
    return [f"mpp:{mpp}:{channel}", "mpps"] if mpp and zone.policy.mpps() else []
