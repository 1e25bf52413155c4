"""What a zone did lately: decisions of the last seconds, ports of the last minutes."""

from typing import Any

from admission.http.events.trends import (
    HISTORY_POINTS_MAX,
    HISTORY_STEP_MS,
    RECENT_MS,
    PortHistory,
    RecentDecisions,
    count_ports,
)

NOW = 1_790_000_000_000


def status(after_ms: int, pools: list[dict[str, Any]] | None = None, **stats: int) -> Any:
    counts = {name.replace("__", ":"): n for name, n in stats.items()}
    return {"now": NOW + after_ms, "stats": counts, "pools": pools or []}


def channel(name: str, in_use: int, **more: Any) -> dict[str, Any]:
    return {"pool": f"channel:{name}", "in_use": in_use, **more}


def recent(*statuses: Any) -> dict[str, Any]:
    decisions = RecentDecisions()
    for one in statuses:
        decisions.add(one)
    return decisions.summarize()


def test_the_first_status_contains_no_decision() -> None:
    found = recent(status(0, grant=7, deny__mpp_full=3))
    assert found == {"over_ms": 0, "granted": 0, "denied": {}}


def test_decisions_between_two_statuses_are_counted() -> None:
    found = recent(
        status(0, grant=7, deny__mpp_full=3),
        status(250, grant=9, deny__mpp_full=3, deny__no_capacity=2),
    )
    assert found == {"over_ms": 250, "granted": 2, "denied": {"no_capacity": 2}}


def test_old_decisions_are_dropped() -> None:
    found = recent(status(0), status(RECENT_MS, grant=5), status(2 * RECENT_MS, grant=6))
    assert found == {"over_ms": RECENT_MS, "granted": 1, "denied": {}}


def test_a_store_that_lost_its_counters_is_no_negative_count() -> None:
    found = recent(status(0, grant=50), status(250, grant=2), status(500, grant=3))
    assert found == {"over_ms": 250, "granted": 1, "denied": {}}


def test_channels_that_the_platform_counts_together_are_one_group() -> None:
    snapshot = {"total": 240, "unused": 100, "foreign": 30, "group": "h323+sip"}
    pools = [
        channel("sip", 70, ceiling=150, snapshot=snapshot),
        channel("h323", 5, ceiling=40, snapshot=snapshot),
        {"pool": "campaign:collections", "in_use": 75},
    ]
    assert count_ports({"pools": pools}) == {"h323+sip": [240, 30, 75, 190]}


def test_a_channel_without_snapshot_has_its_capacity() -> None:
    pool = channel("sip", 3, capacity=10, limit=10, ceiling=None, snapshot=None)
    assert count_ports({"pools": [pool]}) == {"sip": [10, 0, 3, 10]}


def test_a_channel_without_limits_has_only_in_use() -> None:
    assert count_ports({"pools": [channel("sip", 0)]}) == {"sip": [None, 0, 0, None]}


def test_the_history_has_a_point_every_few_seconds_and_an_end() -> None:
    history = PortHistory()
    for n in range(4 * HISTORY_POINTS_MAX):
        history.add(status(n * HISTORY_STEP_MS // 2, [channel("sip", n)]))
    points = history.summarize()["points"]
    assert len(points) == HISTORY_POINTS_MAX
    assert points[1][0] - points[0][0] == HISTORY_STEP_MS


def test_a_clock_of_another_store_restarts_the_history() -> None:
    history = PortHistory()
    for after_ms in (0, 60_000, 10_000):
        history.add(status(after_ms))
    assert [at for at, _ in history.summarize()["points"]] == [NOW + 10_000]
