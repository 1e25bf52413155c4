# ruff: noqa: E501 - a rule and its mutation stand side by side
"""Each rule of the script, broken once: the machine must see it."""

from dataclasses import dataclass

import pytest
import redis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from admission.ledger import scripts
from tests.ledger import machine

EXAMPLES = 400


@dataclass(frozen=True, slots=True)
class Mutation:
    """A rule of the Lua, and what it becomes."""

    name: str
    rule: str
    broken: str


MUTATIONS = (
    Mutation("held end keeps the ceiling", "p[field] = max(0, p[field] - 1) end", "end"),
    Mutation("credit without port", "not (HAD_A_PORT[r.outcome] or r.taken) or", ""),
    Mutation("credit whatever was photographed", "and busy_until > photographed_at", ""),
    Mutation("credit ignores end_notice", "r.ended_at - zone.end_notice - drift", "r.ended_at - drift"),
    Mutation("no lag", "t0, now, t0 - zone.visibility_lag, true", "t0, now, t0, true"),
    Mutation("held includes the edge", "r.visible_by < p.w0", "r.visible_by <= p.w0"),
    Mutation("replay launches as if new", "(op.seen or now) or 0", "q.granted_at or 0"),
    Mutation("a future end is believed", "op.ended_at <= now and op.ended_at", "op.ended_at"),
    Mutation("equal t0 is newer", "t0 <= p.t0 or", "t0 < p.t0 or"),
    Mutation("wrap is room", "n >= 0 and n < WRAP and", "n >= 0 and"),
    Mutation("unused above total", "return sum <= total", "return true"),
    Mutation("launched alone takes the port", "if op.port_taken then\n    changed", "if true then\n    changed"),
    Mutation("unknown ends at once", "return give_up(r) end", "op.outcome = 'failed' end"),
    Mutation("release at once", "if zone.release_within > 0 then", "if false then"),
    Mutation("no recovery", "meta.run_id ~= run_id or silent", "false"),
    Mutation("partial grants one too many", "if free and free < k then\n        k = free", "if free and free < k then\n        k = free + 1"),
    Mutation("headroom is granted", "local free = limit - pools.headroom(p, limit) - p.in_use", "local free = limit - p.in_use"),
    Mutation("conflicts are replayed", "if q.body ~= op.body then", "if false then"),
    Mutation("a tombstone is adopted", "or record.read(op.id)) then return wrong end", ") then return wrong end"),
    Mutation("best survives a recovery", "if p.best and p.w0 <= meta.recover_until then", "if false then"),
    Mutation("credit across a step back", "r.granted_at <= (meta.stepped or 0) or", ""),
)  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_machine_sees(mutation: Mutation, redis_sync: redis.Redis, monkeypatch):
    right = scripts.load("test").source
    assert mutation.rule in right, "the rule is written differently now: mend the mutation"
    wrong = right.replace(mutation.rule, mutation.broken)
    monkeypatch.setattr(machine, "load", lambda clock: scripts.Script(source=wrong, sha="0" * 40))

    class OnServer(machine.LedgerMachine):
        client = staticmethod(lambda: redis_sync)

    quick = settings(
        max_examples=EXAMPLES,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        database=None,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(seed(1)(OnServer), settings=quick)
