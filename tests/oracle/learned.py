"""Learned ceilings: what the script answers of each snapshot, and what it stores and moves."""

from collections import Counter
from dataclasses import replace
from typing import Any

from tests.oracle.policy import kind
from tests.oracle.state import HAD_PORT, End, Estimate, Learning, Reservation, Zone

Answer = dict[str, Any]
BIN_MS, BINS, ENDS_BINS, AGE_MAX = 100, 72, 25, 99
GAIN_BIN_MS, GAIN_BINS = 300_000, 12
BURST_MS, LATE_END_MS, FAILURES_MS = 200, 500, 200
NO_CONVERSATION = ("no_answer", "busy", "bad_number")


def learns(zone: Zone, pool: str) -> bool:
    """Whether ceilings of a pool are learned: of a channel that snapshots feed."""
    return kind(pool) == "channel" and pool.partition(":")[2] in zone.policy.fed()


def of(zone: Zone, pool: str) -> Learning:
    """What is known of a pool."""
    return zone.learning.get(pool, Learning())


def put(zone: Zone, pool: str, **changes: Any) -> None:
    """Change what is known of a pool."""
    zone.learning[pool] = replace(of(zone, pool), **changes)


def observe(zone: Zone, pool: str, shares_total: bool) -> Answer:
    """What the estimator needs of the snapshot that was just taken."""
    newest, known, snapshot = zone.now // BIN_MS, of(zone, pool), zone.snapshots[pool]
    bins: Counter[str] = Counter()
    for one in zone.holders(pool):
        start = one.granted_at if one.launched_at is None else one.launched_at
        is_known = (one.id, one.launched_at) not in known.before and not one.adopted
        if is_known and not one.taken and start // BIN_MS >= newest - BINS:
            bins[f"{'g' if one.launched_at is None else 'l'}{start // BIN_MS}"] += 1
    ends: dict[str, str] = {}
    for events, letters in ((known.ended, "ef"), (known.taken, "tu")):
        for one in (event for event in events if event.bin >= newest - ENDS_BINS):
            name = f"{letters[one.launched]}{one.bin}"
            ends[name] = ends.get(name, "") + f"{one.age:02d}"
    totals = {"reports": known.reports, "report_delay": known.report_delay}
    texts = {name: str(n) for name, n in (*bins.items(), *totals.items()) if n}
    after = counted(zone, pool)
    return {
        "t0": snapshot.t0,
        "t1": snapshot.t1,
        "total": snapshot.total,
        "unused": snapshot.unused,
        "in_use": len(zone.holders(pool)),
        "shares_total": shares_total,
        "bins": texts | ends,
        "ends": known.ends,
        "failures": known.failures,
        "drops": known.drops,
        "failed_at": known.failed_at,
        "frozen_at": known.frozen_at or 0,
        "after": after,
        "state": known.state if after else None,
        "target": zone.policy.zone.get("overlaunch_target"),
    }


def counted(zone: Zone, pool: str) -> int:
    """The t0 of what was learned last, 0: nothing since the last recovery began."""
    estimate = of(zone, pool).estimate
    return estimate.t0 if estimate and estimate.t0 >= zone.recovered_from else 0


def learn(zone: Zone, op: Answer) -> Answer:
    """Store what was learned from a snapshot, once."""
    learned, refused = [], {}
    for pool, given in sorted(op["pools"].items()):
        reason = fault_of(zone, pool, given)
        if reason:
            refused[pool] = reason
        else:
            learned.append(pool)
            take(zone, pool, given)
    return {"learned": learned, "refused": refused}


def fault_of(zone: Zone, pool: str, given: Answer) -> str | None:
    """Why a result is dropped."""
    if not learns(zone, pool):
        return "not_fed"
    newest = zone.snapshots.get(pool)
    if newest is None or newest.t0 != given["t0"] or newest.total is None:
        return "overtaken"
    if given["t0"] < zone.recovered_from:
        return "before_recovery"
    if given["after"] != counted(zone, pool):
        return "overtaken"
    return None if is_consistent(given) else "inconsistent"


def is_consistent(given: Answer) -> bool:
    """Whether the numbers can be stored."""
    counts = [given["step_ms"], given["pending"], given["burst_limit"], *given["ceilings"]]
    small = all(n == int(n) and 0 <= n < 2**31 for n in counts)
    totals = [given["valid_until"], given["drops"], given["failures"]]
    large = all(n == int(n) and 0 <= n < 2**53 - 1 for n in totals)
    return small and large and given["step_ms"] > 0 and bool(given["ceilings"])


def take(zone: Zone, pool: str, given: Answer) -> None:
    """What happened after the observation still lowers the ceiling."""
    known = of(zone, pool)
    names = ("t0", "step_ms", "valid_until", "pending", "burst_limit")
    estimate = Estimate(
        t1=zone.snapshots[pool].t1,
        doubts=tuple(given["doubts"]),
        ceilings=tuple(given["ceilings"]),
        **{name: int(given[name]) for name in names},
    )
    is_lifted = known.frozen_at == given.get("lifts_freeze_of")
    put(
        zone,
        pool,
        estimate=estimate,
        state=given["state"],
        lowered=max(0, known.drops - given["drops"]),
        failed_ceiling=known.failed_ceiling if known.failures > given["failures"] else None,
        frozen_at=None if is_lifted else known.frozen_at,
    )


def fallback(zone: Zone, pool: str) -> str | None:
    """Why the learned ceiling alone does not count."""
    estimate = of(zone, pool).estimate
    if estimate is None:
        return "cold"
    if estimate.t0 < zone.recovered_from:
        return "recovering"
    if zone.now >= estimate.valid_until:
        return "stale"
    if not estimate.doubts:
        return None
    return "cold" if estimate.doubts == ("cold",) else "distrusted"


def learned_ceiling(zone: Zone, pool: str) -> int | None:
    """What was learned, as events have moved it since."""
    known = of(zone, pool)
    if known.estimate is None:
        return None
    if known.frozen_at is not None:
        return 0
    step = (zone.now - known.estimate.t1) // known.estimate.step_ms
    ceilings = known.estimate.ceilings
    most = ceilings[min(step, len(ceilings) - 1)] - known.lowered
    return max(0, most if known.failed_ceiling is None else min(most, known.failed_ceiling))


def count_gain(zone: Zone, pool: str) -> tuple[int, int]:
    """Of the last hour: ms in which campaigns contended, and the gain then in ports times ms."""
    oldest = zone.now // GAIN_BIN_MS - GAIN_BINS + 1
    recent = [one for one in of(zone, pool).gains if one.at // GAIN_BIN_MS >= oldest]
    return sum(one.lasted_ms for one in recent), sum(one.lasted_ms * one.ports for one in recent)


def note_launch(zone: Zone, one: Reservation, is_taken: bool) -> None:
    """A launch report of a call, before it changes the reservation."""
    if one.adopted:
        return
    for pool in filter(lambda pool: learns(zone, pool), one.pools):
        known = of(zone, pool)
        if is_taken and not one.taken:
            put(zone, pool, taken=(*known.taken, describe(zone.now, one)))
        if one.launched_at is not None:
            continue
        known = of(zone, pool)
        delay = known.report_delay + zone.now - one.granted_at
        put(zone, pool, reports=known.reports + 1, report_delay=delay)


def drop(zone: Zone, pool: str) -> None:
    """A reservation leaves without an end."""
    known = of(zone, pool)
    failed = None if known.failed_ceiling is None else max(0, known.failed_ceiling - 1)
    put(zone, pool, drops=known.drops + 1, lowered=known.lowered + 1, failed_ceiling=failed)


def end(zone: Zone, pool: str, one: Reservation, is_held: bool) -> None:
    """A reservation leaves by its end; it still is among the holders."""
    known = of(zone, pool)
    put(zone, pool, ends=known.ends + 1)
    if one.outcome == "no_resource":
        fail(zone, pool, len(zone.holders(pool)) - 1)
    elif is_held or one.taken or one.outcome in HAD_PORT:
        note_end(zone, pool, one)
        if one.outcome == "failed":
            put(zone, pool, lowered=of(zone, pool).lowered + 1)


def fail(zone: Zone, pool: str, in_use: int) -> None:
    """A launch found no port: no more than those that had theirs, until a newer snapshot."""
    known, failed = of(zone, pool), of(zone, pool).failed_ceiling
    if known.estimate and zone.now > known.failed_at + FAILURES_MS:
        full = max(0, in_use - known.estimate.pending)
        failed = full if failed is None else min(failed, full)
    put(zone, pool, failures=known.failures + 1, failed_at=zone.now, failed_ceiling=failed)


def note_end(zone: Zone, pool: str, one: Reservation) -> None:
    """A port became free; many at once may be a lost part of the platform."""
    known = of(zone, pool)
    at = one.ended_at if one.state != "releasing" and one.ended_at is not None else zone.now
    put(zone, pool, ended=(*known.ended, describe(at, one)))
    if zone.now - at > LATE_END_MS or one.outcome in NO_CONVERSATION:
        return
    same = zone.now - known.burst_at < BURST_MS
    burst = known.burst + 1 if same else 1
    put(zone, pool, burst=burst, burst_at=known.burst_at if same else zone.now)
    if known.estimate and burst > known.estimate.burst_limit:
        put(zone, pool, frozen_at=zone.now)


def describe(at: int, one: Reservation) -> End:
    """A call at a moment at which it is known to have, or to have had, its port."""
    start = one.granted_at if one.launched_at is None else one.launched_at
    age = at // BIN_MS - (0 if one.adopted else start) // BIN_MS
    return End(at // BIN_MS, max(0, min(AGE_MAX, age)), one.launched_at is not None)
