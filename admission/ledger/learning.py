"""Learned ceilings: observations of an ingest become a `learn` operation (lua/commands/learn.lua).

The script summarises what its own calls did (lua/state/age_bins.lua) and stores what was learned;
the estimator between the two is pure (admission/estimator).
"""

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from admission.estimator import Counters, Observation, Parameters, State, findings, learn
from admission.estimator.parameters import DEFAULT_TARGET

log = logging.getLogger(__name__)

FINDINGS: Final = (
    *("claim_median_ms", "claim_p99_ms", "count_age_ms"),
    *("foreign_sd_per_s", "foreign_slope_per_s"),
)
_AGE_DIGITS: Final = 2  # of a call in the summaries of ends and of reported ports


def build_learn(observations: Mapping[str, Any]) -> dict[str, Any] | None:
    """Learn from the observations of an ingest.

    Args:
        observations: pool -> what the script answered for it.

    Returns:
        The `learn` operation; None where nothing is new.
    """
    pools = {}
    for pool, given in observations.items():
        try:
            learned = _learn(given)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            # Nothing is learned from this snapshot; the proved ceiling takes over in time.
            log.exception("pool %s: no ceiling was learned", pool)
            continue
        if learned:
            pools[pool] = learned
    return {"op": "learn", "pools": pools} if pools else None


def _learn(given: Mapping[str, Any]) -> dict[str, Any] | None:
    stored = given.get("state")
    state = State.load(stored) if stored else None
    step = learn(state, read_observation(given), _parameters(given.get("target")))
    if step is None:
        return None
    estimate = step.estimate
    lifted = {"lifts_freeze_of": given["frozen_at"]} if estimate.lifts_freeze else {}
    return lifted | {
        "t0": given["t0"],
        "after": given["after"],
        "failures": given["failures"],
        "drops": given["drops"],
        "state": step.state.dump(),
        "step_ms": estimate.step_ms,
        "valid_until": estimate.valid_until,
        "pending": max(0, estimate.pending),
        "burst_limit": estimate.burst_limit,
        "doubts": sorted(estimate.doubts),
        "ceilings": estimate.ceilings,
    }


@lru_cache(maxsize=64)
def _parameters(target: float | None) -> Parameters:
    return Parameters.for_target(DEFAULT_TARGET if target is None else target)


def read_observation(given: Mapping[str, Any]) -> Observation:
    """What the script answered of one pool, as the estimator takes it."""
    counts: dict[str, dict[int, int]] = {"g": {}, "l": {}}
    events: dict[str, dict[int, list[int]]] = {"e": {}, "f": {}, "t": {}, "u": {}}
    bins = given["bins"] or {}  # an empty object of Lua may arrive as an empty list
    for name, text in bins.items():
        kind = name[0]
        if kind in counts:
            counts[kind][int(name[1:])] = int(text)
        elif kind in events:
            events[kind][int(name[1:])] = _read_starts(int(name[1:]), text)
    return Observation(
        t0=given["t0"],
        t1=given["t1"],
        total=given["total"],
        unused=given["unused"],
        in_use=given["in_use"],
        counted_at=_read_counted_at(given),
        shares_total=given["shares_total"],
        granted=counts["g"],
        launched=counts["l"],
        ended_granted=events["e"],
        ended_launched=events["f"],
        taken_granted=events["t"],
        taken_launched=events["u"],
        counters=Counters(
            reports=int(bins.get("reports", 0)),
            report_delay_ms=int(bins.get("report_delay", 0)),
            ends=given["ends"],
            failures=given["failures"],
            drops=given["drops"],
        ),
        failed_at=given["failed_at"],
        frozen_at=given["frozen_at"],
    )


def _read_counted_at(given: Mapping[str, Any]) -> int | None:
    """The stated time of the count; none is later than its answer."""
    stated = given.get("counted_at")
    return None if stated is None else min(int(stated), int(given["t1"]))


def _read_starts(ended: int, ages: str) -> list[int]:
    """The bins in which calls began that ended, or whose port was reported, in one bin."""
    return [
        ended - int(ages[place : place + _AGE_DIGITS]) for place in range(0, len(ages), _AGE_DIGITS)
    ]


def describe_learned(stored: str | None, target: float | None) -> dict[str, Any]:
    """What a stored state says of the platform and of foreign use, in the fields of the API."""
    state = State.load(stored) if stored else None
    found = findings(state, _parameters(target)) if state else None
    if found is None:
        return {}
    times_s = (found.claim_median_s, found.claim_p99_s, found.count_age_s)
    values = [
        *(round(1000 * time_s) for time_s in times_s),
        *(round(rate, 2) for rate in (found.foreign_sd_per_s, found.foreign_slope_per_s)),
    ]
    return dict(zip(FINDINGS, values, strict=True))
