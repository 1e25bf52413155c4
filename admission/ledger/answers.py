"""From the script's results to the answers of the API, and from its faults to exceptions."""

import json
import random
from collections.abc import Callable
from typing import Any, Final

from admission.errors import (
    AdmissionError,
    CallerError,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
)
from admission.ledger.memory import PolicyLost, StoredPolicy
from admission.ledger.replies import PlainGrant
from admission.model import Answer, IngestAnswer, Lease

JITTER: Final = 0.25  # part of retry_after_ms that is drawn anew for each denial
LAST: Final = "0"  # the cursor with which Redis ends a scan
_LIMITING: Final = ("reason", "pool", "in_use", "limit", "retry_after_ms")
_MARKS: Final = ("repeated", "shadow", "dry_run")


def public_id(zone: str, private: str) -> str:
    """The id as dialers know it: it carries its zone."""
    return f"{zone}~{private}"


def private_id(public: str) -> str:
    """The id as the ledger knows it."""
    return public.partition("~")[2]


def decided(zone: str, op: dict[str, Any], now: int, result: dict[str, Any]) -> Answer:
    """A grant or a deny to be told to a dialer."""
    answer = admission(zone, op, now, result)
    if answer.get("retry_after_ms"):
        # Dialers that were denied together must not come back together.
        spread = 1 + JITTER * random.random()
        answer["retry_after_ms"] = int(answer["retry_after_ms"] * spread)
    return answer


def plain(zone: str, op: dict[str, Any], now: int, grant: PlainGrant) -> Answer:
    """What `admission` makes of a plain grant, without looking for what it has not."""
    like, room = grant
    channel = like["channel"]
    return {
        "decision": "grant",
        "now": now,
        "request_id": op["request_id"],
        "zone": zone,
        "channel": channel,
        "campaign": op["campaign"],
        "granted": 1,
        "launch_within_ms": like["launch_within_ms"],
        "reservations": [
            {
                "id": public_id(zone, op["id"]),
                "mpp": like.get("mpp"),
                "channel": channel,
                "renew_within_ms": like["renew_within_ms"],
            }
        ],
        "room": room,
        "snapshot": like.get("snapshot"),
    }


def admission(zone: str, op: dict[str, Any], now: int, result: dict[str, Any]) -> Answer:
    """A grant or a deny, in the order of the contract."""
    granted = result["decision"] == "grant"
    answer: Answer = {
        "decision": result["decision"],
        "now": now,
        "request_id": result["request_id"],
        "zone": zone,
        "channel": result["channel"],
        "campaign": op["campaign"],
        "granted": result["granted"],
    }
    if granted:
        answer["launch_within_ms"] = result["launch_within_ms"]
    answer["reservations"] = [_granted(zone, one) for one in result["reservations"]]
    if not granted or "reason" in result:
        answer |= {name: result.get(name) for name in _LIMITING}
    answer["room"], answer["snapshot"] = result.get("room"), result.get("snapshot")
    for name in _MARKS:
        if result.get(name):
            answer[name] = True
    if "waiting" in result:
        answer["waiting"] = result["waiting"]  # for admission.waiting, which takes it out
    if "pools" in result:
        answer["pools"] = [_explained(one) for one in result["pools"]]
    return answer


def _granted(zone: str, one: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "id": public_id(zone, one["id"]),
        "mpp": one.get("mpp"),
        "channel": one["channel"],
        "renew_within_ms": one["renew_within_ms"],
    }
    if "state" in one:
        shown["state"] = one["state"]
    return shown


def _explained(one: dict[str, Any]) -> dict[str, Any]:
    names = ("pool", "limit", "in_use", "headroom", "room", "verdict")
    return {name: one.get(name) for name in names}


def report(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """What became of a report."""
    answer: Answer = {
        "id": public_id(zone, result["id"]),
        "now": now,
        "state": result["state"],
        "repeated": result["repeated"],
    }
    for name in ("renew_within_ms", "adopted"):
        if name in result:
            answer[name] = result[name]
    return answer


def reservation(zone: str, result: dict[str, Any], **head: Any) -> Answer:
    """One reservation, with the names of the API. `head`: what is told of it besides, early."""
    hidden = ("id", "answer_within", "max_call")
    shown = {name: value for name, value in result.items() if name not in hidden}
    first = {"id": public_id(zone, result["id"]), **head, "state": result["state"], "zone": zone}
    tail = {"answer_within_ms": result["answer_within"], "max_call_ms": result["max_call"]}
    return first | shown | tail


def page(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """A page of reservations; `cursor` is null on the last."""
    found = [reservation(zone, one) for one in result["reservations"]]
    cursor = result["cursor"] if result["cursor"] != LAST else None
    return {"now": now, "zone": zone, "cursor": cursor, "reservations": found}


def ingested(now: int, result: dict[str, Any]) -> IngestAnswer:
    """What the ledger made of a snapshot."""
    return IngestAnswer(
        now=now,
        accepted=result["accepted"],
        reason=result.get("reason"),
        pool=result.get("pool"),
        refused=result["refused"] or {},
    )


def lease(now: int, result: dict[str, Any]) -> Lease:
    """Who polls."""
    return Lease(
        now=now,
        token=result.get("token"),
        until=result["until"],
        wanted=result["wanted"],
        idle_ms=result["idle_ms"],
        newest_t0=result["t0"],
    )


def status(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """A zone's status: every pool has every field, null where there is nothing to say."""
    pools = [_pool(one) for one in result["pools"]]
    lists = {"pools": pools, "stats": result["stats"] or {}, "denied": result["denied"] or []}
    return {"zone": zone, "now": now} | result | lists


def _pool(one: dict[str, Any]) -> dict[str, Any]:
    names = ("in_use", "pending", "held", "ceiling", "capacity", "limit", "headroom", "room")
    shown = {"pool": one["pool"]} | {name: one.get(name) for name in names}
    shown["snapshot"] = one.get("snapshot")
    sometimes = ("adaptive_headroom", "set_limit", "set_until", "wildcard")
    return shown | {n: one[n] for n in sometimes if n in one}


def paused(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """What a pause or a resume did; `pool` null: the whole zone."""
    pool = None if result["pool"] == "zone" else result["pool"]
    told = {name: result[name] for name in ("paused", "changed", "version")}
    return {"now": now, "zone": zone, "pool": pool} | told


def limited(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """A limit for a while: `limit` is what counts now."""
    told = {name: result[name] for name in ("pool", "limit", "set_limit", "until")}
    return {"now": now, "zone": zone} | told


def stored_policy(result: dict[str, Any]) -> StoredPolicy:
    """The live policy."""
    return StoredPolicy(
        version=int(result["version"]),
        digest=result["digest"],
        fields=result["fields"],
        source=result["source"],
        paused=json.loads(result["paused"]),
        applied=tuple(result["applied"]),
        secret=result.get("secret", ""),
    )


def audited(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """What was done by hand, newest first. `on` null: the whole zone."""
    return {
        "now": now,
        "zone": zone,
        "entries": [_audited(zone, one) for one in result["entries"] or ()],
    }


def _audited(zone: str, one: dict[str, Any]) -> Answer:
    named = {"zone": None}.get(one["on"], one["on"])
    on = public_id(zone, named) if one["did"] == "end" else named
    told = {name: one[name] for name in ("id", "at", "by", "did")}
    return told | {"on": on, "detail": one["detail"] or {}}


_BEYOND_SCOPE: Final = {
    "id": "this reservation belongs to another campaign",
    "pool": "these credentials do not reach that pool",
}
_FAULTS: Final[dict[str, Callable[[str, str, Any], CallerError]]] = {
    "unknown_campaign": lambda zone, _, name: NotFound(f"zone {zone} knows no campaign {name}"),
    "unknown_pool": lambda zone, _, name: NotFound(f"zone {zone} knows no pool {name}"),
    "unknown_reservation": lambda zone, _, name: NotFound(
        f"no reservation {public_id(zone, name)}"
    ),
    "forbidden": lambda _, field, __: Forbidden(_BEYOND_SCOPE.get(field, _BEYOND_SCOPE["id"])),
    "too_many_pauses": lambda _, __, most: Conflict(f"{most} pools are paused: resume one first"),
    "min_count_above_burst": lambda _, field, pool: _wrong(
        field, f"is more than the burst of {pool}: its rate never lets so many through at once"
    ),
    "pool_not_allowed": lambda _, field, name: _wrong(
        field, f"{name} is not open to this campaign"
    ),
    "unknown_channel": lambda zone, field, name: _wrong(field, f"zone {zone} has no {name}"),
    "unknown_application": lambda zone, field, name: _wrong(field, f"zone {zone} has no {name}"),
    "unknown_mpp": lambda _, field, name: _wrong(field, f"{name} is not an MPP for this request"),
}


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(FieldError(field=field, message=message))


def unusable(zone: str, error: str) -> AdmissionError:
    """The exception for a call that did nothing at all."""
    if error == "no_policy":
        return Unavailable(f"zone {zone} has no policy yet")
    return Unavailable(f"zone {zone} was written by another version of this service: {error}")


def exception(zone: str, result: dict[str, Any]) -> AdmissionError:
    """The exception for a fault of one operation."""
    code, field, value = result["error"], result.get("field", ""), result.get("value")
    if code == "conflict" and field == "request_id":
        return Conflict(f"request_id {value} came before with another body")
    if code == "conflict":
        return Conflict(f"the live policy is version {value}")
    if code == "lost":
        return PolicyLost(f"the policy of zone {zone} was lost and is being restored")
    if code in _FAULTS:
        return _FAULTS[code](zone, field, value)
    return AdmissionError("the ledger failed")
