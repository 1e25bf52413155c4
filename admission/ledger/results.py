"""Results of the script as answers of the API."""

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from admission.domain import Answer, IngestAnswer, Lease
from admission.ledger import learning
from admission.ledger.policy_cache import Secrets, StoredPolicy

JITTER: Final = 0.25  # random part of retry_after_ms, drawn for each denial

LAST: Final = "0"  # cursor of Redis at the end of a scan

_LIMITING: Final = ("reason", "pool", "in_use", "limit", "retry_after_ms")

_MARKS: Final = ("repeated", "shadow", "dry_run")

# The names of the ledger and those of the API, where they differ.
_RESERVATION_NAMES: Final = {
    "session": "session_id",
    "taken": "port_taken",
    "answer_within": "answer_within_ms",
    "max_call": "max_call_ms",
    "claim_within": "claim_within_ms",
}
_AUDIT_NAMES: Final = {"id": "id", "at": "time", "by": "actor", "did": "action"}


# What an operator does about what was set aside (docs/runbook.md, AdmissionEntriesSetAside).
_ENTRY_ADVICE: Final = {
    "reservation": "its call is no longer counted: its port is free once a snapshot shows it free",
    "request": "a repeat of this request is decided anew: nothing to do",
    "pool": "its count was rebuilt from the reservations; set a temporary limit again",
    "share": "it was counted from the reservations: nothing to do",
    "waiter": "the request waits again after its next attempt: nothing to do",
}
_KEY_ADVICE: Final = {
    "zone": "the zone recovered with a new clock; leases and recoveries began anew",
    "res": "all reservations were lost: the zone recovered, dialers restate their calls",
    "req": "repeats of earlier requests are decided anew: nothing to do",
    "pools": "counts were rebuilt from the reservations; set temporary limits again",
    "policy": "replicas restored the policy that they saw last: compare its version",
    "stats": "counters began at 0: nothing to do",
    "audit": "the audit log began anew: keep the key that was set aside",
    "": "it was rebuilt: nothing to do",
}


Result = dict[str, Any]


class PlainGrant(NamedTuple):
    """One launch that was granted in full: nearly every result.

    Args:
        shared: the fields that it shares with other grants of the call: `channel`, `mpp`,
            `launch_within_ms`, `renew_within_ms`, `snapshot`.
        room: units left in its tightest pool; None: no pool has a limit.
    """

    shared: dict[str, Any]
    room: int | None


def make_public_id(zone: str, private: str) -> str:
    """The id in the API, which carries its zone."""
    return f"{zone}~{private}"


def parse_private_id(public: str) -> str:
    """The id in the script."""
    return public.partition("~")[2]


def build_jittered_decision(
    zone: str, op: dict[str, Any], now: int, result: dict[str, Any]
) -> Answer:
    """A grant or a denial for a dialer, with a random part in `retry_after_ms`."""
    answer = build_decision(zone, op, now, result)
    if answer.get("retry_after_ms"):
        # Dialers that were denied together must not retry together.
        spread = 1 + JITTER * random.random()
        answer["retry_after_ms"] = int(answer["retry_after_ms"] * spread)
    return answer


def build_plain_grant(zone: str, op: dict[str, Any], now: int, grant: PlainGrant) -> Answer:
    """The answer that `build_decision` gives for a plain grant, without its optional fields."""
    shared, room = grant
    channel = shared["channel"]
    return {
        "decision": "grant",
        "now": now,
        "request_id": op["request_id"],
        "zone": zone,
        "channel": channel,
        "campaign": op["campaign"],
        "granted": 1,
        "launch_within_ms": shared["launch_within_ms"],
        "reservations": [
            {
                "id": make_public_id(zone, op["id"]),
                "mpp": shared.get("mpp"),
                "channel": channel,
                "renew_within_ms": shared["renew_within_ms"],
            }
        ],
        "room": room,
        "snapshot": shared.get("snapshot"),
    }


def build_decision(zone: str, op: dict[str, Any], now: int, result: dict[str, Any]) -> Answer:
    """A grant or a denial, its fields in the order of the API."""
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
    answer["reservations"] = [_build_granted(zone, one) for one in result["reservations"]]
    if not granted or "reason" in result:
        answer |= {name: result.get(name) for name in _LIMITING}
    answer["room"], answer["snapshot"] = result.get("room"), result.get("snapshot")
    for name in _MARKS:
        if result.get(name):
            answer[name] = True
    if "waiting" in result:
        answer["waiting"] = result["waiting"]  # the wait coordinator removes it
    if "pools" in result:
        answer["pools"] = [_build_explanation(one) for one in result["pools"]]
    return answer


def _build_granted(zone: str, one: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "id": make_public_id(zone, one["id"]),
        "mpp": one.get("mpp"),
        "channel": one["channel"],
        "renew_within_ms": one["renew_within_ms"],
    }
    if "state" in one:
        shown["state"] = one["state"]
    return shown


def _build_explanation(one: dict[str, Any]) -> dict[str, Any]:
    names = ("pool", "limit", "in_use", "headroom", "room", "verdict")
    return {name: one.get(name) for name in names}


def build_report(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """The answer to a report."""
    answer: Answer = {
        "id": make_public_id(zone, result["id"]),
        "now": now,
        "state": result["state"],
        "repeated": result["repeated"],
    }
    for name in ("renew_within_ms", "adopted"):
        if name in result:
            answer[name] = result[name]
    return answer


def build_reservation(zone: str, result: dict[str, Any], **head: Any) -> Answer:
    """One reservation, with the names of the API. `head`: more fields, after the id."""
    shown = {
        _RESERVATION_NAMES.get(name, name): value for name, value in result.items() if name != "id"
    }
    first = {
        "id": make_public_id(zone, result["id"]),
        **head,
        "state": result["state"],
        "zone": zone,
    }
    return first | shown


def build_page(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """A page of reservations; `cursor` is null on the last."""
    found = [build_reservation(zone, one) for one in result["reservations"]]
    cursor = result["cursor"] if result["cursor"] != LAST else None
    return {"now": now, "zone": zone, "cursor": cursor, "reservations": found}


def read_ingest(now: int, result: dict[str, Any]) -> IngestAnswer:
    """The result of an ingest."""
    return IngestAnswer(
        now=now,
        accepted=result["accepted"],
        reason=result.get("reason"),
        pool=result.get("pool"),
        refused=result["refused"] or {},
    )


def join_ingests(answers: Sequence[IngestAnswer]) -> IngestAnswer:
    """The result of a snapshot that was ingested in parts."""
    first = next((one for one in answers if not one.accepted), answers[0])
    refused = {pool: reason for one in answers for pool, reason in one.refused.items()}
    return IngestAnswer(
        now=answers[-1].now,
        accepted=first.accepted,
        reason=first.reason,
        pool=first.pool,
        refused=refused,
    )


def read_lease(now: int, result: dict[str, Any]) -> Lease:
    """The state of the polling lease."""
    return Lease(
        now=now,
        token=result.get("token"),
        until=result["until"],
        wanted=result["wanted"],
        idle_ms=result["idle_ms"],
        newest_t0=result["t0"],
    )


def build_status(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """A zone's status: every pool once, with every field, null where it has no value."""
    found_pools = {one["pool"]: one for one in result["pools"]}  # a scan may return one twice
    pools = [_build_pool(one, now) for _, one in sorted(found_pools.items())]
    renamed = ("denied", "aside")
    found = {name: value for name, value in result.items() if name not in renamed}
    # An empty object of Lua arrives as an empty list.
    lists = {
        "paused": result["paused"] or {},
        "pools": pools,
        "stats": result["stats"] or {},
        "recent_denials": result["denied"] or [],
        "set_aside": [build_aside_entry(one) for one in result["aside"] or ()],
    }
    return {"zone": zone, "now": now} | found | lists


def _build_pool(one: dict[str, Any], now: int) -> dict[str, Any]:
    names = ("in_use", "pending", "held", "ceiling", "capacity", "limit", "headroom", "room")
    shown = {"pool": one["pool"]} | {name: one.get(name) for name in names}
    shown["snapshot"] = one.get("snapshot")
    if "learned" in one:
        shown["learned"] = _build_learned(one["learned"], now)
    if "adaptive_headroom" in one:
        shown["adaptive_headroom"] = one["adaptive_headroom"]
    if "set_limit" in one:
        shown["temporary_limit"] = one["set_limit"]
        shown["temporary_limit_until"] = one["set_until"]
    if "wildcard" in one:
        shown["wildcard"] = one["wildcard"]
    return shown


def _build_learned(one: dict[str, Any], now: int) -> dict[str, Any]:
    """What was learned of a channel: every field, null while nothing was learned."""
    doubts = one.get("doubts")
    found = learning.describe_learned(one.get("state"), one.get("target"))
    return {
        "in_force": one["in_force"],
        "fallback": one.get("fallback"),
        "ceiling": one.get("ceiling"),
        "doubts": doubts.split(",") if doubts else [],
        "frozen": "frozen_at" in one,
        "pending": one.get("pending"),
        "age_ms": now - one["t0"] if "t0" in one else None,
        **{name: found.get(name) for name in learning.FINDINGS},
        **_build_gain(one.get("wanted_ms", 0), one.get("gain_port_ms", 0)),
    }


def _build_gain(wanted_ms: int, port_ms: int) -> dict[str, Any]:
    """What it would have allowed beyond the proved ceiling (lua/state/learned_gain.lua)."""
    return {
        "gain_ports": round(port_ms / wanted_ms, 2) if wanted_ms else None,
        "gain_port_s": round(port_ms / 1000, 1),
        "wanted_s": round(wanted_ms / 1000, 1),
    }


def build_aside_entry(one: dict[str, Any]) -> Answer:
    """Something that could not be read: what it is, and what an operator does."""
    kind = one["kind"]
    advice = _KEY_ADVICE.get(one["name"].partition(":")[0], _KEY_ADVICE[""])
    shown: Answer = {"kind": kind, "name": one["name"], "reason": "unreadable"}
    if kind == "key":
        shown |= {"reason": f"is a {one['type']}", "moved_to": one["key"]}
    return shown | {"advice": advice if kind == "key" else _ENTRY_ADVICE.get(kind, advice)}


def build_pause(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """The answer to a pause or a resume; `pool` null: the whole zone."""
    pool = None if result["pool"] == "zone" else result["pool"]
    fields = {name: result[name] for name in ("paused", "changed", "version")}
    return {"now": now, "zone": zone, "pool": pool} | fields


def build_limit(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """A limit for a while: `limit` is what counts now."""
    return {
        "now": now,
        "zone": zone,
        "pool": result["pool"],
        "limit": result["limit"],
        "temporary_limit": result["set_limit"],
        "temporary_limit_until": result["until"],
    }


def read_policy(result: dict[str, Any]) -> StoredPolicy:
    """The live policy."""
    return StoredPolicy(
        version=int(result["version"]),
        digest=result["digest"],
        fields=result["fields"],
        source=result["source"],
        paused=json.loads(result["paused"]),
        applied=tuple(result["applied"]),
        secret=result.get("secret", ""),
        former_secrets=_read_former(json.loads(result.get("former_secrets", "[]"))),
    )


def read_secrets(result: dict[str, Any]) -> Secrets:
    """The zone's secrets."""
    return Secrets(current=str(result["secret"]), former=_read_former(result.get("former") or ()))


def _read_former(stored: Sequence[dict[str, Any]]) -> tuple[tuple[str, int], ...]:
    return tuple((str(one["secret"]), int(one["until"])) for one in stored)


def build_audit(zone: str, now: int, result: dict[str, Any]) -> Answer:
    """What was done by hand, newest first. `target` null: the whole zone."""
    return {
        "now": now,
        "zone": zone,
        "entries": [_build_audit_entry(zone, one) for one in result["entries"] or ()],
    }


def _build_audit_entry(zone: str, one: dict[str, Any]) -> Answer:
    named = {"zone": None}.get(one["on"], one["on"])
    target = make_public_id(zone, named) if one["did"] == "end" else named
    shown = {public: one[name] for name, public in _AUDIT_NAMES.items()}
    return shown | {"target": target, "detail": one["detail"] or {}}


def iterate_results(reply: dict[str, Any]) -> Iterator[Result | PlainGrant]:
    """The results of a reply, in the order of its operations."""
    shared = reply["shared"]
    for one in reply["results"]:
        # An empty object of Lua may come as an empty list.
        yield PlainGrant(shared[one[0]], one[1]) if one and isinstance(one, list) else one


def expand_reply(ops: Sequence[dict[str, Any]], raw: bytes) -> dict[str, Any]:
    """The reply to those operations, with plain grants in full."""
    reply: dict[str, Any] = from_json(raw)
    if "results" in reply:
        results = zip(ops, iterate_results(reply), strict=True)
        reply["results"] = [
            expand_plain_grant(op, one) if isinstance(one, PlainGrant) else one
            for op, one in results
        ]
    return reply


def expand_plain_grant(op: dict[str, Any], grant: PlainGrant) -> Result:
    """A plain grant in the form of every other grant."""
    shared, room = grant
    shown = {"id": op["id"], "mpp": shared.get("mpp"), "channel": shared["channel"]}
    return {
        "decision": "grant",
        "request_id": op["request_id"],
        "granted": 1,
        "channel": shared["channel"],
        "launch_within_ms": shared["launch_within_ms"],
        "room": room,
        "snapshot": shared.get("snapshot"),
        "reservations": [shown | {"renew_within_ms": shared["renew_within_ms"]}],
    }
