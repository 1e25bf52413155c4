"""Ours: the ledger's script on a real Redis, its clock moved by the race."""

import itertools
import json
from functools import cache, partial
from multiprocessing.util import Finalize
from typing import Any, Final

import redis

from admission.domain.outcomes import Outcome
from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import digest, parse_policy, policy_json
from admission.ledger import results
from admission.ledger.keys import zone_keys
from admission.ledger.scripts import load
from admission.sim.experience_portal.values import Counts
from benchmarks.race.alternatives import Maker
from benchmarks.race.contestant import Contestant, Sight
from benchmarks.race.scenarios import NOTICE_MS, ZONE, Scenario
from tests.support.redis_server import RedisServer

Op = dict[str, Any]
EPOCH_MS: Final = 1_790_000_000_000
TRAVEL_MS: Final = 10  # what a dialer knows of the zone's time is older by the answer's journey

# What an operator sets who knows how platform and dialers behave. The others keep the defaults.
KNOWN: Final = {"launch_within_ms": 100, "end_notice_ms": NOTICE_MS.high_ms}


def measured(scenario: Scenario) -> Op:
    """The time parameters of this world, as `admission measure` would find them."""
    return {
        **KNOWN,
        "claim_within_ms": scenario.claim_high_ms,
        "visibility_lag_ms": scenario.lag_ms,
    }


@cache
def server() -> redis.Redis:
    """One server for each process of the race; it ends with the process."""
    running = RedisServer().start()
    Finalize(None, running.stop, exitpriority=1)  # also in a pool's process, which has no atexit
    return redis.Redis.from_url(running.url)


class Ours(Contestant):
    """One zone in the ledger.

    Args:
        policy: on top of a zone of one channel with the defaults.
        reports: what its dialers report of a launch beside its end.
    """

    def __init__(
        self, scenario: Scenario, sight: Sight, *, policy: Op, launches_told: bool = True
    ) -> None:
        self._sight = sight
        self._launches_told = launches_told
        self._names = (f"{n:011d}" for n in itertools.count())
        self._told: list[Op] = []
        self._client = server()
        self._client.flushall()
        self._keys = zone_keys("race", ZONE)
        self._sha = self._client.script_load(load("test").source)
        self._wire = self._client.connection_pool.get_connection()
        parsed = parse_policy(
            {
                "source": "epm",
                "channels": ["sip"],
                "campaigns": {"*": {}},
                "poll_interval_ms": scenario.poll_ms,
                "retention_ms": 1_000,
                **policy,
            }
        )
        stored = {"op": "policy", "mode": "apply", "fields": compile_policy(parsed)}
        self._apply(stored | {"digest": digest(parsed), "source": policy_json(parsed)})

    def _tell(self, op: Op) -> None:
        """Reports go with the next question, as they do in a group commit: it comes within ms."""
        self._told.append(op)

    def _apply(self, op: Op) -> Op:
        zone, wire, ops = self._keys[0], self._wire, [*self._told, op]
        clock = ("MSET", f"{zone}:clock", (EPOCH_MS + self._sight.now) * 1000, f"{zone}:run", "r")
        script = (
            "EVALSHA",
            self._sha,
            len(self._keys),
            *self._keys,
            json.dumps(ops),
            "",
        )
        wire.send_packed_command(wire.pack_commands([clock, script]))
        wire.read_response()
        answered = results.expand_reply(ops, wire.read_response())["results"]
        self._told.clear()
        for result in answered:
            assert not result or result.get("error") in (None, "unknown_reservation"), result
        return dict(answered[-1] or {})

    def ask(self, dialer: int) -> str | None:
        name = next(self._names)
        wish = {"campaign": "c", "count": 1, "min_count": 1, "pools": [], "owner": f"d{dialer}"}
        answer = self._apply({"op": "admit", "id": name, "request_id": name, "body": "", **wish})
        return name if answer["granted"] else None

    def photograph(self, asked_at: int, counts: Counts) -> None:
        groups = [{"total": counts.total, "unused": {"channel:sip": counts.unused_sip}}]
        self._apply({"op": "ingest", "t0": EPOCH_MS + asked_at, "groups": groups})

    def launched(self, call: str) -> None:
        if self._launches_told:
            self._tell({"op": "launched", "id": call, "port_taken": False})

    def rings(self, call: str) -> None:
        self._tell({"op": "launched", "id": call, "port_taken": True})

    def ended(self, call: str, outcome: Outcome, learnt_at: int) -> None:
        ended_at = EPOCH_MS + learnt_at - TRAVEL_MS
        self._tell({"op": "end", "id": call, "outcome": outcome.value, "ended_at": ended_at})


def _with(scenario: Scenario, sight: Sight, *, told: bool, known: bool, **policy: Any) -> Ours:
    times = measured(scenario) if known else {}
    return Ours(scenario, sight, policy={**times, **policy}, launches_told=told)


def ours(*, told: bool = True, known: bool = False, **policy: Any) -> Maker:
    """A contestant. `told`: launches are reported; `known`: time parameters are measured ones."""
    return partial(_with, told=told, known=known, **policy)


SHARED: Final = "ours, shared"  # defaults, no feedback
ADAPTIVE: Final = "ours, adaptive"  # defaults: with feedback
MEASURED: Final = "ours, measured"  # and the time parameters are those of this world
DEDICATED: Final = "ours, dedicated"  # measured too
OURS: Final[dict[str, Maker]] = {
    SHARED: ours(adaptive_headroom=0),
    ADAPTIVE: ours(),
    MEASURED: ours(known=True),
    DEDICATED: ours(known=True, ports="dedicated"),
}
