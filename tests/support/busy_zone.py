"""A busy zone of the real script, and calls to it of which one Redis command may fail."""

from typing import Any, Final

import redis

from admission.ledger.keys import zone_keys
from tests.support.faulty_redis import FaultyScript
from tests.support.rule_zone import policy
from tests.support.zone_state import ZoneState, check_counts

Op = dict[str, Any]
KEYS: Final = zone_keys("uow", "east")
START_MS: Final = 1_790_000_000_000
FIELDS: Final = policy(
    zone={
        "channels": ["sip", "h323"],
        "fed": ["sip"],
        "capacity": {"h323": 4},
        "mpps": ["m1", "m2"],
        "mpp_total": 8,
        "guaranteed": "channel:sip",
        "guarantee_total": 2,
        "retention": 500,
        "answer_within": 20_000,
        "ceilings": "learned",
        "claim_max": 1,
    },
    guarantees={"b": 2},
    mpp__m1__sip={"limit": 4},
    mpp__m2__sip={"limit": 4},
    campaign__a={"pools": ["trunk:x"]},
    campaign__b={"pools": ["trunk:x"], "guarantee": 2, "weight": 2},
    campaign__c={"breaker": {"failures_percent": 50, "window": 60_000, "min_calls": 1, "pause": 1}},
    trunk__x={"limit": 3},
)
SOURCE: Final = {"source": "", "fields": FIELDS}


def admit(name: str, campaign: str = "a", **more: Any) -> Op:
    op = {"op": "admit", "id": name, "request_id": name, "campaign": campaign, "owner": "o"}
    return op | {"count": 1, "min_count": 1, "body": "b", "channel": "sip"} | more


def wait(name: str, campaign: str = "a", **more: Any) -> Op:
    return admit(name, campaign, replica="A", waits=10_000, **more)


def end(name: str, outcome: str = "completed", **more: Any) -> Op:
    return {"op": "end", "id": name, "outcome": outcome} | more


def launched(name: str, **more: Any) -> Op:
    return {"op": "launched", "id": name, "port_taken": True} | more


def snapshot(t0: int, unused: int = 10) -> Op:
    return {"op": "ingest", "t0": t0, "groups": [{"total": 12, "unused": {"channel:sip": unused}}]}


class BusyZone:
    """A zone with calls, waiting requests and contention.

    Args:
        client: of a server that is emptied first.
        source: of the script, with `lua/clock_test.lua`; None: today's.

    Attributes:
        script: calls it, with a failing command if the test says so.
        state: what is stored of it; `restore` makes it what it was at the beginning.
    """

    def __init__(self, client: redis.Redis, source: str | None = None) -> None:
        client.flushall()
        self.script = FaultyScript(client, KEYS, source)
        self.state = ZoneState(client, KEYS)
        apply = {"op": "policy", "mode": "apply", "digest": "d", **SOURCE}
        self._run([apply], 0)
        self._run([snapshot(START_MS + 1000)], 1000)
        self._run([snapshot(START_MS + 1900)], 2000)
        self._run([admit("x1"), admit("x2"), admit("y1", "b"), admit("m1", "c", mpp="m1")], 2100)
        self._run([admit("z1", "c", count=2), end("z1.2"), admit("v1", "c", channel="h323")], 2200)
        self._run([wait("w1", "a"), wait("w2", "b"), launched("x1")], 2300)
        self.state.save()

    def _run(self, ops: list[Op], after_ms: int) -> None:
        reply = self.script.call(ops, START_MS + after_ms)
        assert "error" not in reply, reply
        assert all(one.get("error") != "internal" for one in reply["results"]), reply
        check_counts(self.state.read())
