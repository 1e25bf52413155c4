"""What must hold between the parts of a zone's policy: each rule yields what breaks it."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from admission.explain import Place, Problem, did_you_mean
from admission.policy_parts import MPP_WORDS, CampaignPolicy, MppPolicy

if TYPE_CHECKING:
    from admission.policy_zone import ZonePolicy


def check(policy: "ZonePolicy") -> Iterator[Problem]:
    """Every broken rule of a policy whose parts are sound by themselves."""
    yield from _sources(policy)
    yield from _channels(policy)
    yield from _static_capacity(policy)
    yield from _mpps(policy)
    yield from _pools(policy)
    yield from _guarantees(policy)
    yield from _polling(policy)
    yield from _deadlines(policy)


def _sources(policy: "ZonePolicy") -> Iterator[Problem]:
    if policy.source is None and policy.sources is None:
        yield Problem(place=("source",), message="is required: a source's name, push or static")
    if policy.source is not None and policy.sources is not None:
        yield Problem(place=("sources",), message="must not be given together with source")


def _channels(policy: "ZonePolicy") -> Iterator[Problem]:
    if "any" in policy.channels:
        message = "must not contain any: that word asks for whichever channel has room"
        yield Problem(place=("channels",), message=message)
    for word in MPP_WORDS:
        if word in policy.channels:
            message = f"must not contain {word}: an MPP's table has that word for something else"
            yield Problem(place=("channels",), message=message)
    named: list[tuple[Place, str]] = [(("capacity", name), name) for name in policy.capacity]
    for channel, taken in policy.call_takes.items():
        # What a channel that this zone does not have would take is no error: zones are copied.
        if channel not in policy.channels:
            continue
        named += [(("call_takes", channel, i), name) for i, name in enumerate(taken)]
    for place, name in named:
        yield from _known(place, name, policy.channels, "a channel of this zone")
    for name, mpp in policy.mpps.items():
        yield from _ports(("mpps", name), mpp, policy.channels)


def _ports(place: Place, mpp: MppPolicy, channels: Collection[str]) -> Iterator[Problem]:
    for name in mpp.ports:
        if name not in channels:
            hint = did_you_mean(name, [*channels, *MPP_WORDS])
            yield Problem(
                place=(*place, name), message=f"{name} is not a channel of this zone{hint}"
            )


def _static_capacity(policy: "ZonePolicy") -> Iterator[Problem]:
    if "static" not in policy.source_names:
        return
    for channel in policy.channels:
        if channel not in policy.capacity:
            message = "is required: a static zone has no other measure of its ports"
            yield Problem(place=("capacity", channel), message=message)


def _mpps(policy: "ZonePolicy") -> Iterator[Problem]:
    if policy.placement == "controller" and not policy.mpps:
        message = "must not be controller in a zone without mpps: there is nothing to choose from"
        yield Problem(place=("placement",), message=message)
    for name, application in policy.applications.items():
        for i, mpp in enumerate(application.mpps):
            place = ("applications", name, "mpps", i)
            yield from _known(place, mpp, policy.mpps, "an MPP of this zone")


def _pools(policy: "ZonePolicy") -> Iterator[Problem]:
    wildcards = {pool for pool in policy.pools if pool.endswith(":*")}
    kinds = {f"{pool.partition(':')[0]}:*" for pool in policy.pools}
    for name, campaign in policy.campaigns.items():
        for place, pool in _pools_of(name, campaign):
            # `agent:*` may be allowed as soon as any agent is configured.
            if _kind(pool) not in wildcards and pool not in kinds:
                yield from _known(place, pool, policy.pools, "a pool of this zone")


def _guarantees(policy: "ZonePolicy") -> Iterator[Problem]:
    others = policy.campaigns.get("*")
    if others and others.guarantee:
        message = "must not be given to *: nobody knows how many campaigns that would be"
        yield Problem(place=("campaigns", "*", "guarantee"), message=message)


def _pools_of(name: str, campaign: CampaignPolicy) -> Iterator[tuple[Place, str]]:
    for key, pools in (("pools", campaign.pools), ("allowed_pools", campaign.allowed_pools or ())):
        for i, pool in enumerate(pools):
            yield ("campaigns", name, key, i), pool


def _kind(pool: str) -> str:
    return f"{pool.partition(':')[0]}:*"


def _known(place: Place, name: str, known: Collection[str], what: str) -> Iterator[Problem]:
    if name not in known:
        message = f"{name} is not {what}{did_you_mean(name, known)}"
        yield Problem(place=place, message=message)


def _polling(policy: "ZonePolicy") -> Iterator[Problem]:
    if policy.poll_min_ms > policy.poll_interval_ms:
        message = f"must not be larger than poll_interval_ms, {policy.poll_interval_ms}"
        yield Problem(place=("poll_min_ms",), message=message)
    if policy.poll_interval_ms >= policy.max_age_ms:
        message = (
            f"must be less than max_age_ms, {policy.max_age_ms}: "
            "each snapshot would be stale before the next"
        )
        yield Problem(place=("poll_interval_ms",), message=message)


def _deadlines(policy: "ZonePolicy") -> Iterator[Problem]:
    """A reservation must not expire while its port may still be taken unseen."""
    claim, whose = _largest_claim(policy)
    least = policy.launch_within_ms + claim + policy.visibility_lag_ms + policy.max_age_ms
    for place, value in _all_deadlines(policy):
        if value is not None and value <= least:
            message = (
                f"must be greater than launch_within_ms + claim_within_ms{whose} + "
                f"visibility_lag_ms + max_age_ms = {least}: "
                "an expiry while pending would free a port that is taken"
            )
            yield Problem(place=place, message=message)


def _largest_claim(policy: "ZonePolicy") -> tuple[int, str]:
    largest, whose = policy.claim_within_ms, ""
    for name, application in policy.applications.items():
        if application.claim_within_ms is not None and application.claim_within_ms > largest:
            largest, whose = application.claim_within_ms, f" (of application {name})"
    return largest, whose


def _all_deadlines(policy: "ZonePolicy") -> Iterator[tuple[Place, int | None]]:
    for key in ("answer_within_ms", "max_call_ms"):
        yield (key,), getattr(policy, key)
        for name, campaign in policy.campaigns.items():
            yield ("campaigns", name, key), getattr(campaign, key)
        for name, pool in policy.pools.items():
            yield ("pools", name, key), getattr(pool, key)
