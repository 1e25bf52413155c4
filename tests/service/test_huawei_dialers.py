"""Dialers of a simulated call centre: no granted call finds it full."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any

from admission.domain.outcomes import Outcome
from admission.sim.values import Progress
from tests.support.huawei_platform import Center, center
from tests.support.huawei_service import AGENTS, POLICY, serve_huawei_service, simulated
from tests.support.load_dialer import Dialer, LoadStatistics, Step

LAUNCHES = 50
DIALERS = 6
TIMEOUT_S = 120.0
# Foreign calls hold two voice licences, one with IVR and one with the third agent, all the time.
FOREIGN_CALLS = ({"channel": "ivr"}, {"channel": "voice", "agent": AGENTS[-1]})
HOLD_MS = 3_600_000
DIALLED = (
    POLICY.replace("launch_within_ms = 1\n", "launch_within_ms = 1000\n")
    .replace("claim_within_ms = 0\n", "claim_within_ms = 2000\n")
    .replace("visibility_lag_ms = 0\n", "visibility_lag_ms = 250\n")
)


class Launcher:
    """Launches granted calls through the control interface of the simulator."""

    def __init__(self, platform: Center) -> None:
        self._platform = platform

    async def launch(self, request: dict[str, Any], answer: Any) -> AsyncIterator[Step]:
        """Launch a call. Returns its steps."""
        agents = [pool.partition(":")[2] for pool in request.get("pools", ())]
        body = {"channel": answer["channel"], **({"agent": int(agents[0])} if agents else {})}
        return self._follow((await self._platform.control("POST", "/calls", body))["session"])

    async def _follow(self, session: str) -> AsyncIterator[Step]:
        seen: dict[str, Any] = {"seq": -1, "state": ""}
        while seen["state"] != Progress.ENDED:
            path = f"/sessions/{session}?since={seen['seq']}&wait_ms=30000"
            seen = await self._platform.control("GET", path)
            outcome = Outcome(seen["outcome"]) if seen["state"] == Progress.ENDED else None
            if seen["state"] in set(Progress):
                yield Step(Progress(seen["state"]), outcome, seen["code"] or "")


def make_request(random: Random) -> dict[str, Any]:
    """Return an IVR call, a voice call, or one that is bound to an agent."""
    kind = random.choice(["ivr", "voice", "agent"])
    request: dict[str, Any] = {"zone": "Center", "campaign": "collections", "wait_ms": 500}
    if kind == "agent":
        return request | {"channel": "voice", "pools": [f"agent:{random.choice(AGENTS)}"]}
    return request | {"channel": kind}


async def test_no_granted_call_finds_the_call_centre_full(redis_url: str) -> None:
    statistics = LoadStatistics()
    async with serve_huawei_service(redis_url, policy=DIALLED) as centre:
        for call in FOREIGN_CALLS:
            await centre.at.control("POST", "/occupy", {"calls": 1, "hold_ms": HOLD_MS, **call})
        async with AsyncExitStack() as stack, asyncio.timeout(TIMEOUT_S):
            dialers = [
                await stack.enter_async_context(
                    Dialer(
                        f"d{seed}",
                        centre.harness.url,
                        Launcher(centre.at).launch,
                        statistics,
                        seed,
                        make_request=make_request,
                        port_reports=0.5,
                    )
                )
                for seed in range(DIALERS)
            ]
            while statistics.launches < LAUNCHES:
                await statistics.wait_for_grants(statistics.grants + 1, TIMEOUT_S)
            await asyncio.gather(*(dialer.finish() for dialer in dialers))
        truth = await centre.at.truth()
        status = await centre.status()

    assert set(statistics.statuses) == {200}
    assert truth["launches"] == statistics.launches == sum(statistics.outcomes.values())
    assert truth["launches"] >= LAUNCHES
    assert (truth["over_launches"], truth["codes"]) == (0, {})
    assert Outcome.NO_RESOURCE not in statistics.outcomes
    assert truth["free"] == {
        "voice": 4,
        "ivr": 3,
        "agent:1001": 1,
        "agent:1002": 1,
        "agent:1003": 0,
    }
    assert {pool["in_use"] for pool in status["pools"]} == {0}


async def test_dialers_that_do_not_ask_find_the_call_centre_full() -> None:
    async with center(simulated()) as at:
        for n in range(20):
            body = {"channel": "voice", "agent": AGENTS[0]} if n % 4 == 0 else {"channel": "ivr"}
            await at.control("POST", "/calls", body)
        truth = await at.until(lambda truth: truth["live_calls"] == 0)

    assert truth["over_launches"] == sum(truth["codes"].values()) > 0
    assert set(truth["codes"]) <= {"34606", "00602"}
