"""What really happened on the simulated platform, for checkers: nobody on the wire sees it."""

from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any, Final

from admission.domain.outcomes import Outcome
from admission.sim.experience_portal.zone import Call, Zone

# So many over-launches are told one by one; all are counted.
OVER_LAUNCHES_TOLD_MAX: Final = 1000
NAMES_MAX: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OverLaunch:
    """A launch that found no free port: when it tried (simulated ms), and whose it was."""

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
    `blocked` (found no port).
    """

    def __init__(self) -> None:
        self.launches = 0
        self.over_launches = 0
        self.by_campaign: dict[str, Counter[str]] = {}
        self.by_application: dict[str, Counter[str]] = {}
        self.foreign: dict[str, Counter[str]] = {}
        self.told: deque[OverLaunch] = deque(maxlen=OVER_LAUNCHES_TOLD_MAX)

    def launched(self, call: Call) -> None:
        """An outbound call was launched."""
        self.launches += 1
        self._count(call, "launches")

    def over_launched(self, call: Call, now: int) -> None:
        """An outbound call found no free port."""
        self.over_launches += 1
        self._count(call, "over_launches")
        self.told.append(
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

    def ended(self, call: Call, outcome: Outcome) -> None:
        """An outbound call is over."""
        self._count(call, outcome.value)

    def arrived(self, stream: str, found_port: bool) -> None:
        """A call of somebody else came."""
        counts = self.foreign.setdefault(stream, Counter())
        counts["arrived"] += 1
        counts["blocked"] += not found_port

    def _count(self, call: Call, what: str) -> None:
        _counter(self.by_campaign, call.campaign)[what] += 1
        _counter(self.by_application, call.application)[what] += 1


def _counter(table: dict[str, Counter[str]], name: str) -> Counter[str]:
    """The counter of a name; names come from outside, so beyond `NAMES_MAX` they share one."""
    if name not in table and len(table) >= NAMES_MAX:
        name = "(others)"
    return table.setdefault(name, Counter())


def zone_truth(zone: Zone, now: int) -> dict[str, Any]:
    """The true state of one zone, ready for JSON.

    `utilisation`: ports used by anyone ÷ ports there were, over time; `outbound_utilisation`:
    ports used by outbound calls ÷ ports that others left, what a dialer could have had.
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
    """All of it, ready for JSON; `now` in simulated ms."""
    return {
        "now": now,
        "launches": truth.launches,
        "over_launches": truth.over_launches,
        "by_campaign": truth.by_campaign,
        "by_application": truth.by_application,
        "foreign": truth.foreign,
        "last_over_launches": [asdict(one) for one in truth.told],
        "zones": {name: zone_truth(zone, now) for name, zone in zones.items()},
    }
