"""This service: the script of the ledger on a real Redis, with a clock that the race moves."""

import itertools
import json
from functools import cache, partial
from multiprocessing.util import Finalize
from typing import Any, Final

import redis

from admission.domain.outcomes import Outcome
from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import digest, parse_policy, policy_json
from admission.ledger import learning, results
from admission.ledger.keys import zone_keys
from admission.ledger.scripts import load
from admission.sim.experience_portal.values import Counts
from benchmarks.race.alternatives import Maker
from benchmarks.race.contestant import Contestant, Sight
from benchmarks.race.scenarios import NOTICE_MS, SLOW, ZONE, Scenario
from tests.support.redis_server import RedisServer

Op = dict[str, Any]
EPOCH_MS: Final = 1_790_000_000_000
TRAVEL_MS: Final = 10  # network delay of an answer: the zone time that a dialer knows is older

# Settings of an operator who knows platform and dialers. Other policies keep the defaults.
KNOWN: Final = {"launch_within_ms": 100, "end_notice_ms": NOTICE_MS.high_ms}


def measured(scenario: Scenario) -> Op:
    """Return the time parameters of a scenario, as `admission measure` would find them."""
    return {
        **KNOWN,
        "claim_within_ms": scenario.claim_high_ms,
        "visibility_lag_ms": scenario.lag_ms,
        **_slow_application(scenario),
    }


def _slow_application(scenario: Scenario) -> Op:
    """What an operator says of an application that claims late."""
    if scenario.slow_claim is None:
        return {}
    return {"applications": {SLOW: {"claim_within_ms": scenario.slow_claim.high_ms}}}


def _place(scenario: Scenario) -> Op:
    """The media servers, where calls are placed on them."""
    if not scenario.placed:
        return {}
    names = [server.name for server in scenario.platform().zones[0].mpps]
    ports = {"sip": scenario.ports // len(names)}
    return {"placement": "controller", "mpps": dict.fromkeys(names, ports)}


@cache
def server() -> redis.Redis:
    """Start one Redis server for each process of the race, which ends with the process."""
    running = RedisServer().start()
    Finalize(None, running.stop, exitpriority=1)  # also in a pool's process, which has no atexit
    return redis.Redis.from_url(running.url)


class Ours(Contestant):
    """One zone in the ledger.

    Args:
        policy: settings that differ from the defaults of a zone with one channel.
        reports_launches: dialers report launches too, not only ringing and end.
    """

    def __init__(
        self, scenario: Scenario, sight: Sight, *, policy: Op, reports_launches: bool = True
    ) -> None:
        self._scenario = scenario
        self._sight = sight
        self._reports_launches = reports_launches
        self._learns = policy.get("ceilings") == "learned"
        self._servers: dict[str, str] = {}
        self._names = (f"{n:011d}" for n in itertools.count())
        self._reports: list[Op] = []
        self._client = server()
        self._client.flushall()
        self._keys = zone_keys("race", ZONE)
        self._sha = self._client.script_load(load("test").source)
        self._connection = self._client.connection_pool.get_connection()
        parsed = parse_policy(
            {
                "source": "push",  # each snapshot is brought by the simulation, without a lease
                "channels": ["sip"],
                "campaigns": {"*": {}},
                "poll_interval_ms": scenario.poll_ms,
                "retention_ms": 1_000,
                **_slow_application(scenario),
                **_place(scenario),
                **policy,
            }
        )
        stored = {"op": "policy", "mode": "apply", "fields": compile_policy(parsed)}
        self._apply(stored | {"digest": digest(parsed), "source": policy_json(parsed)})

    def _report(self, op: Op) -> None:
        """Send a report with the next request, as group commit does within milliseconds."""
        self._reports.append(op)

    def _apply(self, op: Op) -> Op:
        zone, connection, ops = self._keys[0], self._connection, [*self._reports, op]
        clock = ("MSET", f"{zone}:clock", (EPOCH_MS + self._sight.now) * 1000, f"{zone}:run", "r")
        script = (
            "EVALSHA",
            self._sha,
            len(self._keys),
            *self._keys,
            json.dumps(ops),
            "",
        )
        connection.send_packed_command(connection.pack_commands([clock, script]))
        connection.read_response()
        answers = results.expand_reply(ops, connection.read_response())["results"]
        self._reports.clear()
        for result in answers:
            assert not result or result.get("error") in (None, "unknown_reservation"), result
        return dict(answers[-1] or {})

    def ask(self, dialer: int) -> str | None:
        name = next(self._names)
        fields = {"campaign": "c", "count": 1, "min_count": 1, "pools": [], "owner": f"d{dialer}"}
        if self._scenario.is_slow(dialer):
            fields["application"] = SLOW
        answer = self._apply({"op": "admit", "id": name, "request_id": name, "body": "", **fields})
        if not answer["granted"]:
            return None
        if self._scenario.placed:
            self._servers[name] = answer["reservations"][0]["mpp"]
        return name

    def get_server(self, call: str) -> str | None:
        return self._servers.get(call)

    def receive_snapshot(self, asked_at: int, counts: Counts) -> None:
        groups = [{"total": counts.total, "unused": {"channel:sip": counts.unused_sip}}]
        answer = self._apply({"op": "ingest", "t0": EPOCH_MS + asked_at, "groups": groups})
        if self._learns and (learned := learning.build_learn(answer.get("observations") or {})):
            self._apply(learned)

    def launched(self, call: str) -> None:
        if self._reports_launches:
            self._report({"op": "launched", "id": call, "port_taken": False})

    def rings(self, call: str) -> None:
        self._report({"op": "launched", "id": call, "port_taken": True})

    def ended(self, call: str, outcome: Outcome, learnt_at: int) -> None:
        self._servers.pop(call, None)
        ended_at = EPOCH_MS + learnt_at - TRAVEL_MS
        self._report({"op": "end", "id": call, "outcome": outcome.value, "ended_at": ended_at})


def _make(
    scenario: Scenario, sight: Sight, *, reports_launches: bool, known: bool, **policy: Any
) -> Ours:
    times = measured(scenario) if known else {}
    return Ours(scenario, sight, policy={**times, **policy}, reports_launches=reports_launches)


def ours(*, reports_launches: bool = True, known: bool = False, **policy: Any) -> Maker:
    """Return a contestant. `known`: with the measured time parameters of the scenario."""
    return partial(_make, reports_launches=reports_launches, known=known, **policy)


SHARED: Final = "ours, shared"  # defaults, no feedback
ADAPTIVE: Final = "ours, adaptive"  # defaults: with feedback
MEASURED: Final = "ours, measured"  # and the time parameters are those of this world
DEDICATED: Final = "ours, dedicated"  # measured too
LEARNED: Final = "ours, learned"  # the defaults, and the times are learned
OURS: Final[dict[str, Maker]] = {
    SHARED: ours(adaptive_headroom=0),
    ADAPTIVE: ours(),
    MEASURED: ours(known=True),
    DEDICATED: ours(known=True, ports="dedicated"),
    LEARNED: ours(ceilings="learned"),
}
