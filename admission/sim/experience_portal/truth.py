"""True events on the simulated platform, for checks of tests; no platform interface shows them."""

from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any, Final

from admission.domain import Outcome
from admission.sim.experience_portal.zone import Call, Zone

# Over-launches that are listed; all are counted.
OVER_LAUNCHES_LISTED_MAX: Final = 1000
NAMES_MAX: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OverLaunch:
    """A launch that found no free port at `at` (simulated ms)."""

    at: int
    session: str
    zone: str
    campaign: str
    application: str
    channels: tuple[str, ...]
    bound_to: str | None


class Truth:
    """Counters since the simulation began.

    `launches`, `over_launches`: outbound; `by_campaign`, `by_application`: name -> counter with
    `launches`, `over_launches` and each outcome; `foreign`: stream -> counter with `arrived` and
    `blocked` (found no port); `last_over_launches`: the newest, one by one.
    """

    def __init__(self) -> None:
        self.launches = 0
        self.over_launches = 0
        self.by_campaign: dict[str, Counter[str]] = {}
        self.by_application: dict[str, Counter[str]] = {}
        self.foreign: dict[str, Counter[str]] = {}
        self.last_over_launches: deque[OverLaunch] = deque(maxlen=OVER_LAUNCHES_LISTED_MAX)

    def count_launch(self, call: Call) -> None:
        """Count a launched outbound call."""
        self.launches += 1
        self._count(call, "launches")

    def count_over_launch(self, call: Call, now: int) -> None:
        """Count an outbound call that found no free port."""
        self.over_launches += 1
        self._count(call, "over_launches")
        self.last_over_launches.append(
            OverLaunch(
                at=now,
                session=call.session,
                zone=call.zone.name,
                campaign=call.campaign,
                application=call.application,
                channels=call.channels,
                bound_to=call.bound.name if call.bound else None,
            )
        )

    def count_end(self, call: Call, outcome: Outcome) -> None:
        """Count an outbound call that ended."""
        self._count(call, outcome.value)

    def count_arrival(self, stream: str, found_port: bool) -> None:
        """Count a foreign call."""
        counts = self.foreign.setdefault(stream, Counter())
        counts["arrived"] += 1
        counts["blocked"] += not found_port

    def _count(self, call: Call, what: str) -> None:
        _counter(self.by_campaign, call.campaign)[what] += 1
        _counter(self.by_application, call.application)[what] += 1


def _counter(table: dict[str, Counter[str]], name: str) -> Counter[str]:
    """Return the counter of a name; beyond `NAMES_MAX`, names from requests share one."""
    if name not in table and len(table) >= NAMES_MAX:
        name = "(others)"
    return table.setdefault(name, Counter())


def zone_to_json(zone: Zone, now: int) -> dict[str, Any]:
    """Convert the true state of one zone to JSON values.

    `utilisation`: ports in use ÷ all ports, over time; `outbound_utilisation`: ports used by
    outbound calls ÷ ports without foreign calls.
    """
    zone.account(now)
    used, foreign, available = (zone.port_ms[key] for key in ("outbound", "foreign", "available"))
    return {
        "total": zone.total,
        "free": dict(zone.free),
        "in_use": dict(zone.in_use),
        "port_ms": dict(zone.port_ms),
        "utilisation": (used + foreign) / max(1, available),
        "outbound_utilisation": used / max(1, available - foreign),
        "mpps": {
            mpp.name: {"running": mpp.running, "ports": mpp.ports, "free": dict(mpp.free)}
            for mpp in zone.mpps.values()
        },
    }


def truth_json(truth: Truth, zones: dict[str, Zone], now: int) -> dict[str, Any]:
    """Convert the truth and the zones to JSON values; `now` in simulated ms."""
    return {
        "now": now,
        "launches": truth.launches,
        "over_launches": truth.over_launches,
        "by_campaign": truth.by_campaign,
        "by_application": truth.by_application,
        "foreign": truth.foreign,
        "last_over_launches": [asdict(one) for one in truth.last_over_launches],
        "zones": {name: zone_to_json(zone, now) for name, zone in zones.items()},
    }
