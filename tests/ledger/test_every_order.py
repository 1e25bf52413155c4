"""Every order of events of small scopes, on the oracle: a granted call always finds a port.

`ADMISSION_WIDE=1` follows wider scopes too (minutes).
"""

import gc
import os
from collections.abc import Iterator

import pytest

from tests.ledger.every_order import Explorer, OverLaunchError
from tests.ledger.small_scope import Scope
from tests.oracle import Rules

# Snapshots anywhere in their windows, claims anywhere in theirs, every report at once, late or
# never. Each scope with about as many states as were found in it when this was written.
SCOPES = {
    "plain": (Scope(ticks=3), 103_000),
    "a foreign call arrives": (Scope(ports=1, calls=2, ticks=4, arrivals=1), 68_000),
    "ends known late": (Scope(ports=1, ticks=4, claim=0, end_notice=1), 21_000),
    "launches reported early": (Scope(ports=1, calls=2, ticks=4, early_launched=True), 20_000),
    "launches reported": (Scope(ports=1, calls=2, ticks=3, launch=1), 10_000),
    "dedicated": (Scope(ports=1, calls=3, ticks=4, dedicated=True), 40_000),
    "dedicated, expiring": (
        Scope(ports=1, ticks=4, claim=0, max_age=1, answer_within=3, max_call=3, dedicated=True),
        28_000,
    ),
    "foreign use grows slowly": (Scope(calls=2, ticks=3, arrivals=1, growth=True), 70_000),
    "expiring": (
        Scope(ports=1, ticks=4, claim=0, max_age=1, answer_within=3, max_call=3),
        18_000,
    ),
    "lost": (Scope(ticks=3, snapshots=1, losses=1), 18_000),
    "lost, shortened": (Scope(ticks=3, snapshots=1, losses=1, shortened=True), 10_000),
    "lost, restated": (Scope(ticks=3, lag=0, snapshots=1, losses=1, adopts=True), 37_000),
    "restored": (
        Scope(ports=1, calls=2, ticks=4, lag=0, snapshots=1, losses=1, backup=True),
        46_000,
    ),
}
WIDE = {
    "plain": Scope(ticks=5),
    "a foreign call stays": Scope(ticks=5, foreign=1),
    "a foreign call arrives": Scope(ticks=3, arrivals=1),
    "ends known late": Scope(ports=1, calls=2, ticks=5, arrivals=1, end_notice=1),
    "dedicated": Scope(ticks=4, dedicated=True),
    "expiring": Scope(ticks=5, foreign=1, max_age=1, answer_within=4, max_call=4),
    "lost": Scope(ticks=4, losses=1),
    "lost, restated": Scope(ticks=4, losses=1, adopts=True, calls=2),
    "restored": Scope(ticks=4, calls=2, losses=1, backup=True),
}
# The rule that is broken, and a scope in which a granted call then finds no port.
BROKEN = {
    "held_end_lowers": "a foreign call arrives",
    "held_expiry_lowers": "expiring",
    "credit_needs_port": "a foreign call arrives",
    "credit_needs_t1": "a foreign call arrives",
    "credit_needs_end_notice": "ends known late",
    "window_has_lag": "a foreign call arrives",
    "held_before_window": "a foreign call arrives",
    "launched_needs_port": "launches reported early",
    "launch_has_claim_time": "launches reported",
    "growth_shrinks": "foreign use grows slowly",
    "kept_ends_lower": "dedicated",
    "kept_expiry_lowers": "dedicated, expiring",
    "recovers": "lost",
    "earlier_policies_claim": "lost, shortened",
}


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Millions of tuples and no cycle among them: the collector would take a tenth of the time."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", SCOPES)
def test_a_granted_call_finds_a_port_in_every_order_of_events(name: str) -> None:
    scope, fewest = SCOPES[name]
    explorer = Explorer(scope)

    orders = explorer.explore()

    print(f"{name}: {orders:,} orders, {len(explorer.orders):,} states, {explorer.claims:,} claims")
    assert len(explorer.orders) >= fewest
    assert orders > 10**7
    assert explorer.claims > 900


@pytest.mark.parametrize("name", SCOPES)
def test_a_scope_keeps_the_assumptions(name: str) -> None:
    """An expiry while a launch is still under way would free a port that is taken."""
    scope, _ = SCOPES[name]
    shortest = min(scope.answer_within, scope.max_call)
    assert shortest > scope.claim + scope.lag + scope.max_age or shortest > scope.ticks


@pytest.mark.skipif("ADMISSION_WIDE" not in os.environ, reason="takes minutes: ADMISSION_WIDE=1")
@pytest.mark.parametrize("name", WIDE)
def test_a_granted_call_finds_a_port_in_every_order_of_more_events(name: str) -> None:
    Explorer(WIDE[name]).explore()


def test_every_rule_is_broken_once() -> None:
    assert set(BROKEN) == set(Rules.__dataclass_fields__)


@pytest.mark.parametrize("rule", BROKEN)
def test_without_the_rule_some_order_of_events_costs_a_port(rule: str) -> None:
    scope, _ = SCOPES[BROKEN[rule]]
    with pytest.raises(OverLaunchError):
        Explorer(scope, Rules(**{rule: False})).explore()
