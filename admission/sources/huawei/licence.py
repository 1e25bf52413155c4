"""When a Huawei licence ends, and whether that is near enough to say so.

The documents call the dates Long and say no more; 0 is "not given". Assumed by the number of
digits: 8 are a day (YYYYMMDD, UTC, to its end), 10 seconds and 13 milliseconds since 1970. Anything
else is shown as it came and warns nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """The end of a licence.

    Args:
        ends: its day (ISO 8601), or the platform's number where that is no date; None: not given.
        expired: it is over.
        warning: what to tell the operator; empty: nothing.
    """

    ends: str | None = None
    expired: bool = False
    warning: str = ""

    def notes(self) -> dict[str, Any]:
        """For the zone's status."""
        return {"licence_ends": self.ends, "licence_expired": self.expired} if self.ends else {}


def read_licence(counts: Mapping[str, Any], *, warn_days: int, now_s: float) -> Licence:
    """The licence of an answer.

    Args:
        counts: with `licenseEndDate`.
        warn_days: one that ends within so many days is warned about.
        now_s: Unix time in seconds.
    """
    raw = str(counts.get("licenseEndDate") or "").strip()
    if raw in ("", "0"):
        return Licence()
    ends_s = _seconds(raw)
    if ends_s is None:
        return Licence(ends=raw[:20])
    day = datetime.fromtimestamp(ends_s, UTC).date().isoformat()
    left_s = ends_s - now_s
    if left_s <= 0:
        return Licence(ends=day, expired=True, warning=f"the licence expired on {day}")
    if left_s <= warn_days * DAY_S:
        # Without the days left: they change daily, and this is said once.
        return Licence(ends=day, warning=f"the licence ends on {day}")
    return Licence(ends=day)


def _seconds(raw: str) -> float | None:
    if not (raw.isascii() and raw.isdecimal()):
        return None
    if len(raw) == 10:
        return float(raw)
    if len(raw) == 13:
        return int(raw) / 1000
    if len(raw) != 8:
        return None
    try:
        day = datetime.strptime(raw, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return (day + timedelta(days=1)).timestamp() - 1
