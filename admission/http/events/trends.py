"""Recent decisions of a zone and its ports over time, derived from consecutive statuses.

Pure values: all times are zone times from the statuses.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from admission.domain import Answer

RECENT_MS: Final = 10_000
HISTORY_STEP_MS: Final = 2_000
HISTORY_POINTS_MAX: Final = 450  # a quarter of an hour
FIELDS: Final = ("total", "foreign", "in_use", "ceiling")

Counts: TypeAlias = Mapping[str, int]
Point: TypeAlias = list[Any]


class RecentDecisions:
    """Grants, and denials by reason, of the last ten seconds, from monotonic counters."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, Counts]] = deque()

    def add(self, status: Answer) -> None:
        """Add a newer status."""
        now, counts = status["now"], status.get("stats") or {}
        if self._seen and _was_reset(self._seen[-1], now, counts):
            self._seen.clear()
        self._seen.append((now, counts))
        while len(self._seen) > 2 and self._seen[1][0] <= now - RECENT_MS:
            self._seen.popleft()

    def summarize(self) -> dict[str, Any]:
        """Number of decisions, and the ms they were made in."""
        (since, before), (now, after) = self._seen[0], self._seen[-1]
        increases = {name: n - before.get(name, 0) for name, n in after.items()}
        denied = {
            name.removeprefix("deny:"): n
            for name, n in increases.items()
            if n and name.startswith("deny:")
        }
        return {"over_ms": now - since, "granted": increases.get("grant", 0), "denied": denied}


def _was_reset(last: tuple[int, Counts], now: int, counts: Counts) -> bool:
    """Did the store lose its counters, and perhaps its clock?"""
    return now < last[0] or any(counts.get(name, 0) < n for name, n in last[1].items())


class PortHistory:
    """Ports and their use over time: a point every two seconds, for a quarter of an hour.

    Channels that the platform counts together are one group (`h323+sip`).
    """

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=HISTORY_POINTS_MAX)

    def add(self, status: Answer) -> None:
        """Add a newer status; at most one every `HISTORY_STEP_MS` becomes a point."""
        now = status["now"]
        if self._points and now < self._points[-1][0]:
            self._points.clear()
        if not self._points or now - self._points[-1][0] >= HISTORY_STEP_MS:
            self._points.append([now, count_ports(status)])

    def summarize(self) -> dict[str, Any]:
        """`points`: zone time in ms, and for each group its counts in the order of `fields`."""
        return {"fields": FIELDS, "points": list(self._points)}


def count_ports(status: Answer) -> dict[str, list[int | None]]:
    """Group of channels -> total, foreign use, in_use, ceiling: one point of the chart."""
    groups: dict[str, list[int | None]] = {}
    for pool in _channels(status):
        snapshot, name = pool.get("snapshot") or {}, pool["pool"].partition(":")[2]
        total = snapshot.get("total", pool.get("capacity"))
        ceiling = pool.get("ceiling")
        ceiling = pool.get("limit") if ceiling is None else ceiling
        point = groups.setdefault(
            snapshot.get("group") or name, [total, snapshot.get("foreign", 0), 0, None]
        )
        point[2] = (point[2] or 0) + pool["in_use"]
        point[3] = ceiling if point[3] is None else point[3] + (ceiling or 0)
    return groups


def _channels(status: Answer) -> Iterator[Mapping[str, Any]]:
    return (pool for pool in status.get("pools") or () if pool["pool"].startswith("channel:"))
