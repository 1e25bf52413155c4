"""Fairness over HTTP: campaigns with unmet demand on two replicas, in real time, seeded.

Each scene has a zone of static ports, a Redis of its own and greedy dialers that ask one replica or
the other; calls last an exponential time. Shares are means of what a campaign holds. The scenes run
side by side, about two minutes.

    python -m benchmarks fairness
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from benchmarks.report import Report, machine, machine_line, table
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceHarness, replicas

MEASURED_S = 60.0
MEASURED_QUICK_S = 8.0
SAMPLE_S = 0.05
MANY = 50


@dataclass
class Scene:
    """One zone, and the calls of each campaign."""

    both: list[ServiceHarness]
    call_s: float
    rng: Random
    has: dict[str, int] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    names: Any = field(default_factory=itertools.count)

    def dial(self, campaign: str, per_s: float) -> None:
        """Send admission requests of a campaign at this rate, whatever the answers are."""
        self.busy.add(campaign)
        self._start(self._dialer(campaign, per_s))

    async def ask(self, campaign: str, **more: Any) -> dict[str, Any]:
        """Send one admission request; granted calls end by themselves."""
        self.requests[campaign] = self.requests.get(campaign, 0) + 1
        replica = self.rng.choice(self.both)
        answer = await replica.admit(f"r{next(self.names)}", campaign=campaign, **more)
        # An overloaded machine may answer 503, which is no decision.
        for one in answer.get("reservations", []):
            self._start(self._call(campaign, one))
        return answer

    async def shares(self, seconds: float) -> dict[str, float]:
        """Return the mean number of calls of each campaign during this time."""
        sums: dict[str, int] = dict.fromkeys(self.has, 0)
        until, samples = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            await asyncio.sleep(SAMPLE_S)
            samples += 1
            for campaign, units in self.has.items():
                sums[campaign] = sums.get(campaign, 0) + units
        return {campaign: total / samples for campaign, total in sums.items()}

    async def until(self, reached: Callable[[], bool], bound_s: float = 60.0) -> float:
        """Return the seconds until the condition holds."""
        started = time.monotonic()
        async with asyncio.timeout(bound_s):
            while not reached():  # noqa: ASYNC110  only reads counters
                await asyncio.sleep(SAMPLE_S)
        return time.monotonic() - started

    async def stop(self) -> None:
        """Stop all dialers and calls."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _dialer(self, campaign: str, per_s: float) -> None:
        begun = time.monotonic()
        for n in itertools.count():
            await asyncio.sleep(max(0.0, begun + n / per_s - time.monotonic()))
            if campaign in self.busy:
                self._start(self._ask_once(campaign))

    async def _ask_once(self, campaign: str) -> None:
        await self.ask(campaign)

    async def _call(self, campaign: str, one: dict[str, Any]) -> None:
        self.has[campaign] = self.has.get(campaign, 0) + 1
        await asyncio.sleep(self.rng.expovariate(1 / self.call_s))
        while not await self._ended(one):  # noqa: ASYNC110  repeated until accepted
            await asyncio.sleep(SAMPLE_S)
        self.has[campaign] -= 1

    async def _ended(self, one: dict[str, Any]) -> bool:
        http = self.rng.choice(self.both).http
        async with http.post(f"/v1/reservations/{one['id']}/end", json={}) as answer:
            return answer.status == 200


@asynccontextmanager
async def scene(seed: int, ports: int, call_s: float, **zone: Any) -> AsyncIterator[Scene]:
    with RedisServer() as server:
        async with replicas(server.url, capacity={"sip": ports}, **zone) as both:
            made = Scene(both, call_s, Random(seed))
            try:
                yield made
            finally:
                await made.stop()


def jain(shares: list[float]) -> float:
    """Return Jain's fairness index: 1 for equal shares, 1/n if one campaign has all.

    Source: R. Jain, D. Chiu, W. Hawe, DEC-TR-301, 1984.
    """
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


async def equal(seconds: float) -> dict[str, Any]:
    """Two of equal weight; one asks 100 times as often."""
    async with scene(1, 20, 6.0) as world:
        world.dial("often", 400)
        world.dial("seldom", 4)
        await world.shares(seconds / 3)
        world.requests.clear()
        shares = await world.shares(seconds)
        return {
            "shares": rounded(shares),
            "asks": dict(world.requests),
            "jain": round(jain(list(shares.values())), 4),
        }


async def weighted(seconds: float) -> dict[str, Any]:
    """Three of weights 1, 2, 5; the heaviest goes idle and comes back; then a guarantee."""
    call_s = 2.0
    campaigns = {"one": {}, "two": {"weight": 2}, "five": {"weight": 5}, "sure": {"guarantee": 10}}
    async with scene(2, 90, call_s, campaigns=campaigns | {"*": {}}) as world:
        for name in ("one", "two", "five"):
            world.dial(name, 40)
        await world.shares(3 * call_s)
        shares = await world.shares(seconds)
        heavy = shares["five"]
        world.busy.remove("five")
        lent = await world.until(lambda: world.has["one"] + world.has["two"] >= 0.95 * 80)
        world.busy.add("five")
        back = await world.until(lambda: world.has["five"] >= 0.9 * heavy)
        sure = await world.ask("sure", count=10, min_count=10)
        return {
            "shares": rounded({n: shares[n] for n in ("one", "two", "five")}),
            "idle_part_in_use_after_calls": round(lent / call_s, 2),
            "back_after_calls": round(back / call_s, 2),
            "guarantee_of_10": sure["decision"],
        }


async def many_at_once(seconds: float) -> dict[str, Any]:
    """One wants 50 of 100 ports at once or none, among three that ask for one."""
    call_s = 2.0
    async with scene(3, 100, call_s) as world:
        for name in ("a", "b", "c"):
            world.dial(name, 40)
        await world.shares(3 * call_s)
        waits = []
        for _ in range(max(1, int(seconds / 12))):
            started = time.monotonic()
            answer = await world.ask("many", count=MANY, min_count=MANY, wait_ms=30_000)
            assert answer["decision"] == "grant", answer
            waits.append(time.monotonic() - started)
            await world.until(lambda: not world.has.get("many"))
        return {"rounds": len(waits), "longest_wait_in_calls": round(max(waits) / call_s, 2)}


def rounded(shares: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in shares.items()}


SCENES: dict[str, Callable[[float], Awaitable[dict[str, Any]]]] = {
    "equal": equal,
    "weighted": weighted,
    "many_at_once": many_at_once,
}


async def measure(*, quick: bool) -> dict[str, Any]:
    seconds = MEASURED_QUICK_S if quick else MEASURED_S
    found = await asyncio.gather(*(one(seconds) for one in SCENES.values()))
    return {"machine": machine(), "measured_s": seconds} | dict(zip(SCENES, found, strict=True))


def written(found: dict[str, Any]) -> str:
    same, three, many = (found[name] for name in SCENES)
    asks, shares = same["asks"], three["shares"]
    each = shares["one"] + shares["two"] + shares["five"]
    parts = " : ".join(f"{8 * shares[name] / each:.2f}" for name in ("one", "two", "five"))
    rows = [
        ("equal weights, asks in the minute", f"{asks['often']} and {asks['seldom']}"),
        ("... ports of 20", f"{same['shares']['often']} and {same['shares']['seldom']}"),
        ("... Jain index", same["jain"]),
        ("weights 1 : 2 : 5, shares", parts),
        ("idle part in use by the others after", f"{three['idle_part_in_use_after_calls']} calls"),
        ("back at 90% of its share after", f"{three['back_after_calls']} calls"),
        ("10 guaranteed ports, first ask in a full zone", three["guarantee_of_10"]),
        (f"{MANY} at once, longest wait", f"{many['longest_wait_in_calls']} calls"),
    ]
    head = f"{machine_line(found['machine'])} Two replicas, dialers and Redis share it."
    basis = (
        f"Means of {found['measured_s']:.0f} s, over HTTP. A call lasts 2 s, in the first scene 6."
    )
    return "\n".join(("# Who gets the ports", "", head, "", basis, "", table(("", ""), rows)))


def run(*, quick: bool) -> Report:
    found = asyncio.run(measure(quick=quick))
    return Report(data=found, markdown=written(found))
