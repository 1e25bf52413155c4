"""Random operations on the script and on the oracle at once: every answer must be the same.

The machine knows nothing of the rules. It draws operations that dialers, platforms and clocks could
produce, and some that they should not, and compares. What is drawn: `tests/ledger/generators.py`.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from admission.ledger.keys import zone_keys
from admission.ledger.scripts import load
from tests.ledger.generators import Draws, policies, time_steps
from tests.oracle import OracleLedger
from tests.support.paths import ROOT
from tests.support.script_call import call_at

Op = dict[str, Any]
Answer = dict[str, Any]
START_MS = 1_790_000_000_000
# Policy and calls (operations, clock in ms, run id), replayed by test_against_oracle.
RECORDED = ROOT / "tests" / "files" / "differences"
STATUS: Op = {"op": "status"}


class ScriptRunner:
    """One zone on a server: the script with the clock and the run id of the tests."""

    def __init__(self, client: redis.Redis, zone: str) -> None:
        self.client = client
        self.keys = zone_keys("test", zone)
        self.source = load("test").source

    def run(self, ops: list[Op], raw_ms: int, run_id: str) -> Answer:
        """Apply operations in one script call."""
        answer = call_at(self.client, self.source, self.keys, ops, raw_ms * 1000, run_id)
        # an empty table of Lua may come as a list
        return answer | {"results": [result or {} for result in answer["results"]]}


def comparable(value: Any) -> Any:
    """Without what JSON of Lua does not distinguish: nothing, empty list, empty object."""
    if isinstance(value, dict):
        compared = {k: comparable(v) for k, v in value.items()}
        return {k: v for k, v in compared.items() if v is not None} or None
    if isinstance(value, list):
        return [comparable(one) for one in value] or None
    return value


def what_counts(op: Op, result: Answer) -> Any:
    """The part of a result that the contract fixes."""
    if "error" in result:
        return {"error": result["error"], "field": result.get("field")}
    if op["op"] == "status":
        return {one["pool"]: comparable(one) for one in result["pools"] if is_occupied(one)}
    if op["op"] == "list":
        return {one["id"]: comparable(one) for one in result["reservations"] or []}
    return comparable(result)


def is_occupied(pool: Answer) -> bool:
    """Whether both must list the pool: the script also lists pools that were once in use."""
    return bool(pool["in_use"] or pool.get("snapshot"))


def describe(op: Op, script: Any, oracle: Any) -> str:
    """An operation and both answers, to debug a difference."""
    lines = (f"{name}: {json.dumps(one, sort_keys=True)}" for name, one in
             (("op", op), ("script", script), ("oracle", oracle)))  # fmt: skip
    return "\n".join(("the script and the oracle differ", *lines))


class Recorder:
    """The calls of one run, kept in a file as soon as script and oracle differ.

    Hypothesis reports an example only when it is done with shrinking, which a killed test never is.
    """

    smallest = sys.maxsize

    def __init__(self, policy: dict[str, Any]) -> None:
        self.policy = policy
        self.calls: list[tuple[list[Op], int, str]] = []

    def keep(self, folder: Path) -> None:
        """Write the calls unless a shorter example was written; say where at the first time."""
        text = json.dumps({"policy": self.policy, "calls": self.calls}, indent=1)
        if len(text) >= Recorder.smallest:
            return
        path = folder / "difference.json"
        if Recorder.smallest == sys.maxsize:
            advice = f"a difference, kept in {path}: move it to {RECORDED}"
            print(advice, file=sys.__stderr__, flush=True)
        Recorder.smallest = len(text)
        folder.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")


def replay(path: Path, client: redis.Redis) -> None:
    """Repeat recorded calls on script and oracle; fails where they differ."""
    recorded = json.loads(path.read_text("utf-8"))
    LedgerMachine.zones += 1
    script = ScriptRunner(client, f"zone{LedgerMachine.zones}")
    oracle = OracleLedger(recorded["policy"])
    script.run([stored(recorded["policy"])], *recorded["calls"][0][1:])
    for ops, raw_ms, run_id in recorded["calls"]:
        compare(ops, script.run(ops, raw_ms, run_id), oracle.call(ops, raw_ms, run_id))


def stored(policy: dict[str, Any]) -> Op:
    """The operation that stores a policy in a new zone."""
    return {"op": "policy", "mode": "apply", "digest": "d", "source": "{}", "fields": policy}


def compare(ops: list[Op], script: Answer, oracle: Answer) -> None:
    """Fail where two answers to the same call differ."""
    assert script["now"] == oracle["now"], describe({}, script, oracle)
    for op, left, right in zip(ops, script["results"], oracle["results"], strict=True):
        same = what_counts(op, left) == what_counts(op, right)
        assert same, describe(op, left, right)


class LedgerMachine(RuleBasedStateMachine):
    """Both ledgers of one zone, driven in step. `client`: where the script runs; a subclass's."""

    zones = 0
    client: Callable[[], redis.Redis]
    kept_in = ROOT / ".hypothesis"

    @initialize(policy=policies(), recovers=st.integers(0, 9), data=st.data())
    def begin(self, policy: dict[str, Any], recovers: int, data: st.DataObject) -> None:
        self.start(policy)
        self.run_id = "first"
        self.pools: Any = None
        self.both([STATUS])
        if recovers:
            self.raw_ms += 500
            self.alone(self.draws.sane_snapshot, data)

    def start(self, policy: dict[str, Any]) -> None:
        """A new zone with that policy, on both."""
        LedgerMachine.zones += 1
        self.script = ScriptRunner(self.client(), f"zone{LedgerMachine.zones}")
        self.oracle = OracleLedger(policy)
        self.recorder = Recorder(policy)
        self.raw_ms, self.run_id = START_MS, "born"
        self.now = START_MS
        self.draws = Draws(policy)
        self.script.run([stored(policy)], self.raw_ms, self.run_id)

    def both(self, ops: list[Op]) -> list[Answer]:
        """One call on both; fails where they differ."""
        self.recorder.calls.append((ops, self.raw_ms, self.run_id))
        oracle = self.oracle.call(ops, self.raw_ms, self.run_id)
        script = self.script.run(ops, self.raw_ms, self.run_id)
        try:
            compare(ops, script, oracle)
        except AssertionError:
            self.recorder.keep(self.kept_in)
            raise
        self.now = oracle["now"]
        self.draws.learn(ops, script["results"])
        if script.get("recount"):  # a client sends calls until nothing waits for the recount
            self.both([{"op": "time"}])
        return list(script["results"])

    def alone(self, draw: Callable[..., Op], data: st.DataObject) -> None:
        """One drawn operation between two looks at the counts; a denial or fault moves nothing."""
        self.both([{"op": "time"}])
        op = draw(data.draw, self.now)
        before, result, after = self.both([STATUS, op, STATUS])
        is_dropped = op["op"] == "learn" and bool(result["refused"])
        is_denied = result.get("decision") == "deny"
        if ("error" in result and op["op"] != "end") or is_denied or is_dropped:
            assert before["pools"] == after["pools"], describe(op, before, after)
        self.pools = after["pools"]

    @rule(data=st.data())
    def admit(self, data: st.DataObject) -> None:
        self.alone(self.draws.admit, data)

    @rule(data=st.data())
    def admit_plainly(self, data: st.DataObject) -> None:
        self.alone(self.draws.plain_admit, data)

    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        self.alone(self.draws.report, data)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self.alone(self.draws.end, data)

    @rule(data=st.data())
    def ingest(self, data: st.DataObject) -> None:
        self.alone(self.draws.sane_snapshot, data)

    @rule(data=st.data())
    def learn(self, data: st.DataObject) -> None:
        self.alone(self.draws.learned, data)

    @rule(data=st.data(), later=st.integers(1, 400))
    def a_snapshot_is_learned_from(self, data: st.DataObject, later: int) -> None:
        self.a_snapshot_comes(data, later)
        self.alone(self.draws.learned, data)

    @rule(data=st.data())
    def ingest_anything(self, data: st.DataObject) -> None:
        self.alone(self.draws.snapshot, data)

    @rule(data=st.data())
    def ask_the_rest(self, data: st.DataObject) -> None:
        self.alone(self.draws.other, data)

    @rule(data=st.data())
    def group_commit(self, data: st.DataObject) -> None:
        ops = [
            self.draws.anything(data.draw, self.now) for _ in range(data.draw(st.integers(2, 6)))
        ]
        self.pools = self.both([*ops, STATUS])[-1]["pools"]

    @rule(step=time_steps, server=st.integers(0, 15))
    def time_passes(self, step: int, server: int) -> None:
        self.raw_ms += step
        if server == 15:
            self.run_id += "'"

    @rule(data=st.data(), later=st.integers(1, 400))
    def a_snapshot_comes(self, data: st.DataObject, later: int) -> None:
        self.raw_ms += later
        self.alone(self.draws.sane_snapshot, data)

    @rule(data=st.data(), later=st.integers(0, 200))
    def a_call_lives(self, data: st.DataObject, later: int) -> None:
        """Long enough for a snapshot to show it, and to earn the credit or miss it."""
        self.alone(self.draws.plain_admit, data)
        self.a_snapshot_comes(data, 351 + later)
        self.raw_ms += later
        self.both([{"op": "time"}])
        self.alone(self.draws.plain_end, data)

    @invariant()
    def no_count_is_negative(self) -> None:
        for pool in getattr(self, "pools", None) or []:
            counts = [pool.get(n) for n in ("in_use", "held", "pending", "ceiling", "limit")]
            assert all(n is None or n >= 0 for n in counts), pool

    def teardown(self) -> None:
        """Once dialers stop and every deadline has passed, nothing is in use."""
        if not hasattr(self, "draws"):
            return
        self.both([{"op": "get", "id": id_} for id_ in self.draws.ids] or [STATUS])
        for _ in range(4):
            self.raw_ms += self.draws.longest_ms
            (status,) = self.both([STATUS])
        assert not any(pool["in_use"] for pool in status["pools"]), status["pools"]
