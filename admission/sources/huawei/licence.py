"""The expiry of a Huawei licence, and the warning before it.

Huawei's documents type the dates as Long and define no unit; 0 means "not given". Assumed by the
number of digits: 8 are a day (YYYYMMDD or 2027-01-31, UTC, to its end), 10 seconds and 13
milliseconds since 1970. Any other number is shown unchanged and causes no warning.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

DAY_S: Final = 86_400
_DATE: Final = re.compile(r"([0-9]{4})[-/.]([0-9]{2})[-/.]([0-9]{2})(?![0-9])")
NOT_AVAILABLE: Final = str(2**32 - 1)  # minus one in 32 bits, as of the counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """The end of a licence.

    Args:
        ends: the day (ISO 8601), or the platform's number where it is no date; None: not given.
        expired: whether the end is in the past.
        warning: for the operator; empty: none.

    Example:
        licence = read_licence({"licenseEndDate": 20270131}, warn_days=30, now_s=time.time())
        licence.ends  # "2027-01-31"
    """

    ends: str | None = None
    expired: bool = False
    warning: str = ""

    def notes(self) -> dict[str, Any]:
        """Entries of the zone's status."""
        return {"licence_ends": self.ends, "licence_expired": self.expired} if self.ends else {}


def read_licence(counters: Mapping[str, Any], *, warn_days: int, now_s: float) -> Licence:
    """Read the licence of an answer.

    Args:
        counters: with `licenseEndDate`.
        warn_days: a licence that ends within so many days causes a warning.
        now_s: Unix time in seconds.
    """
    raw = str(counters.get("licenseEndDate") or "").strip()
    if raw in ("", "0", NOT_AVAILABLE):
        return Licence()
    ends_s = _parse_end(raw)
    if ends_s is None:
        return Licence(ends=raw[:20])
    day = datetime.fromtimestamp(ends_s, UTC).date().isoformat()
    left_s = ends_s - now_s
    if left_s <= 0:
        return Licence(ends=day, expired=True, warning=f"the licence expired on {day}")
    if left_s <= warn_days * DAY_S:
        # Without the days that are left: a warning is logged again whenever its text changes.
        return Licence(ends=day, warning=f"the licence ends on {day}")
    return Licence(ends=day)


def _parse_end(raw: str) -> float | None:
    """The Unix time in seconds, None where it is no date; of a text only the day counts."""
    if date := _DATE.match(raw):
        raw = "".join(date.groups())
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
