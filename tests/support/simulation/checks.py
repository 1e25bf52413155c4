"""What must be true of the ledger at any time, and when all is over."""

from collections import Counter
from typing import Any, Final

from tests.support.simulation.controller import Controller, Op

ALL: Final = 1_000_000
SENTINELS: Final = {"res": 1, "req": 1, "due": 1, "queue": 1, "waiters": 1, "arrived": 1}
DUE_SLICES: Final = 50  # so many calls serve all deadlines that are left


class BrokenInvariantError(AssertionError):
    """The ledger's state is not what its rules allow."""


def check_counts(controller: Controller) -> None:
    """Every count is that of the live reservations that name the pool, and none is negative."""
    ops: list[Op] = [{"op": "list", "cursor": "0", "limit": ALL}, {"op": "status"}]
    _, (listed, status) = controller.apply(ops)
    live = [one for one in listed["reservations"] if _is_live(one)]
    named = Counter(pool for one in live for pool in one["pools"])
    for pool in status["pools"]:
        name = pool["pool"]
        _expect(pool["in_use"] == named.pop(name, 0), "in_use", pool, live)
        _expect((pool.get("ceiling") or 0) >= 0, "ceiling", pool, live)
        if name.startswith("channel:") and "snapshot" in pool:
            held = sum(name in one["pools"] and _is_held(one, pool) for one in live)
            _expect(pool["held"] == held, "held", pool, live)
    _expect(not named, "pools that are not in the status", named, live)


def check_empty(controller: Controller) -> None:
    """Nothing leaked: no reservation, no request, no deadline, no count.

    A named pool that is still counted has a deadline, at which its snapshot lapses.
    """
    for _ in range(DUE_SLICES):
        controller.apply([{"op": "time"}])
    check_counts(controller)
    _, (status,) = controller.apply([{"op": "status"}])
    named = [one for one in status["pools"] if one["pool"].startswith("agent:")]
    counted = sum("snapshot" in one for one in named)
    for key in controller.stored_keys():
        name = key.rpartition("}:")[2]
        allowed = 1 if name.startswith("pend:") else SENTINELS.get(name)
        if allowed is not None:
            allowed += counted if name == "due" else 0
            _expect(controller.size(key) <= allowed, "left over", key, name)
    _expect(not any(pool["in_use"] for pool in status["pools"]), "in_use", status, ())


def _is_live(one: dict[str, Any]) -> bool:
    """Whether it holds its pools: live, or its end or expiry has not taken effect yet."""
    not_expired_yet = one["state"] == "expired" and "released_at" not in one
    return one["state"] == "live" or bool(one.get("releasing")) or not_expired_yet


def _is_held(one: dict[str, Any], pool: dict[str, Any]) -> bool:
    return bool(one["visible_by"] < pool["snapshot"]["w0"])


def _expect(condition: bool, what: str, found: object, among: object) -> None:
    if not condition:
        raise BrokenInvariantError(f"{what}: {found}\namong {among}")
