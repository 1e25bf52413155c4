"""One zone on a real server whose time is the test's: the script with the clock of the tests."""

from typing import Any

import redis

from admission.ledger.keys import zone_keys
from admission.ledger.scripts import load
from tests.support.script_call import call_at

Op = dict[str, Any]
Answer = dict[str, Any]
START_US = 1_790_000_000_000_000


class VirtualZone:
    """A zone that nobody else touches. `now_us` is the server's clock: move it as you like.

    Args:
        client: the server; answers are bytes.
        fields: the compiled policy.
        name: the zone's, not used on this server before.
    """

    def __init__(self, client: redis.Redis, fields: dict[str, Any], name: str = "east") -> None:
        self._client = client
        self._script = load("test")
        self._keys = zone_keys("virtual", name)
        self._policies = 0
        self.now_us = START_US
        self.replace_policy(fields)

    @property
    def now_ms(self) -> int:
        """The server's clock; the zone's too, as long as it never steps back."""
        return self.now_us // 1000

    def call(self, ops: list[Op]) -> list[Answer]:
        """Apply operations in one script call; a fault of the script is a failure of the test."""
        return list(self.whole(ops)["results"])

    def whole(self, ops: list[Op]) -> Answer:
        """The same with what the call says of itself."""
        source = self._script.source
        answer = call_at(self._client, source, self._keys, ops, self.now_us, "first")
        assert "error" not in answer, answer
        return answer

    def one(self, op: str, **what: Any) -> Answer:
        """Apply one operation."""
        return self.call([{"op": op, **what}])[0]

    def advance(self, ms: float) -> None:
        """Time passes."""
        self.now_us += round(ms * 1000)

    def replace_policy(self, fields: dict[str, Any]) -> Answer:
        """Another policy from here on."""
        self._policies += 1
        digest = f"p{self._policies}"
        return self.one("policy", mode="apply", digest=digest, source="{}", fields=fields)

    def in_use(self, pool: str) -> int:
        """Live reservations that name the pool."""
        pools = {one["pool"]: one["in_use"] for one in self.one("status")["pools"]}
        return int(pools.get(pool, 0))
