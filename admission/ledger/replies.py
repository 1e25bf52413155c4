"""The script's reply: it tells only once what plain grants have in common (lua/README.md)."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json

Result = dict[str, Any]


class PlainGrant(NamedTuple):
    """One launch that was granted in full: nearly every answer.

    Args:
        like: what it has in common with others of the call: `channel`, `mpp`, `launch_within_ms`,
            `renew_within_ms`, `snapshot`.
        room: units left in its tightest pool; None: none has a limit.
    """

    like: dict[str, Any]
    room: int | None


def told(reply: dict[str, Any]) -> Iterator[Result | PlainGrant]:
    """The results of a call, in the order of its operations."""
    alike = reply["alike"]
    for one in reply["results"]:
        # An empty object of Lua may come as an empty list.
        yield PlainGrant(alike[one[0]], one[1]) if one and isinstance(one, list) else one


def whole(ops: Sequence[dict[str, Any]], raw: bytes) -> dict[str, Any]:
    """The reply to those operations with every result in full."""
    reply: dict[str, Any] = from_json(raw)
    if "results" in reply:
        results = zip(ops, told(reply), strict=True)
        reply["results"] = [
            in_full(op, one) if isinstance(one, PlainGrant) else one for op, one in results
        ]
    return reply


def in_full(op: dict[str, Any], grant: PlainGrant) -> Result:
    """A plain grant of that `admit` as any other grant is told."""
    like, room = grant
    shown = {"id": op["id"], "mpp": like.get("mpp"), "channel": like["channel"]}
    return {
        "decision": "grant",
        "request_id": op["request_id"],
        "granted": 1,
        "channel": like["channel"],
        "launch_within_ms": like["launch_within_ms"],
        "room": room,
        "snapshot": like.get("snapshot"),
        "reservations": [shown | {"renew_within_ms": like["renew_within_ms"]}],
    }
