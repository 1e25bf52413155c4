# ruff: noqa: E501 - a rule and its mutation stand side by side
"""Each rule of the script, broken once: some table of the rules must see it, and the machine too.

A mutation that nothing sees is a rule that nobody tests.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from admission.ledger import scripts
from tests.ledger import machine
from tests.ledger.zones import RuleZone, ScriptLedger

EXAMPLES = 400
TABLES = [
    import_module(f"tests.ledger.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("test_rules*.py"))
    if path.stem != Path(__file__).stem
]
# What the machine meets soon; that it can fail at all is the point.
SEEN_BY_THE_MACHINE = ("held end keeps the ceiling", "no lag", "partial grants one too many")


@dataclass(frozen=True, slots=True)
class Mutation:
    """A rule of the Lua, and what it becomes."""

    name: str
    rule: str
    broken: str

    def script(self) -> scripts.Script:
        """The script with the rule broken."""
        right = scripts.load("test").source
        assert self.rule in right, "the rule is written differently now: mend the mutation"
        return scripts.Script(source=right.replace(self.rule, self.broken), sha="0" * 40)


MUTATIONS = (
    Mutation("held end keeps the ceiling", "p[field] = max(0, p[field] - 1)", ""),
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
    Mutation("an mpp's lapsed photograph is waited for", "p.fed and (p.kind ~= 'mpp' or limits.is_fresh(p))", "p.fed"),
    Mutation("no mpp's photograph is waited for", "p.kind ~= 'mpp' or limits.is_fresh(p)", "p.kind ~= 'mpp'"),
    Mutation("less than nothing is told as room", "limit and max(0, limits.get_room(p)), verdict", "limits.get_room(p), verdict"),
    Mutation("release at once", "if zone.release_within > 0 then", "if false then"),
    Mutation("no recovery", "if is_another_server() or silent then", "if false then"),
    Mutation("partial grants one too many", "if free and free < k then\n        k = free", "if free and free < k then\n        k = free + 1"),
    Mutation("headroom is granted", "limit and limit - limits.get_headroom(p, limit) or false", "limit or false"),
    Mutation("conflicts are replayed", "if q.body ~= op.body then", "if false then"),
    Mutation("a tombstone is adopted", "or reservation.read(op.id)) then return wrong end", ") then return wrong end"),
    Mutation("best survives a recovery", "or p.w0 <= meta.recover_until then return ceiling.forget_kept(p) end", "then return ceiling.forget_kept(p) end"),
    Mutation("a launch told is a port taken", "visible_by(r, now + r.claim_within)", "visible_by(r, now)"),
    Mutation("an end lowers no kept ceiling", "elseif ceiling.counts(p, r) then", "elseif false then"),
    Mutation("a failure earns the credit", "if r.outcome == 'failed' then return nil end", ""),
    Mutation("a failure lowers no kept ceiling", "or (r.outcome == 'failed' and (r.taken or occupancy.holds(p, r)))", ""),
    Mutation("a kept ceiling does not shrink", "p.best - growth(p.best_w0)", "p.best"),
    Mutation("no_resource warns nobody", "need('adaptive_headroom').grow(p)", ""),
    Mutation("nothing is won back", "if p.adaptive then need('adaptive_headroom').shrink(p) end", ""),
    Mutation("a loss forgets earlier policies", "max(zone.claim_max, zone.claim_before or 0)", "zone.claim_max"),
    Mutation("only the policy before counts", "now - before.replaced_at > earlier then", "true then"),
    Mutation("the policy before does not count", "max(told, earlier, before.claim_max)", "max(told, earlier)"),
    Mutation("an earlier policy counts for ever", "then earlier = 0 end", "then end"),
    Mutation("a new feed asks the newest policy", "now + zone.claim_longest or 0", "now + zone.claim_max or 0"),
    Mutation("a channel's feed knows all calls at once", "pools.restart_feed(p, meta.recover_until)", "pools.restart_feed(p, 0)"),
    Mutation("an old feed is believed", "for _, p in ipairs(new) do pools.restart_feed(p, meta.recover_until) end", ""),
    Mutation("an MPP out of policy is endless", "not pools.is_whole_mpp(name) and { limit = 0 } or {}", "{}"),
    Mutation("credit across a step back", "r.granted_at <= (meta.stepped or 0) or", ""),
)  # fmt: skip


def cases() -> Iterator[Callable[[], None]]:
    """Every line of every table."""
    for name, test in ((n, f) for table in TABLES for n, f in vars(table).items()):
        if name.startswith("test_"):
            yield from (partial(test, **line) for line in lines(test))


def lines(test: Callable[..., None]) -> list[dict[str, object]]:
    """The arguments that a test is parametrized with."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    found = []
    for some in product(*(mark.args[1] for mark in marks)):
        line: dict[str, object] = {}
        for mark, values in zip(marks, some, strict=True):
            names = [mark.args[0]] if isinstance(mark.args[0], str) else list(mark.args[0])
            line |= dict(zip(names, values if len(names) > 1 else [values], strict=True))
        found.append(line)
    return found


def fails(case: Callable[[], None]) -> bool:
    """Whether a line sees that something is wrong."""
    try:
        case()
    except (AssertionError, KeyError, TypeError):
        return True
    return False


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_table_sees(mutation: Mutation, redis_sync: redis.Redis, monkeypatch):
    wrong = mutation.script()
    backend = staticmethod(lambda fields: ScriptLedger(redis_sync, fields, wrong))
    monkeypatch.setattr(RuleZone, "backend", backend)
    assert any(fails(case) for case in cases())


@pytest.mark.parametrize("name", SEEN_BY_THE_MACHINE)
def test_the_machine_sees(name: str, redis_sync: redis.Redis, monkeypatch):
    (mutation,) = (one for one in MUTATIONS if one.name == name)
    wrong = mutation.script()
    monkeypatch.setattr(machine, "load", lambda clock: wrong)

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
