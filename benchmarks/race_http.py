"""The race over HTTP, in real time: a service, a served Experience Portal, greedy dialers.

200 ports, calls of 7 s, counts up to 0.4 s old, a poll every second. Each contestant meets a
simulated portal of its own with the same settings and seed; the dialers ask the served service
over HTTP, report each end, and ask again 50 to 150 ms after a denial. The oracle sees the portal's
true state without a network, so no service can reach it.

    oracle      grants while a port is free that no granted call is on its way to
    proved      `ceilings = "proved"`, the defaults
    learned     `ceilings = "learned"`, the defaults

    python -m benchmarks race_http           6 minutes, real time: needs a machine with spare time
    python -m benchmarks --quick race_http   2 minutes
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any, Final

from admission.domain.outcomes import Outcome
from admission.sim.experience_portal.platform import Portal
from admission.sim.values import Progress
from benchmarks.race.scenarios import SCENARIOS, Scenario
from benchmarks.report import Report, machine, machine_line, table
from tests.support.redis_server import RedisServer
from tests.support.served_portal import ServedPortal
from tests.support.service import ServiceHarness, serve_service, service_settings

SHORT: Final = next(one for one in SCENARIOS if one.name == "short")
INBOUND: Final = next(one for one in SCENARIOS if one.name == "short-inbound")
ORACLE, PROVED, LEARNED = "oracle", "proved", "learned"
WARM_UP_S, MEASURED_S, MEASURED_QUICK_S = 20.0, 40.0, 10.0
TARGET_PERCENT: Final = 93.0  # of the oracle's use
PAUSE_S: Final = 0.02  # between two launches of a dialer
SEED: Final = 1
CONFIG: Final = """
[server]
default_zone = "East"
[sources.epm]
type = "experience_portal"
url = "{url}"
auth = "none"
[zones.East]
source = "epm"
source_zone = "East"
channels = ["sip"]
poll_interval_ms = 1000
poll_min_ms = 1000
ceilings = "{ceilings}"
[zones.East.campaigns."*"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one contestant did after its warm-up; `used`: % of the ports that foreign calls left."""

    used: float
    launches: int
    failed: int

    @property
    def failing(self) -> float:
        """Launches that found no port, in percent."""
        return 100 * self.failed / max(1, self.launches)


@dataclass(slots=True)
class Granted:
    """A granted call, and how to report its end."""

    report_end: Callable[[Outcome], Awaitable[None]]


Ask = Callable[[], Awaitable[Granted | None]]


class Dialers:
    """Dialers of one contestant; each wants to launch one call more at any time.

    Attributes:
        claiming: granted calls that have neither a port nor ended.
    """

    def __init__(self, portal: ServedPortal, ask: Ask, count: int) -> None:
        self._portal, self._ask, self._random = portal, ask, Random(SEED)
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = count
        self.claiming = 0

    def start(self) -> None:
        """Start all dialers."""
        for _ in range(self._count):
            self._spawn(self._dial())

    async def stop(self) -> None:
        """Cancel dialers and calls; a fault of one is raised."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(found, Exception):
                raise found

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)

    async def _dial(self) -> None:
        while True:
            granted = await self._ask()
            if granted is None:
                await asyncio.sleep(self._random.uniform(0.05, 0.15))
                continue
            self.claiming += 1
            self._spawn(self._call(granted))
            await asyncio.sleep(PAUSE_S)

    async def _call(self, granted: Granted) -> None:
        await asyncio.sleep(self._random.uniform(0.01, 0.05))
        is_claiming = True
        async for step in await self._portal.launch({"campaign": "c"}, None):
            if step.progress in (Progress.PORT_TAKEN, Progress.ENDED) and is_claiming:
                self.claiming -= 1
                is_claiming = False
            if step.progress is Progress.ENDED:
                await asyncio.sleep(self._random.uniform(0.02, 0.1))
                await granted.report_end(step.outcome or Outcome.UNKNOWN)


@asynccontextmanager
async def serve_asked(portal: ServedPortal, ceilings: str) -> AsyncIterator[Ask]:
    """Serve the service in front of a portal; what it answers to a dialer."""
    with RedisServer() as redis:
        text = CONFIG.format(url=portal.url, ceilings=ceilings)
        async with serve_service(service_settings(text, redis.url)) as service:
            yield _AskService(service)


class _AskService:
    def __init__(self, service: ServiceHarness) -> None:
        self._service, self._asked = service, 0

    async def __call__(self) -> Granted | None:
        self._asked += 1
        answer = await self._service.admit(f"r{self._asked}")
        if answer.get("decision") != "grant":
            return None
        return Granted(lambda outcome: self._service.end(answer, outcome.value))


async def measure(name: str, scenario: Scenario, seconds: float) -> Score:
    """Run one contestant in real time."""
    portal = ServedPortal(4, SEED, scenario.platform())
    async with portal.serve():
        if name == ORACLE:
            return await _dial(portal, None, scenario, seconds)
        async with serve_asked(portal, name) as ask:
            return await _dial(portal, ask, scenario, seconds)


async def _dial(portal: ServedPortal, ask: Ask | None, scenario: Scenario, seconds: float) -> Score:
    async def ask_truth() -> Granted | None:
        free = portal.live.act(lambda one: one.zones["East"].free["sip"])
        return Granted(_report_nothing) if free > dialers.claiming else None

    dialers = Dialers(portal, ask or ask_truth, scenario.dialers)
    dialers.start()
    try:
        await asyncio.sleep(WARM_UP_S)
        before = portal.live.act(_read)
        await asyncio.sleep(seconds)
        after = portal.live.act(_read)
    finally:
        await dialers.stop()
    used, left, launches, failed = (b - a for a, b in zip(before, after, strict=True))
    return Score(used=100 * used / max(1, left), launches=launches, failed=failed)


async def _report_nothing(_outcome: Outcome) -> None:
    """The oracle needs no report."""


def _read(portal: Portal) -> tuple[int, int, int, int]:
    """Port-ms used by granted calls and left by foreign ones, launches, and those that failed."""
    zone, truth = portal.zones["East"], portal.truth
    zone.account(portal.now)
    left = zone.port_ms["available"] - zone.port_ms["foreign"]
    return zone.port_ms["outbound"], left, truth.launches, truth.over_launches


def run(*, quick: bool) -> Report:
    """Run all contestants, one after the other, and return the report."""
    scenarios = [SHORT] if quick else [SHORT, INBOUND]
    seconds = MEASURED_QUICK_S if quick else MEASURED_S
    scores = {
        scenario.title: {
            name: asyncio.run(measure(name, replace(scenario, on_demand=False), seconds))
            for name in (ORACLE, PROVED, LEARNED)
        }
        for scenario in scenarios
    }
    return report(scores, seconds)


def report(scores: dict[str, dict[str, Score]], seconds: float) -> Report:
    """Build the report of scores by scenario and contestant."""
    data = {
        "machine": machine(),
        "seconds": seconds,
        "scores": {
            title: {name: asdict(score) for name, score in found.items()}
            for title, found in scores.items()
        },
    }
    rows = [
        (
            title,
            name,
            f"{score.used:.1f}",
            f"{100 * score.used / found[ORACLE].used:.1f}",
            f"{score.launches:,}",
            f"{score.failing:.2f}",
        )
        for title, found in scores.items()
        for name, score in found.items()
    ]
    head = ("scenario", "contestant", "ports used, %", "of the oracle, %", "launches", "failing, %")
    target = min(100 * found[LEARNED].used / found[ORACLE].used for found in scores.values())
    lines = [
        "# The race over HTTP",
        "",
        machine_line(data["machine"]),
        f"Real time, {seconds:g} s after a warm-up of {WARM_UP_S:g} s; other work of the machine",
        "lowers the figures of the service and not those of the oracle.",
        "",
        table(head, rows),
        f"Target: learned uses at least {TARGET_PERCENT:g}% of the oracle's ports:"
        f" {'yes' if target >= TARGET_PERCENT else '**no**'} ({target:.1f}%).",
        "",
    ]
    return Report(data=data, markdown="\n".join(lines))
