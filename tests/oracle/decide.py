"""Admit: replay, candidates, checks, grant or deny."""

from dataclasses import dataclass
from typing import Any

from admission.domain.outcomes import Reason
from tests.oracle.checks import ABOUT_ROOM, Check, Claim, get_used_and_limit, run
from tests.oracle.circuit_breaker import start_probe
from tests.oracle.fairness import (
    MAKES_CONTEND,
    add_unmet_demand,
    can_ever_satisfy,
    get_contended_pool,
    shorten_other_demand,
)
from tests.oracle.names import mpp_of, name_error, pools_of
from tests.oracle.pools import headroom, in_use, limit, public_room, room, snapshot
from tests.oracle.rate_limit import burst, consume, rated
from tests.oracle.reports import join
from tests.oracle.state import Request, Reservation, Zone

Answer = dict[str, Any]
CONFLICT: Answer = {"error": "conflict", "field": "request_id"}
# A newer snapshot may end these: the poller should come sooner.
ENDED_BY_SNAPSHOT = tuple(reason for reason in Reason if reason.facts.ended_by_snapshot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One channel: the units it gives, and the check that lowered them last."""

    channel: str
    mpp: str | None
    pools: list[str]
    gives: int
    limiting: Check | None = None

    @property
    def reason(self) -> str | None:
        """Why it gives no more."""
        return self.limiting.reason if self.limiting else None


def admit(zone: Zone, op: dict[str, Any]) -> Answer:
    """*May I launch?*"""
    zone.admitted_at = zone.now
    op = {"channel": zone.policy.channels()[0], "count": 1, "min_count": 1, **op}
    record = zone.requests.get(f"{op['campaign']}/{op['request_id']}")
    if record and not op.get("dry_run"):
        return replay(zone, op, record) if record.body == op["body"] else dict(CONFLICT)
    error = name_error(zone, op, any_channel=True)
    if error:
        return error
    wait_ms = None if op.get("dry_run") else find_records_wait(zone, op)
    if wait_ms is not None:
        return {"error": "too_many_records", "field": "campaign", "value": wait_ms}
    chosen = choose(zone, op)
    if any(op["min_count"] > burst(zone, pool) for pool in rated(zone, chosen.pools)):
        return {"error": "min_count_above_burst", "field": "min_count"}
    if not op.get("dry_run"):
        note_denial(zone, op, chosen)
    answer = decide(zone, op, chosen)
    if op.get("dry_run"):
        answer["dry_run"] = True
    if op.get("explain"):
        answer["pools"] = [explain(zone, op, pool) for pool in chosen.pools if pool != "mpps"]
    return answer


RECORDS_PART = 4


def find_records_wait(zone: Zone, op: dict[str, Any]) -> int | None:
    """In how many ms so many reservations may be stored; None: now."""
    most = int(zone.policy.zone.get("max_records") or 1_000_000)
    if zone.stored is None:
        zone.stored = len(zone.reservations) + 1  # the script's hash is never empty
    units, stored = op["count"], zone.stored
    if 2 * (stored + units) <= most:
        return None
    if stored + units > most:
        return 1000
    length = max(1, zone.policy.ms("retention"))
    period, made = zone.now // length, made_by(zone, op["campaign"])
    return (
        (period + 1) * length - zone.now if RECORDS_PART * (made + units) > most - stored else None
    )


def made_by(zone: Zone, campaign: str) -> int:
    """Reservations of a campaign in this period, counted while the zone stores many."""
    period = zone.now // max(1, zone.policy.ms("retention"))
    last, made = zone.made.get(campaign, (period, 0))
    return made if last == period else 0


def count_made(zone: Zone, op: dict[str, Any], units: int) -> None:
    """Count reservations of this call, and those of a campaign if the zone stores many."""
    most = int(zone.policy.zone.get("max_records") or 1_000_000)
    if 2 * ((zone.stored or 0) + op["count"]) > most:
        period = zone.now // max(1, zone.policy.ms("retention"))
        zone.made[op["campaign"]] = (period, made_by(zone, op["campaign"]) + units)
    if zone.stored is not None:
        zone.stored += units


SHADOW_MIN, SHADOW_PART, SHADOW_ALL = 100, 2, 10


def may_grant_in_shadow(zone: Zone, op: dict[str, Any], chosen: Candidate) -> bool:
    """Whether a denial is answered as a grant: not far beyond what a platform can hold."""
    channel = f"channel:{chosen.channel}"
    ports = limit(zone, channel) or 0
    campaign = in_use(zone, f"campaign:{op['campaign']}") + op["count"]
    return campaign <= max(SHADOW_MIN, SHADOW_PART * ports) and in_use(zone, channel) + op[
        "count"
    ] <= SHADOW_ALL * max(SHADOW_MIN, ports)


def decide(zone: Zone, op: dict[str, Any], chosen: Candidate) -> Answer:
    """A grant or a denial. In shadow mode a denial is a grant of all, which consumes no rate."""
    if chosen.gives:
        if not op.get("dry_run"):
            consume(zone, chosen.pools, chosen.gives)
        return grant(zone, op, chosen, chosen.gives)
    is_shadow = zone.policy.zone.get("shadow") and not op.get("dry_run")
    if is_shadow and may_grant_in_shadow(zone, op, chosen):
        return (
            grant(zone, op, chosen, op["count"]) | describe_denial(zone, chosen) | {"shadow": True}
        )
    return deny(zone, op, chosen)


def note_denial(zone: Zone, op: dict[str, Any], chosen: Candidate) -> None:
    """Note a denial or partial grant: a snapshot is wanted, the campaign contends."""
    why = chosen.limiting
    if why is None:
        return
    if why.reason in ENDED_BY_SNAPSHOT:
        zone.wanted = True
    pool = None
    if why.reason in MAKES_CONTEND and why.pool is not None:
        pool = get_contended_pool(why.pool, chosen.channel, chosen.mpp)
    if pool and not can_ever_satisfy(zone, chosen.pools, op["campaign"], op["min_count"]):
        pool = None
    if not chosen.gives:
        shorten_other_demand(zone, [one for one in chosen.pools if one != pool], op["campaign"])
    if pool:
        add_unmet_demand(
            zone,
            pool,
            op["campaign"],
            units=op["count"] - chosen.gives,
            retry_ms=why.retry_ms or 0,
            by_rate=why.reason == "rate_limited",
        )


def choose(zone: Zone, op: dict[str, Any]) -> Candidate:
    """The first channel that gives all, else the one that gives most."""
    channels = zone.policy.zone["any"] if op["channel"] == "any" else [op["channel"]]
    tried = [candidate(zone, op, channel) for channel in channels]
    most = max(one.gives for one in tried)
    return next(one for one in tried if one.gives == most) if most else tried[-1]


def candidate(zone: Zone, op: dict[str, Any], channel: str) -> Candidate:
    """What one channel gives."""
    mpp = mpp_of(zone, op, channel)
    pools = pools_of(zone, op, channel, mpp)
    count, min_count = op["count"], op["min_count"]
    claim = Claim(campaign=op["campaign"], count=count, min_count=min_count, pools=pools)
    gives, limiting = run(zone, claim)
    return Candidate(channel=channel, mpp=mpp, pools=pools, gives=gives, limiting=limiting)


def grant(zone: Zone, op: dict[str, Any], chosen: Candidate, units: int) -> Answer:
    """Book the units and return the grant."""
    made = [] if op.get("dry_run") else book(zone, op, chosen, units)
    launch_within = zone.policy.ms("launch_within")
    answer: Answer = {
        "decision": "grant",
        "granted": units,
        "channel": chosen.channel,
        "request_id": op["request_id"],
        "launch_within_ms": zone.now + launch_within - op.get("seen", zone.now),
        "reservations": [show_granted(one) for one in made],
        **describe_room(zone, chosen.channel, chosen.pools),
    }
    return answer | describe_denial(zone, chosen) if units < op["count"] else answer


def book(zone: Zone, op: dict[str, Any], chosen: Candidate, units: int) -> list[Reservation]:
    """One reservation for each unit, and the record of the request."""
    count_made(zone, op, units)
    start_probe(zone, chosen.pools)
    ids = [op["id"]] + [f"{op['id']}.{n}" for n in range(2, units + 1)]
    request = f"{op['campaign']}/{op['request_id']}"
    zone.requests[request] = Request(
        body=op["body"],
        channel=chosen.channel,
        granted_at=zone.now,
        launch_within=zone.policy.ms("launch_within"),
        answer_within=zone.policy.within("answer_within", op["campaign"], chosen.pools),
        mpp=chosen.mpp,
        ids=tuple(ids),
    )
    return [reserve(zone, op, chosen, id_, request) for id_ in ids]


def reserve(
    zone: Zone, op: dict[str, Any], chosen: Candidate, id_: str, request: str
) -> Reservation:
    """One live reservation."""
    policy = zone.policy
    application = policy.application(op.get("application") or "") or {}
    claim_within = application.get("claim_within", policy.ms("claim_within"))
    answer_within = policy.within("answer_within", op["campaign"], chosen.pools)
    one = Reservation(
        id=id_,
        campaign=op["campaign"],
        channel=chosen.channel,
        mpp=chosen.mpp,
        owner=op.get("owner"),
        pools=tuple(chosen.pools),
        request=request,
        request_id=op["request_id"],
        answer_within=answer_within,
        max_call=policy.within("max_call", op["campaign"], chosen.pools),
        granted_at=zone.now,
        visible_by=zone.now + policy.ms("launch_within") + claim_within,
        deadline=zone.now + answer_within,
        due_at=zone.now + answer_within,
        claim_within=claim_within,
    )
    join(zone, one)
    return zone.put(one)


def show_granted(one: Reservation) -> Answer:
    """A reservation as its grant returns it."""
    return {
        "id": one.id,
        "mpp": one.mpp,
        "channel": one.channel,
        "renew_within_ms": one.answer_within,
    }


def replay(zone: Zone, op: dict[str, Any], record: Request) -> Answer:
    """The first grant again."""
    found = [zone.reservations.get(id_) for id_ in record.ids]
    known = [one for one in found if one and one.campaign]
    left = record.granted_at + record.launch_within - op.get("seen", zone.now)
    return {
        "decision": "grant",
        "repeated": True,
        "granted": len(record.ids),
        "channel": record.channel,
        "request_id": op["request_id"],
        "launch_within_ms": left if any(one.state == "live" for one in known) else 0,
        "reservations": [
            show_replayed(zone, record, id_, one)
            for id_, one in zip(record.ids, found, strict=True)
        ],
        **describe_room(zone, record.channel, list(known[0].pools) if known else []),
    }


def show_replayed(zone: Zone, record: Request, id_: str, one: Reservation | None) -> Answer:
    """One of the first grant's reservations; a forgotten one has ended."""
    return {
        "id": id_,
        "channel": record.channel,
        "mpp": one.mpp if one and one.mpp else record.mpp,
        "renew_within_ms": record.answer_within,
        "state": one.public_state if one else "ended",
    }


def deny(zone: Zone, op: dict[str, Any], chosen: Candidate) -> Answer:
    """Return the reason."""
    return {
        "decision": "deny",
        "granted": 0,
        "channel": op["channel"],
        "request_id": op["request_id"],
        "reservations": [],
        **describe_denial(zone, chosen),
        **describe_room(zone, chosen.channel, chosen.pools),
    }


def describe_denial(zone: Zone, chosen: Candidate) -> Answer:
    """The limiting check, its pool, and when to ask again."""
    why = chosen.limiting
    if why is None:
        return {}
    answer: Answer = {"reason": why.reason, "pool": why.pool, "retry_after_ms": why.retry_ms}
    if why.pool and why.reason in ABOUT_ROOM:
        used, most = get_used_and_limit(zone, why.reason, why.pool)
        answer |= {"in_use": used, "limit": most}
    return answer


def describe_room(zone: Zone, channel: str, pools: list[str]) -> Answer:
    """Room after the decision, and the snapshot behind it."""
    units = [free for pool in pools if (free := room(zone, pool)) is not None]
    newest = snapshot(zone, f"channel:{channel}")
    answer: Answer = {"room": max(0, min(units)) if units else None, "snapshot": None}
    if newest and newest.total is not None:
        age_ms = zone.now - newest.t0
        answer["snapshot"] = {"age_ms": age_ms, "total": newest.total, "unused": newest.unused}
    return answer


def explain(zone: Zone, op: dict[str, Any], pool: str) -> Answer:
    """One pool's numbers, and the first reason it alone gives for one unit, rates left out."""
    alone = Claim(campaign=op["campaign"], count=1, min_count=1, pools=[pool], rates=False)
    gives, limiting = run(zone, alone)
    return {
        "pool": pool,
        "limit": limit(zone, pool),
        "in_use": in_use(zone, pool),
        "headroom": headroom(zone, pool),
        "room": public_room(zone, pool),
        "verdict": limiting.reason if limiting and not gives else "ok",
    }
