"""A zone of the real script on a real server, with the clock in the hands of the test."""

from typing import Any

import redis

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import parse_policy
from admission.ledger.keys import zone_keys
from admission.ledger.scripts import load
from tests.support.script_call import CHANNEL, call_at

Op = dict[str, Any]
Answer = dict[str, Any]
START_US = 1_790_000_000_000_000
STATIC_ZONE = {
    "source": "static",
    "channels": ["sip"],
    "launch_within_ms": 1,
    "claim_within_ms": 0,
    "campaigns": {"*": {}},
}


class VirtualZone:
    """A zone that no other code touches. `now_us` is the server's clock: a test moves it.

    Args:
        client: the server; answers are bytes.
        fields: the compiled policy.
        name: the zone's, not used on this server before.
        prefix: of its keys.
    """

    def __init__(
        self,
        client: redis.Redis,
        fields: dict[str, Any],
        name: str = "east",
        prefix: str = "virtual",
    ) -> None:
        self.client = client
        self.keys = zone_keys(prefix, name)
        self.now_us = START_US
        self.run_id = "first"
        self._script = load("test")
        self._policies = 0
        self.replace_policy(fields)

    @property
    def now_ms(self) -> int:
        """The server's clock; the zone's too, as long as it never is set back."""
        return self.now_us // 1000

    def call(self, *ops: Op) -> list[Answer]:
        """Apply operations in one script call; a fault of the script fails the test."""
        return list(self.whole(*ops)["results"])

    def whole(self, *ops: Op) -> Answer:
        """Apply operations; return the answer of the whole call."""
        source = self._script.source
        answer = call_at(self.client, source, self.keys, list(ops), self.now_us, self.run_id)
        assert "error" not in answer, answer
        return answer

    def one(self, op: Op | str, **fields: Any) -> Answer:
        """Apply one operation: a whole one, or its name and its fields."""
        return self.call(op | fields if isinstance(op, dict) else {"op": op, **fields})[0]

    def read_pools(self) -> list[Answer]:
        """Every pool of the status, which one call returns in parts."""
        status = self.one("status")
        pools = list(status["pools"])
        while "cursor" in status:
            status = self.one("status", cursor=status["cursor"])
            pools += status["pools"]
        return pools

    def advance(self, ms: float) -> None:
        """Move the clock."""
        self.now_us += round(ms * 1000)

    def lose_state(self, fields: dict[str, Any]) -> None:
        """Redis restarts empty, and a replica restores the policy."""
        tag = self.keys[0].rpartition(":")[0]
        self.client.delete(*self.client.scan_iter(f"{tag}:*", count=10_000))
        self.run_id += "+"
        self.replace_policy(fields)

    def replace_policy(self, fields: dict[str, Any]) -> Answer:
        """Apply another compiled policy."""
        self._policies += 1
        digest = f"p{self._policies}"
        return self.one("policy", mode="apply", digest=digest, source="{}", fields=fields)

    def in_use(self, pool: str) -> int:
        """Return the live reservations that name the pool."""
        pools = {one["pool"]: one["in_use"] for one in self.one("status")["pools"]}
        return int(pools.get(pool, 0))


class StaticZone(VirtualZone):
    """A zone of 2 static SIP ports, with the notifications that each call published.

    Args:
        policy: fields on top of the policy of such a zone.
    """

    def __init__(self, client: redis.Redis, **policy: Any) -> None:
        self.notifications: list[str] = []
        self._received = client.pubsub()
        self._received.subscribe(CHANNEL)
        self._received.get_message(timeout=1)
        super().__init__(client, compile_static(**policy), "East", "adm")
        self.advance(10)  # a new zone recovers for 1 ms

    def set_policy(self, **policy: Any) -> None:
        self.replace_policy(compile_static(**policy))

    def whole(self, *ops: Op) -> Answer:
        answer = super().whole(*ops)
        self.notifications = self._receive()
        return answer

    def _receive(self) -> list[str]:
        """Return what was published before this pong, which the server sends after it."""
        self._received.ping()
        texts = []
        while (message := self._received.get_message(timeout=60)) and message["type"] != "pong":
            texts.append(message["data"].decode())
        return texts

    def queue_sizes(self) -> dict[str, int]:
        """Return the members of what the wait queue stores, without sentinels."""
        queue, waiters, arrived = self.keys[10:13]
        sizes = {
            "queue": self.client.zcard(queue),
            "waiters": self.client.hlen(waiters),
            "arrived": self.client.zcard(arrived),
        }
        return {name: int(n) - 1 for name, n in sizes.items()}


def compile_static(**policy: Any) -> dict[str, Any]:
    """Compile the policy of a zone of 2 static SIP ports; `policy`: fields on top."""
    return compile_policy(parse_policy(STATIC_ZONE | {"capacity": {"sip": 2}} | policy))


def ask(request: str, **more: Any) -> Op:
    """A plain ask for one port; its id is made of the request's name."""
    op = {"op": "admit", "id": request.rjust(11, "0"), "request_id": request, "body": "b"}
    return op | {"campaign": "c", "count": 1, "min_count": 1, "owner": "o"} | more


def wait(request: str, replica: str = "A", waits: int = 10_000, **more: Any) -> Op:
    """An ask that waits on a replica."""
    return ask(request, **{"replica": replica, "waits": waits} | more)


def big(request: str, n: int, **more: Any) -> Op:
    """An ask for all of n ports or none, which waits."""
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
