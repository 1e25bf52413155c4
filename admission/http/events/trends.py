"""What a zone did lately, learned from its statuses as they come: decisions, and ports over time.

Values only: the times are the zone's own, out of the statuses.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from admission.domain.types import Answer

RECENT_MS: Final = 10_000
HISTORY_STEP_MS: Final = 2_000
HISTORY_POINTS_MAX: Final = 450  # a quarter of an hour
FIELDS: Final = ("total", "foreign", "in_use", "ceiling")

Counts: TypeAlias = Mapping[str, int]
Point: TypeAlias = list[Any]


class RecentDecisions:
    """Grants, and denies by reason, of the last ten seconds, from counters that only grow."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, Counts]] = deque()

    def take(self, status: Answer) -> None:
        """A newer status."""
        now, counts = status["now"], status.get("stats") or {}
        if self._seen and _is_reborn(self._seen[-1], now, counts):
            self._seen.clear()
        self._seen.append((now, counts))
        while len(self._seen) > 2 and self._seen[1][0] <= now - RECENT_MS:
            self._seen.popleft()

    def told(self) -> dict[str, Any]:
        """How much was decided, and over how many ms."""
        (since, before), (now, after) = self._seen[0], self._seen[-1]
        grown = {name: n - before.get(name, 0) for name, n in after.items()}
        denied = {
            name.removeprefix("deny:"): n
            for name, n in grown.items()
            if n and name.startswith("deny:")
        }
        return {"over_ms": now - since, "granted": grown.get("grant", 0), "denied": denied}


def _is_reborn(last: tuple[int, Counts], now: int, counts: Counts) -> bool:
    """The store lost its counters, and perhaps its clock."""
    return now < last[0] or any(counts.get(name, 0) < n for name, n in last[1].items())


class PortHistory:
    """How many ports there were, and whose: a point every two seconds, for a quarter of an hour.

    Channels that the platform counts together are one group (`h323+sip`).
    """

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=HISTORY_POINTS_MAX)

    def take(self, status: Answer) -> None:
        """A newer status; most are passed over."""
        now = status["now"]
        if self._points and now < self._points[-1][0]:
            self._points.clear()
        if not self._points or now - self._points[-1][0] >= HISTORY_STEP_MS:
            self._points.append([now, ports_of(status)])

    def told(self) -> dict[str, Any]:
        """`points`: zone time in ms, and for each group its numbers in the order of `fields`."""
        return {"fields": FIELDS, "points": list(self._points)}


def ports_of(status: Answer) -> dict[str, list[int | None]]:
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
