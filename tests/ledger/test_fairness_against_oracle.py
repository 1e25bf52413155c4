"""Fairness: script and oracle give equal answers, to the last field.

Guarantees, classes, weights, contention, rates, breakers, pauses, temporary limits, shadow mode,
and policies that change all of it, in random orders, with time in us. A seed makes a run; a run
that fails is reduced to the calls without which it no longer fails, and these are printed.
"""

import itertools
import json
import os
from random import Random
from typing import Any, NamedTuple

import pytest
import redis

from tests.ledger.fairness_generators import FairDraws, step_us
from tests.ledger.fairness_rules import policy
from tests.ledger.machine import describe, what_counts
from tests.oracle import OracleLedger
from tests.support.virtual_zone import START_US, VirtualZone

# ADMISSION_EXAMPLES multiplies how many runs are tried.
RUNS = 6 * int(os.environ.get("ADMISSION_EXAMPLES", "1"))
CALLS = 200
CLAIM_US = 401_000
RECOUNT_CALLS_MAX = 50
STATUS: dict[str, Any] = {"op": "status"}
TIME: dict[str, Any] = {"op": "time"}
KINDS = list(itertools.product([False, True], [False, True]))


class Call(NamedTuple):
    """Operations, and how long after the call before."""

    step_us: int
    ops: list[dict[str, Any]]


class Difference(Exception):
    """The script and the oracle do not answer the same."""


class Both:
    """Both ledgers of one new zone, driven in step."""

    zones = itertools.count()

    def __init__(self, client: redis.Redis, fields: dict[str, Any]) -> None:
        self.script = VirtualZone(client, fields, f"zone{next(self.zones)}")
        self.oracle = OracleLedger(fields)
        self.oracle.call([STATUS], START_US // 1000, "first")

    def do(self, call: Call) -> list[dict[str, Any]]:
        """One call on both, with a look at the pools after it."""
        self.script.now_us += call.step_us
        ops = [*call.ops, STATUS]
        now_us = self.script.now_us
        oracle = self.oracle.call(ops, now_us // 1000, "first", now_us)
        script = self.script.whole(*ops)
        for op, left, right in zip(ops, script["results"], oracle["results"], strict=True):
            if what_counts(op, left) != what_counts(op, right):
                raise Difference(describe(op, left, right))
        self.end_recount(script)
        return list(script["results"][:-1])

    def end_recount(self, reply: dict[str, Any]) -> None:
        """Send calls until nothing waits for a recount, as a client does (ledger/recounts.py)."""
        for _ in range(RECOUNT_CALLS_MAX):
            if not reply.get("recount"):
                return
            reply = self.script.whole(TIME)
            self.oracle.call([TIME], self.script.now_us // 1000, "first", self.script.now_us)
        raise Difference("the recount does not end")


def drawn(client: redis.Redis, kind: tuple[bool, bool], rng: Random) -> list[Call] | None:
    """Draw and do calls until both differ; None if they never do."""
    fields = policy(rng, *kind)
    calls = [Call(0, [start(fields)])]
    both, draws = Both(client, fields), FairDraws(rng, fields)
    for n in range(CALLS):
        step = step_us(rng) if n else CLAIM_US
        now_ms = (both.script.now_us + step) // 1000
        calls.append(Call(step, draws.some(now_ms) if n else [draws.snapshot(now_ms)]))
        try:
            draws.learn(calls[-1].ops, both.do(calls[-1]))
        except Difference:
            return calls
    return None


def start(fields: dict[str, Any]) -> dict[str, Any]:
    """The policy that a run begins with, kept with its calls."""
    return {"op": "policy", "fields": fields}


def difference(client: redis.Redis, calls: list[Call]) -> str | None:
    """Where both differ when these calls are made, None if nowhere."""
    both = Both(client, calls[0].ops[0]["fields"])
    try:
        for call in calls[1:]:
            both.do(call)
    except Difference as found:
        return str(found)
    return None


def smallest(client: redis.Redis, calls: list[Call]) -> list[Call]:
    """Leave out operations and calls as long as the rest still differs; time stays as it is."""
    for n in range(len(calls) - 2, 0, -1):
        for ops in ([], *([op] for op in calls[n].ops)):
            fewer = [*calls[:n], calls[n]._replace(ops=ops), *calls[n + 1 :]]
            if len(ops) < len(calls[n].ops) and difference(client, fewer):
                calls = fewer
                break
    return joined(calls)


def joined(calls: list[Call]) -> list[Call]:
    """Without calls that do nothing but let time pass."""
    left, waited = [calls[0]], 0
    for call in calls[1:]:
        waited += call.step_us
        if call.ops:
            left.append(Call(waited, call.ops))
            waited = 0
    return left


@pytest.mark.parametrize("kind", KINDS, ids=["static", "static-mpps", "fed", "fed-mpps"])
def test_script_and_oracle_grant_the_next_port_to_the_same_campaign(redis_sync, kind):
    for seed in range(RUNS):
        calls = drawn(redis_sync, kind, Random(seed))
        if calls:
            few = smallest(redis_sync, calls)
            text = "\n".join(f"+{call.step_us} us {json.dumps(call.ops)}" for call in few)
            pytest.fail(f"seed {seed}\n{text}\n{difference(redis_sync, few)}")
