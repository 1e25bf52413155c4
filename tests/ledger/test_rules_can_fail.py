"""Each rule of the script, broken once: some table of the rules must see it, and the machine too.

A mutation that no test detects is a rule without a test.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.ledger import machine
from tests.ledger.learned_rules import MUTATIONS as LEARNED
from tests.support.lua_mutations import LuaMutation
from tests.support.rule_zone import RuleZone, ScriptLedger

EXAMPLES = 400
TABLES = [
    import_module(f"tests.ledger.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("test_rules*.py"))
    if path.stem != Path(__file__).stem
]
# What the machine meets soon; that it can fail at all is the point.
SEEN_BY_THE_MACHINE = (
    *("held end keeps the ceiling", "no lag", "partial grants one too many"),
    *("a snapshot teaches twice", "a failing launch does not lower what was learned"),
    *("launched calls have no age", "a mass of ends freezes nothing"),
)


MUTATIONS = (
    LuaMutation(name="held end keeps the ceiling", tag="ceiling-falls"),
    LuaMutation(
        name="only counts of a pool are written",
        tag="changed-pool-is-written-in-full",
        becomes="pool.is_written = true",
    ),
    LuaMutation(name="credit without port", tag="credit-needs-port"),
    LuaMutation(name="credit whatever the snapshot shows", tag="credit-ended-after-snapshot"),
    LuaMutation(
        name="credit ignores end_notice",
        tag="credit-end-notice",
        becomes="local busy_until = record.ended_at - drift",
    ),
    LuaMutation(
        name="no lag",
        tag="visibility-lag",
        becomes="return op.t0",
    ),
    LuaMutation(
        name="the stated time of a count does not count",
        tag="stated-time-of-count",
        becomes="if op.counted_at then return op.t0 end",
    ),
    LuaMutation(
        name="held includes the edge",
        tag="held-boundary",
        becomes="return pool.w0 ~= nil and record.visible_by <= pool.w0",
    ),
    LuaMutation(
        name="replay launches as if new",
        tag="replay-launch-deadline",
        becomes="answer.launch_within_ms = live and earlier.launch_within or 0",
    ),
    LuaMutation(
        name="a future end is believed",
        tag="end-in-future-ignored",
        becomes="record.ended_at = op.ended_at or false",
    ),
    LuaMutation(
        name="equal t0 is newer",
        tag="snapshot-order",
        becomes="return pool.t0 and (t0 < pool.t0 or w0 < pool.w0)",
    ),
    LuaMutation(
        name="wrap is room",
        tag="count-range",
        becomes="return type(value) == 'number' and value >= 0 and value == floor(value)",
    ),
    LuaMutation(name="unused above total", tag="unused-within-total", becomes="return true"),
    LuaMutation(
        name="launched alone takes the port", tag="launch-is-no-port", becomes="if true then"
    ),
    LuaMutation(
        name="unknown ends at once",
        tag="unknown-outcome-waits",
        becomes="if op.outcome == 'unknown' then op.outcome = 'failed' end",
    ),
    LuaMutation(
        name="an mpp's lapsed snapshot is waited for",
        tag="mpp-snapshot-lapses",
        becomes="return pool.fed",
    ),
    LuaMutation(
        name="no mpp's snapshot is waited for",
        tag="mpp-snapshot-lapses",
        becomes="return pool.fed and pool.kind ~= 'mpp'",
    ),
    LuaMutation(
        name="a stale group is foreign use",
        tag="stale-group-is-not-foreign",
        becomes="if pool.group then",
    ),
    LuaMutation(
        name="foreign use is that of one group",
        tag="foreign-of-whole-groups",
        becomes="if group.missing == 0 then used, oldest, w0 = group.used, min(oldest, group.t0), "
        "min(w0, group.w0) end",
    ),
    LuaMutation(
        name="half a group is foreign use",
        tag="foreign-of-whole-groups",
        becomes="used, oldest, w0 = used + group.used, min(oldest, group.t0), min(w0, group.w0)",
    ),
    LuaMutation(
        name="calls are held before each group shows them",
        tag="foreign-window-of-oldest",
        becomes="move_window(pool, now, now - zone.visibility_lag)",
    ),
    LuaMutation(
        name="a named pool is stale for ever",
        tag="named-snapshot-lapses",
        becomes="return not pool.known",
    ),
    LuaMutation(
        name="a dropped pool keeps its snapshot",
        tag="named-snapshot-lapses",
        becomes="return now - pool.t0 > zone.max_call",
    ),
    LuaMutation(
        name="the pending calls of an earlier feed stay",
        tag="earlier-feed-is-forgotten",
        becomes="",
    ),
    LuaMutation(
        name="negative room is reported",
        tag="room-not-negative",
        becomes="room = limits.get_room(pool),",
    ),
    LuaMutation(name="release at once", tag="release-within", becomes="if false then"),
    LuaMutation(name="no recovery", tag="loss-begins-recovery"),
    LuaMutation(
        name="partial grants one too many", tag="partial-grant", becomes="units = free + 1"
    ),
    LuaMutation(
        name="headroom is granted",
        tag="headroom-not-granted",
        becomes="pool.usable_now = limit or false",
    ),
    LuaMutation(name="conflicts are replayed", tag="replay-same-body"),
    LuaMutation(
        name="a tombstone is adopted",
        tag="tombstone-not-adopted",
        becomes="if wrong and wrong.error ~= 'unknown_reservation' then return wrong end",
    ),
    LuaMutation(name="best survives a recovery", tag="best-ceiling-ends-with-loss"),
    LuaMutation(
        name="a launch report is a taken port",
        tag="claim-after-launch",
        becomes="occupancy.limit_visible_by(record, now)",
    ),
    LuaMutation(
        name="an end lowers no kept ceiling",
        tag="end-lowers-best-ceiling",
        becomes="elseif false then",
    ),
    LuaMutation(name="a failure earns the credit", tag="credit-not-after-failure"),
    LuaMutation(
        name="a pending failure gives its port back",
        tag="held-end-lowers-ceiling",
        becomes="if occupancy.holds(pool, r) then lower(pool, 'ceiling', pool.t1, credit) end",
    ),
    LuaMutation(name="a failure takes a trunk away", tag="failure-loses-ports-only"),
    LuaMutation(
        name="a failure lowers no kept ceiling",
        tag="failure-lowers-best-ceiling",
        becomes="if expired then",
    ),
    LuaMutation(
        name="a kept ceiling does not shrink",
        tag="best-ceiling-shrinks",
        becomes="if pool.best_w0 and can_keep(pool) then most = max(most, pool.best) end",
    ),
    LuaMutation(name="no_resource raises no headroom", tag="no-resource-raises-headroom"),
    LuaMutation(name="headroom never recovers", tag="headroom-recovers"),
    LuaMutation(
        name="a loss forgets earlier policies",
        tag="claims-of-earlier-policies",
        becomes="zone.claim_longest = zone.claim_max",
    ),
    LuaMutation(
        name="only the policy before counts",
        tag="earlier-claim-lapses",
        becomes="if before.replaced_at then earlier = 0 end",
    ),
    LuaMutation(
        name="the policy before does not count",
        tag="claims-of-replaced-policy",
        becomes="rules.claim_before, rules.replaced_at = max(restored, earlier), now",
    ),
    LuaMutation(name="an earlier policy counts for ever", tag="earlier-claim-lapses"),
    LuaMutation(
        name="a new feed asks the newest policy",
        tag="feed-waits-for-claims",
        becomes="pools.change(pool, { known_at = is_known and 0 or now + zone.claim_max })",
    ),
    LuaMutation(
        name="a channel's feed knows all calls at once",
        tag="new-feed-waits",
        becomes="for _, pool in ipairs(new) do pools.restart_feed(pool, 0) end",
    ),
    LuaMutation(name="an old feed is believed", tag="new-feed-waits"),
    LuaMutation(
        name="an MPP out of policy is endless", tag="unnamed-mpp-has-no-ports", becomes="return {}"
    ),
    LuaMutation(
        name="credit across a backward clock step",
        tag="credit-not-across-clock-step",
        becomes="if record.adopted then return nil end",
    ),
    LuaMutation(
        name="a pass of the fast path holds for ever",
        tag="fast-path-valid",
        becomes="if not (plan.shared.early_passed_at and plan.is_simple) or ask.count ~= 1 "
        "then return nil end",
    ),
    LuaMutation(
        name="an unknown call is adopted at any time",
        tag="adoption-only-after-loss",
        becomes="return true",
    ),
    LuaMutation(
        name="more is adopted than there is", tag="adoption-bounded", becomes="if false then end"
    ),
    LuaMutation(
        name="an id without proof is adopted",
        tag="adoption-needs-proof",
        becomes="local is_explained = known or is_explained_by_loss(record)",
    ),
    LuaMutation(
        name="ends of unknown calls are always kept",
        tag="tombstone-only-after-loss",
        becomes="local may_be_adopted = true",
    ),
    LuaMutation(
        name="everything is granted without a pacing engine",
        tag="limit-unset",
        becomes="local set = pool.set_until and now < pool.set_until and pool.set_limit or nil",
    ),
    LuaMutation(
        name="a strict rate forgets a part of its time",
        tag="strict-slot-counts-whole",
        becomes="local ends = closed + time / 2",
    ),
    LuaMutation(
        name="a campaign fills what is stored",
        tag="records-of-a-campaign",
        becomes="if false then",
    ),
    LuaMutation(
        name="stored reservations have no bound",
        tag="records-of-a-zone",
        becomes="do return nil, false end",
    ),
    LuaMutation(name="a call adds reservations without bound", tag="records-of-a-call"),
    LuaMutation(name="shadow mode has no bound", tag="shadow-bounded", becomes="return true"),
    LuaMutation(
        name="a push replaces polled counts", tag="push-beside-poll", becomes="return false"
    ),
    *LEARNED,
)


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
def test_the_tables_detect(mutation: LuaMutation, redis_sync: redis.Redis, monkeypatch):
    wrong = mutation.script()
    backend = staticmethod(lambda fields: ScriptLedger(redis_sync, fields, wrong))
    monkeypatch.setattr(RuleZone, "backend", backend)
    assert any(fails(case) for case in cases())


@pytest.mark.parametrize("name", SEEN_BY_THE_MACHINE)
def test_random_operations_detect(name: str, redis_sync: redis.Redis, monkeypatch):
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
