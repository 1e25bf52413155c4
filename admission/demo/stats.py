"""Collects the numbers of the demo from the platform, the service and the dialers."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp

from admission.demo.calls import name_application
from admission.demo.launch_policies import DecisionCounts, PollingLaunchPolicy
from admission.demo.table import CampaignNumbers, Numbers, ZoneNumbers

TIMEOUT: Final = aiohttp.ClientTimeout(total=2)
# Averages begin when all ports have been used for the first time.
WARM_UP_S: Final = 8.0
_NOT_OUTCOMES: Final = frozenset({"launches", "over_launches"})


class LastWarning(logging.Handler):
    """Keeps the newest warning for display.

    Attributes: text: the warning; empty: none.

    Example:
        `logging.basicConfig(handlers=[LastWarning()])`
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first line of a warning."""
        self.text = f"{record.levelname.lower()}: {record.getMessage()}".partition("\n")[0]


class StatsCollector:
    """Reads the simulator and the service.

    Args:
        http: session for all requests.
        platform_url: of the simulator.
        service_url: of the controller; empty: there is none.
        zones: names of the zones.
        campaigns: name -> the defect of its dialers, for display.
        decisions: counts of the answers that the dialers received.
        polling: the launch policy of the dialers, if there is no controller.
        stopwatch: monotonic seconds.
        warnings: the newest one is displayed.

    Example:
        `numbers = await StatsCollector(http, ...).read()`
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        *,
        platform_url: str,
        service_url: str,
        zones: tuple[str, ...],
        campaigns: Mapping[str, str],
        decisions: DecisionCounts,
        polling: PollingLaunchPolicy | None,
        stopwatch: Callable[[], float],
        warnings: LastWarning,
    ) -> None:
        self._http = http
        self._platform_url = platform_url
        self._service_url = service_url
        self._zones = zones
        self._campaigns = campaigns
        self._decisions = decisions
        self._polling = polling
        self._stopwatch = stopwatch
        self._warnings = warnings
        self._began = stopwatch()
        self._filled_from: dict[str, dict[str, int]] = {}
        self._last = Numbers(url=service_url, seconds=0.0, zones=(), campaigns=())

    async def read(self) -> Numbers:
        """Return the numbers of now, or the last ones if the platform does not answer."""
        truth = await self._get(self._platform_url + "/sim/truth")
        if truth:
            self._last = await self._read(truth)
        return self._last

    async def _read(self, truth: dict[str, Any]) -> Numbers:
        served = await self._get(self._service_url + "/v1/zones") if self._service_url else {}
        status = {one["zone"]: one for one in served.get("zones", ()) if "pools" in one}
        seconds = self._stopwatch() - self._began
        if not self._filled_from and seconds >= WARM_UP_S:
            self._filled_from = {zone: truth["zones"][zone]["port_ms"] for zone in truth["zones"]}
        return Numbers(
            url=self._service_url,
            seconds=seconds,
            zones=tuple(self._read_zone(name, truth, status.get(name, {})) for name in self._zones),
            campaigns=tuple(
                self._read_campaign(name, truth, list(status.values())) for name in self._campaigns
            ),
            callers=sum(one["arrived"] for one in truth["foreign"].values()),
            turned_away=sum(one["blocked"] for one in truth["foreign"].values()),
            note=self._warnings.text,
        )

    async def _get(self, url: str) -> dict[str, Any]:
        try:
            async with self._http.get(url, timeout=TIMEOUT) as answer:
                answer.raise_for_status()
                found: dict[str, Any] = await answer.json()
                return found
        except (aiohttp.ClientError, TimeoutError):
            return {}

    def _read_zone(self, name: str, truth: dict[str, Any], status: dict[str, Any]) -> ZoneNumbers:
        real = truth["zones"][name]
        calls = truth["by_application"].get(name_application(name), {})
        pools = [one for one in status.get("pools", ()) if one["pool"].startswith("channel:")]
        unused, age_ms = self._read_snapshot(name, pools)
        return ZoneNumbers(
            name=name,
            ports=real["total"],
            used=sum(real["in_use"].values()),
            inbound=real["in_use"]["foreign"],
            unused=unused,
            age_ms=age_ms,
            in_use=_sum(pools, "in_use"),
            ceiling=_sum(pools, "ceiling"),
            recovering=status.get("recovering", False),
            grants=sum(n for (zone, _), n in self._decisions.grants.items() if zone == name),
            denies=self._count_denies(name),
            launches=calls.get("launches", 0),
            over_launches=calls.get("over_launches", 0),
            filled=self._compute_filled(name, real["port_ms"]),
        )

    def _read_snapshot(
        self, zone: str, pools: list[dict[str, Any]]
    ) -> tuple[dict[str, int] | None, int | None]:
        """Return the last snapshot of the platform, by channel, and its age in ms."""
        if self._polling is not None:
            if (count := self._polling.counts.get(zone)) is None:
                return None, None
            return count.unused, int((self._stopwatch() - count.at) * 1000)
        seen = {one["pool"].partition(":")[2]: one["snapshot"] for one in pools}
        if not seen or None in seen.values():
            return None, None
        return (
            {channel: snapshot["unused"] for channel, snapshot in seen.items()},
            max(snapshot["age_ms"] for snapshot in seen.values()),
        )

    def _count_denies(self, name: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for (zone, _, reason), count in self._decisions.denies.items():
            if zone == name:
                found[reason] = found.get(reason, 0) + count
        return found

    def _compute_filled(self, name: str, port_ms: dict[str, int]) -> float | None:
        if name not in self._filled_from:
            return None
        since = {key: port_ms[key] - self._filled_from[name][key] for key in port_ms}
        return (since["outbound"] + since["foreign"]) / max(1, since["available"])

    def _read_campaign(
        self, name: str, truth: dict[str, Any], status: list[dict[str, Any]]
    ) -> CampaignNumbers:
        counts = truth["by_campaign"].get(name, {})
        ended = sum(n for what, n in counts.items() if what not in _NOT_OUTCOMES)
        pools = [
            one for zone in status for one in zone["pools"] if one["pool"] == f"campaign:{name}"
        ]
        launches = counts.get("launches", 0)
        return CampaignNumbers(
            name=name,
            in_use=_sum(pools, "in_use"),
            calls=launches - ended,
            grants=sum(n for (_, one), n in self._decisions.grants.items() if one == name),
            denies=sum(n for (_, one, _), n in self._decisions.denies.items() if one == name),
            launches=launches,
            over_launches=counts.get("over_launches", 0),
            defect=self._campaigns[name],
        )


def _sum(pools: list[dict[str, Any]], key: str) -> int | None:
    """Return the sum over pools; None while one value is unknown."""
    values = [one[key] for one in pools]
    return sum(values) if values and None not in values else None
