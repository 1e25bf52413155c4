"""A zone's script, called by hand, on a clock that the test moves."""

from typing import Any

import redis

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import digest, parse_policy, policy_json
from admission.ledger import scripts
from admission.ledger.keys import zone_keys
from tests.support.script_call import call_at

Op = dict[str, Any]
ZONE = "East"
START_MS = 1_790_000_000_000
STATIC = {
    "source": "static",
    "channels": ["sip"],
    "launch_within_ms": 1,
    "claim_within_ms": 0,
    "campaigns": {"*": {}},
}


class Hand:
    """One zone. `policy`: fields on top of a zone of 2 static SIP ports that nothing else feeds."""

    def __init__(self, client: redis.Redis, **policy: Any) -> None:
        self.client = client
        self.keys = zone_keys("adm", ZONE)
        self.now = START_MS
        self.rings: list[str] = []
        self._script = scripts.load("test")
        self._heard = client.pubsub()
        self._heard.subscribe("bell")
        self._heard.get_message(timeout=1)
        self.set_policy(**policy)
        self.after(10)  # a new zone recovers for 1 ms

    def set_policy(self, **policy: Any) -> None:
        parsed = parse_policy(STATIC | {"capacity": {"sip": 2}} | policy)
        op = {"op": "policy", "mode": "apply", "fields": compile_policy(parsed)}
        self.call(op | {"digest": digest(parsed), "source": policy_json(parsed)})

    def after(self, ms: int) -> None:
        """Move the clock."""
        self.now += ms

    def call(self, *ops: Op) -> list[dict[str, Any]]:
        """One call of the script; what it rang is in `rings`."""
        source, clock_us = self._script.source, self.now * 1000
        answer = call_at(self.client, source, self.keys, list(ops), clock_us, "r")
        self.rings = self._rung()
        results: list[dict[str, Any]] = answer["results"]
        return results

    def _rung(self) -> list[str]:
        """What rang before this pong, which the server sends after it."""
        self._heard.ping()
        texts = []
        while (message := self._heard.get_message(timeout=5)) and message["type"] != "pong":
            texts.append(message["data"].decode())
        return texts

    def one(self, op: Op) -> dict[str, Any]:
        return self.call(op)[0]

    def left(self) -> dict[str, int]:
        """Members of what the queue keeps, without sentinels."""
        queue, waiters, arrived = self.keys[10:13]
        sizes = {
            "queue": self.client.zcard(queue),
            "waiters": self.client.hlen(waiters),
            "arrived": self.client.zcard(arrived),
        }
        return {name: int(n) - 1 for name, n in sizes.items()}


def ask(request: str, **more: Any) -> Op:
    """A plain ask for one port; its id is made of the request's name."""
    op = {"op": "admit", "id": request.rjust(11, "0"), "request_id": request, "body": "b"}
    return op | {"campaign": "c", "count": 1, "min_count": 1, "owner": "o"} | more


def wait(request: str, replica: str = "A", waits: int = 10_000, **more: Any) -> Op:
    """An ask that is kept open on a replica."""
    return ask(request, **{"replica": replica, "waits": waits} | more)


def big(request: str, n: int, **more: Any) -> Op:
    """An ask for all of n ports or none, kept open."""
    return wait(request, count=n, min_count=n, **more)


def end(request: str, nth: int = 1, outcome: str = "completed") -> Op:
    private = request.rjust(11, "0") + (f".{nth}" if nth > 1 else "")
    return {"op": "end", "id": private, "outcome": outcome}


def withdraw(request: str, replica: str | None = "A", **more: Any) -> Op:
    op = {"op": "withdraw", "id": request.rjust(11, "0"), "request_id": request, "campaign": "c"}
    return op | ({"replica": replica} if replica else {}) | more


def beat(replica: str = "A") -> Op:
    return {"op": "beat", "replica": replica}


def decision(answer: dict[str, Any]) -> str:
    """`grant`, or the reason of a deny."""
    return str(answer.get("reason", answer.get("decision")))
