"""The clock, recovery, and the dispatch of operations."""

from collections.abc import Callable
from typing import Any

from tests.oracle.controls import pause, replace_policy, set_limit
from tests.oracle.decide import admit
from tests.oracle.expiry import serve
from tests.oracle.ingest import ingest
from tests.oracle.learned import learn
from tests.oracle.policy import Fields, Policy
from tests.oracle.pools import forget_lapsed, in_use
from tests.oracle.reports import report
from tests.oracle.state import Rules, Zone
from tests.oracle.views import get, lease, list_page, status


class OracleLedger:
    """One zone's ledger.

    Args:
        policy: the compiled fields, as `lua/README.md` describes them.
        rules: what is breaker_open on purpose; nothing by default.
    """

    def __init__(self, policy: Fields, rules: Rules | None = None) -> None:
        self.zone = Zone(policy=Policy(policy), rules=rules or Rules())

    def call(
        self, ops: list[dict[str, Any]], raw_ms: int, run_id: str, raw_us: int | None = None
    ) -> dict[str, Any]:
        """Apply operations in order, as one script call does.

        Args:
            ops: the operations.
            raw_ms: the server's clock in ms.
            run_id: the run id of the server.
            raw_us: the same clock in us; default: the ms begins.
        """
        collect_pools(self.zone)
        idle_ms = tick(self.zone, raw_ms, raw_ms * 1000 if raw_us is None else raw_us)
        recover(self.zone, run_id, idle_ms)
        forget_lapsed(self.zone)
        serve(self.zone)
        self.zone.stored = None
        return {"now": self.zone.now, "results": [VERBS[op["op"]](self.zone, op) for op in ops]}

    def lose_all(self) -> None:
        """Nothing is left but the policy, as replicas remember it."""
        lost = self.zone
        self.zone = Zone(policy=lost.policy, digest=lost.digest, rules=lost.rules)

    def copy(self) -> "OracleLedger":
        """An independent copy. Everything inside the dicts is frozen."""
        other = OracleLedger.__new__(OracleLedger)
        other.zone = self.zone.copy()
        return other


def collect_pools(zone: Zone) -> None:
    """The hold time of a pool that policy does not name is forgotten with its last reservation."""
    for pool in list(zone.held_for):
        if zone.policy.is_wildcard(pool) and not in_use(zone, pool):
            del zone.held_for[pool]


def tick(zone: Zone, raw_ms: int, raw_us: int) -> int:
    """Move the zone's time on, never back; answers the ms since the last call."""
    back = zone.raw - raw_ms
    zone.offset += max(0, back)
    before, zone.raw, zone.now = zone.now, raw_ms, raw_ms + zone.offset
    zone.now_us = raw_us + zone.offset * 1000
    if back > 0:
        zone.stepped_at = zone.now
    return zone.now - before


def recover(zone: Zone, run_id: str, idle_ms: int) -> None:
    """Begin a recovery when state may have been lost or time may have passed no_valid_snapshot."""
    long_idle = bool(zone.policy.fed()) and idle_ms > zone.policy.ms("max_age")
    if zone.run_id == run_id and not long_idle:
        return
    zone.run_id = run_id
    if zone.rules.recovers:
        zone.begin_recovery()


def stepped(zone: Zone, _op: dict[str, Any]) -> dict[str, Any]:
    """A replica's own clock shows that the server's clock stepped ahead."""
    zone.begin_recovery()
    return {}


VERBS: dict[str, Callable[[Zone, dict[str, Any]], dict[str, Any]]] = {
    "admit": admit,
    "launched": report,
    "renew": report,
    "end": report,
    "ingest": ingest,
    "learn": learn,
    "lease": lease,
    "get": get,
    "list": list_page,
    "status": status,
    "limit": set_limit,
    "stepped": stepped,
    "pause": pause,
    "policy": replace_policy,
    "time": lambda zone, op: {},
}
