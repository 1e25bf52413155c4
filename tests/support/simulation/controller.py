"""The replicas and their Redis: operations queue up, one script call applies them all.

The script is the real one, with the clock that tests set. Redis' clock is simulated time plus an
offset that steps; its state and its identity may be lost.
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeAlias

import redis

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import digest, policy_json
from admission.domain.policy.zone import ZonePolicy
from admission.ledger import results
from admission.ledger.keys import zone_keys
from admission.ledger.store.connection import Script
from admission.sim.experience_portal.virtual_time import Loop
from tests.support.lua_mutations import ScriptFailedError
from tests.support.simulation.parameters import ZONE

Op: TypeAlias = dict[str, Any]
# result of the operation (None: a fault of ours), and the zone time of the answer
Answered: TypeAlias = Callable[[dict[str, Any], int], None]

EPOCH_MS: Final = 1_700_000_000_000
COMMIT_MS: Final = 6  # a script call is under way so long; what arrives meanwhile goes in the next
KEYS: Final = zone_keys("sim", ZONE)
HOLDING: Final = (b"l", b"r")  # states that hold their pools, as stored (lua/state/reservation.lua)


def ignore(_result: dict[str, Any], _now: int) -> None:
    """Ignore an answer."""


def _text(key: bytes | str) -> str:
    return key.decode() if isinstance(key, bytes) else key


class Controller:
    """Everything between the network and Redis.

    Args:
        client: of a Redis for this run alone.
        on_result: called with each operation and its result, in the order of application.

    Attributes:
        calls: script calls made.
        is_cut_off: no message arrives.
        offset_ms: of Redis' clock against simulated time.
    """

    def __init__(
        self, loop: Loop, random: Random, client: redis.Redis, script: Script, policy: ZonePolicy
    ) -> None:
        self.calls = 0
        self.is_cut_off = False
        self.offset_ms = EPOCH_MS
        self.on_result: Callable[[Op, dict[str, Any], int], None] = lambda _op, _result, _now: None
        self._loop = loop
        self._random = random
        self._client = client
        self._wire = client.connection_pool.get_connection()
        self._sha = client.script_load(script.source)
        self._policy = policy
        self._runs = 0
        self._queue: list[tuple[Op, Answered, Callable[[], bool]]] = []
        self._ids = 0
        self.apply([self._policy_op("file")])

    # -- messages

    def receive(
        self, op: Op, answered: Answered, still_wanted: Callable[[], bool] = lambda: True
    ) -> None:
        """An operation arrives; it is applied a few ms later, with those that arrive meanwhile."""
        if self.is_cut_off:
            return
        if not self._queue:
            self._loop.after(self._random.randint(0, COMMIT_MS), self._commit)
        if op["op"] == "admit":
            self._ids += 1
            op = {**op, "id": f"{self._ids:011d}"}
        self._queue.append((op, answered, still_wanted))

    def awaits_ingest(self) -> bool:
        """Is a snapshot among what will be applied next?"""
        return any(op["op"] == "ingest" for op, _, _ in self._queue)

    def _commit(self) -> None:
        queue = [one for one in self._queue if one[2]()]
        self._queue = []
        if not queue:
            return
        now, results = self.apply([op for op, _, _ in queue])
        for (op, answered, _), result in zip(queue, results, strict=True):
            if result.get("error") == "internal":
                raise ScriptFailedError(op, result)
            self.on_result(op, result, now)
            answered(result, now)

    # -- the script

    def apply(self, ops: list[Op]) -> tuple[int, list[dict[str, Any]]]:
        """One call now. Returns: zone time, and a result for each operation."""
        answer = self._evaluate(ops)
        if answer.get("error") == "no_policy":  # state was lost: a replica restores the policy
            self._evaluate([self._policy_op("restore")])
            answer = self._evaluate(ops)
        return answer["now"], answer["results"]

    def _evaluate(self, ops: list[Op]) -> dict[str, Any]:
        self.calls += 1
        clock_us = (self._loop.now + self.offset_ms) * 1000 + 500
        clock, run = f"{KEYS[0]}:clock", f"{KEYS[0]}:run"
        wire: Any = self._wire  # redis-py leaves it untyped
        text = json.dumps(ops)
        wire.send_packed_command(
            wire.pack_commands(
                [
                    ("MSET", clock, clock_us, run, f"run{self._runs}"),
                    ("EVALSHA", self._sha, len(KEYS), *KEYS, text, ""),
                ]
            )
        )
        wire.read_response()
        return results.expand_reply(ops, wire.read_response())

    def _policy_op(self, mode: str) -> Op:
        policy = self._policy
        document = {"digest": digest(policy), "source": policy_json(policy)}
        return {
            "op": "policy",
            "mode": mode,
            "version": 1,
            "fields": compile_policy(policy),
            **document,
        }

    # -- for tests only

    def stored_counts(self, pool: str) -> tuple[int, int]:
        """Return in_use and ceiling (0: none) of a pool, without the script."""
        text = self._client.hget(KEYS[4], pool)
        known = json.loads(text) if text else {"in_use": 0}
        return int(known["in_use"]), int(known.get("ceiling") or 0)

    def stored_live(self, reservations: list[str]) -> int:
        """Count those of these that hold their pools, without the script."""
        if not reservations:
            return 0
        texts = self._client.hmget(KEYS[1], reservations)
        return sum(text.split(b" ", 4)[3] in HOLDING for text in texts if text)

    def stored_keys(self) -> list[str]:
        """All keys of the zone that the script wrote."""
        names = sorted(map(_text, self._client.keys("*")))
        return [name for name in names if not name.endswith((":clock", ":run"))]

    def size(self, key: str) -> int:
        """Members of a hash or sorted set."""
        kind = self._client.type(key)
        return int(self._client.zcard(key) if kind == b"zset" else self._client.hlen(key))

    def restart(self) -> None:
        """Another server with the same state."""
        self._runs += 1

    def flush(self) -> None:
        """Lose all state."""
        self._client.flushall()
        self.restart()

    def copy(self) -> dict[str, bytes]:
        """The state as it is now."""
        return {_text(key): self._client.dump(key) or b"" for key in self._client.keys("*")}

    def put_back(self, state: dict[str, bytes]) -> None:
        """Another server that has an older state."""
        self.flush()
        for key, dumped in state.items():
            self._client.restore(key, 0, dumped)

    def close(self) -> None:
        """Give the connection back."""
        self._client.connection_pool.release(self._wire)
