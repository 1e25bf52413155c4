"""Reports: launched, renew, end, and the adoption of what was forgotten."""

from dataclasses import replace
from typing import Any

from tests.oracle import learned
from tests.oracle.circuit_breaker import record_outcome
from tests.oracle.effects import expire, leave_by_expiry, release
from tests.oracle.expiry import get_recheck_time
from tests.oracle.names import mpp_pools, name_error, pools_of
from tests.oracle.policy import kind
from tests.oracle.pools import held_in, in_use, lower_headroom, snapshot
from tests.oracle.state import Reservation, Zone

Answer = dict[str, Any]
UNKNOWN: Answer = {"error": "unknown_reservation", "field": "id"}
FORBIDDEN: Answer = {"error": "forbidden", "field": "id"}


def report(zone: Zone, op: dict[str, Any]) -> Answer:
    """One report about one reservation."""
    one = zone.reservations.get(op["id"])
    if one is None and not op.get("adopt"):
        return write_tombstone(zone, op)
    if one is not None and one.campaign is None:
        return dict(UNKNOWN)
    if is_out_of_scope(op, one.campaign if one else op["adopt"]["campaign"]):
        return dict(FORBIDDEN)
    if one is not None and one.state == "live" and zone.now > one.deadline:
        one = expire(zone, one)
    if one is None or (one.state == "expired" and op.get("adopt")):
        return adopt(zone, op, one)
    if one.state != "live":
        repeated = op["op"] == "end" and one.public_state == "ended"
        return {"id": one.id, "state": one.public_state, "repeated": repeated}
    return answer(zone, *APPLY[op["op"]](zone, op, one))


def write_tombstone(zone: Zone, op: dict[str, Any]) -> Answer:
    """An unknown id. After its `end` a late report shall not bring it to life."""
    if op["op"] == "end" and may_be_unknown(zone, op, *longest_times(zone)):
        keep_until = zone.now + zone.policy.ms("retention")
        zone.put(Reservation(id=op["id"], state="ended", due_at=keep_until))
    return dict(UNKNOWN)


def longest_times(zone: Zone) -> tuple[int, int]:
    """How long a reservation lives without a report, by the zone's policy."""
    return zone.policy.ms("answer_within"), zone.policy.ms("max_call")


def may_be_unknown(zone: Zone, op: dict[str, Any], *within: int) -> bool:
    """Whether a loss explains that an id which this service issued is unknown."""
    return not op.get("unproved") and zone.now <= zone.recovered_from + max(within)


UNSEEN_MAX = 1000


def has_unit(zone: Zone, campaign: str, pools: list[str]) -> bool:
    """Whether a campaign can have held one more unit of each pool."""
    return all(
        in_use(zone, pool) + reserved_for_others(zone, campaign, pool) < most_ever(zone, pool)
        for pool in pools
        if kind(pool) != "mpp" and pool != "mpps"
    )


def most_ever(zone: Zone, pool: str) -> int:
    """The most units of a pool that policy and the platform know."""
    newest = snapshot(zone, pool)
    totals = [zone.policy.capacity(pool), newest.total if newest else None]
    return min([n for n in totals if n is not None], default=unseen(pool))


def unseen(pool: str) -> int:
    """The bound of a pool whose size is unknown."""
    return UNSEEN_MAX if kind(pool) == "channel" else 2**53


def reserved_for_others(zone: Zone, campaign: str, pool: str) -> int:
    """Unused guarantees of other campaigns, unless this one has a unit of its own guarantee."""
    guarantees = zone.policy.guarantees()
    is_guaranteed = pool == zone.policy.zone.get("guaranteed")
    if not is_guaranteed or sum(guarantees.values()) > most_ever(zone, pool):
        return 0
    unused = {
        name: max(0, n - sum(one.campaign == name for one in zone.holders(pool)))
        for name, n in guarantees.items()
    }
    return 0 if unused.get(campaign) else sum(unused.values())


def is_out_of_scope(op: dict[str, Any], campaign: str | None) -> bool:
    """Whether the caller may not touch reservations of this campaign."""
    return op.get("scope") is not None and campaign not in op["scope"]


def answer(zone: Zone, one: Reservation, repeated: bool) -> Answer:
    """What a report answers on a reservation that was live."""
    shown: Answer = {"id": one.id, "state": one.public_state, "repeated": repeated}
    return shown | ({"renew_within_ms": one.deadline - zone.now} if one.state == "live" else {})


def adopt(zone: Zone, op: dict[str, Any], known: Reservation | None) -> Answer:
    """Take over a reservation from its dialer's memory: pending, unchecked."""
    restated = {**op["adopt"], "mpp": get_mpp_of_report(zone, op)}
    if known and known.campaign != restated["campaign"]:
        return dict(FORBIDDEN)
    error = name_error(zone, restated, any_channel=False)
    if error:
        return error
    policy = zone.policy
    pools = pools_of(zone, restated, restated["channel"], restated["mpp"])
    taken = bool(op.get("port_taken"))
    claim = 0 if taken else policy.ms("launch_within") + policy.ms("claim_within")
    one = Reservation(
        id=op["id"],
        campaign=restated["campaign"],
        channel=restated["channel"],
        mpp=restated["mpp"],
        pools=tuple(pools),
        request=known.request if known else None,
        request_id=known.request_id if known else None,
        owner=known.owner if known else None,
        session=known.session if known else None,
        adopted=True,
        answer_within=policy.within("answer_within", restated["campaign"], pools),
        max_call=policy.within("max_call", restated["campaign"], pools),
        granted_at=zone.now,
        visible_by=zone.now + claim,
    )
    explained = known or may_be_unknown(zone, op, one.answer_within, one.max_call)
    if not explained or not has_unit(zone, one.campaign or "", pools):
        return refuse_adoption(known)
    one = until(zone, one, zone.now + (one.max_call if taken else one.answer_within))
    join(zone, one)
    adopted, _ = APPLY[op["op"]](zone, op, one)
    return answer(zone, adopted, False) | {"adopted": True}


def refuse_adoption(known: Reservation | None) -> Answer:
    """The answer to a call that is not adopted: its expired reservation stays expired."""
    if known is None:
        return dict(UNKNOWN)
    return {"id": known.id, "state": known.public_state, "repeated": False}


def join(zone: Zone, one: Reservation) -> None:
    """One more reservation holds its pools."""
    for pool in one.pools:
        if kind(pool) == "channel":
            lower_headroom(zone, pool)


def get_mpp_of_report(zone: Zone, op: dict[str, Any]) -> str | None:
    """The MPP of an adopted call: as reported, else as restated; an unknown one is ignored."""
    named = (op.get("mpp"), op["adopt"].get("mpp"))
    return next((mpp for mpp in named if mpp in zone.policy.mpps()), None)


def until(zone: Zone, one: Reservation, deadline: int, **changes: Any) -> Reservation:
    """Store a reservation that lives until `deadline`."""
    return zone.put(one, deadline=deadline, due_at=deadline, **changes)


def launched(zone: Zone, op: dict[str, Any], one: Reservation) -> tuple[Reservation, bool]:
    """The call was launched, maybe its port is known to be taken."""
    before = one
    learned.note_launch(zone, one, bool(op.get("port_taken")))
    one = replace(
        one,
        session=one.session or op.get("session"),
        launched_at=one.launched_at if one.launched_at is not None else zone.now,
    )
    one = move(zone, one, op.get("mpp"))
    if op.get("port_taken") or not zone.rules.launched_needs_port:
        outcome = None if one.outcome == "unknown" else one.outcome
        one = replace(one, taken=True, outcome=outcome, visible_by=min(one.visible_by, zone.now))
    elif one.claim_within is not None:
        claim_within = one.claim_within if zone.rules.launch_has_claim_time else 0
        one = replace(one, visible_by=min(one.visible_by, zone.now + claim_within))
    repeated = one == before
    if one.taken and op.get("port_taken"):
        return until(zone, one, zone.now + one.max_call, reported_at=zone.now), repeated
    return zone.put(one, reported_at=zone.now), repeated


def move(zone: Zone, one: Reservation, mpp: str | None) -> Reservation:
    """The platform placed the call on another MPP than booked."""
    if mpp not in zone.policy.mpps() or mpp == one.mpp:
        return one
    old, new = mpp_pools(zone, one.channel, one.mpp), mpp_pools(zone, one.channel, mpp)
    leave_by_expiry(zone, one, tuple(old[:1]))
    join = zone.snapshots.get(new[0])
    if join and join.ceiling is not None and held_in(zone, one, new[0]):
        zone.snapshots[new[0]] = replace(join, ceiling=join.ceiling + 1)
    kept = [pool for pool in one.pools if pool not in old]
    return replace(one, mpp=mpp, pools=(*kept, *new))


def renew(zone: Zone, op: dict[str, Any], one: Reservation) -> tuple[Reservation, bool]:
    """The call is still up."""
    outcome = None if one.outcome == "unknown" else one.outcome
    deadline = max(one.deadline, zone.now + (one.max_call if one.taken else one.answer_within))
    return until(zone, one, deadline, outcome=outcome, reported_at=zone.now), False


def end(zone: Zone, op: dict[str, Any], one: Reservation) -> tuple[Reservation, bool]:
    """The call ended, was never launched, or was given up."""
    if op["outcome"] == "unknown":
        repeated = one.outcome == "unknown"
        due_at = one.due_at if repeated else get_recheck_time(zone, one)
        return zone.put(one, outcome="unknown", reported_at=zone.now, due_at=due_at), repeated
    ended_at = op.get("ended_at")
    if ended_at is not None and ended_at > zone.now:
        ended_at = None
    one = replace(one, outcome=op["outcome"], ended_at=ended_at, reported_at=zone.now)
    record_outcome(zone, one)
    wait = zone.policy.ms("release_within")
    if not wait:
        return release(zone, one), False
    return zone.put(one, state="releasing", due_at=zone.now + wait), False


APPLY = {"launched": launched, "renew": renew, "end": end}
