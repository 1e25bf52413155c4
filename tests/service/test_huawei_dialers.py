"""Dialers that ask the service and launch at the simulated call centre: nobody finds it full."""

import asyncio
from random import Random
from typing import Any

from tests.support.huawei_platform import center
from tests.support.huawei_service import (
    AGENTS,
    POLICY,
    HuaweiHarness,
    serve_huawei_service,
    simulated,
)

LAUNCHES = 50
DIALERS = 6
PATIENCE_S = 120.0
# Others have two voice licences, one with IVR and one with the third agent, all the time.
OTHERS = ({"channel": "ivr"}, {"channel": "voice", "agent": AGENTS[-1]})
HOLD_MS = 3_600_000
DIALLED = (
    POLICY.replace("launch_within_ms = 1\n", "launch_within_ms = 1000\n")
    .replace("claim_within_ms = 0\n", "claim_within_ms = 2000\n")
    .replace("visibility_lag_ms = 0\n", "visibility_lag_ms = 250\n")
)


class Dialers:
    """Greedy, honest by their stopwatch; some say that a call rings, all say how it ended."""

    def __init__(self, centre: HuaweiHarness) -> None:
        self.centre = centre
        self.launched = 0
        self.outcomes: dict[str, int] = {}
        self._clock = asyncio.get_running_loop().time

    async def run(self, seed: int) -> None:
        random = Random(seed)
        while self.launched < LAUNCHES:
            asked_at = self._clock()
            answer = await self.centre.harness.ask(zone="Center", wait_ms=500, **_wish(random))
            for one in answer.get("reservations", ()):
                left_ms = answer["launch_within_ms"] - (self._clock() - asked_at) * 1000
                if left_ms > 0:
                    await self._call(one["id"], answer["channel"], random)
                else:
                    await self._report(one["id"], "end", outcome="not_launched")

    async def _call(self, reservation: str, channel: str, random: Random) -> None:
        shown = await self.centre.harness.get(f"/v1/reservations/{reservation}")
        agents = [pool.partition(":")[2] for pool in shown["pools"] if pool.startswith("agent:")]
        body = {"channel": channel, **({"agent": int(agents[0])} if agents else {})}
        session = (await self.centre.at.control("POST", "/calls", body))["session"]
        self.launched += 1
        state: dict[str, Any] = {"seq": -1, "state": ""}
        rings = random.random() < 0.5
        while state["state"] != "ended":
            path = f"/sessions/{session}?since={state['seq']}&wait_ms=30000"
            state = await self.centre.at.control("GET", path)
            if state["state"] == "port_taken" and rings:
                await self._report(reservation, "launched", port_taken=True)
        self.outcomes[state["outcome"]] = self.outcomes.get(state["outcome"], 0) + 1
        code = {"platform_code": state["code"]} if state["code"] else {}
        await self._report(reservation, "end", outcome=state["outcome"], **code)

    async def _report(self, reservation: str, verb: str, **body: Any) -> None:
        path = f"/v1/reservations/{reservation}/{verb}"
        status, answer = await self.centre.harness.send("POST", path, body)
        assert status == 200, answer


def _wish(random: Random) -> dict[str, Any]:
    """An IVR call, a voice call, or one that is bound to an agent."""
    kind = random.choice(["ivr", "voice", "agent"])
    if kind == "agent":
        return {"channel": "voice", "pools": [f"agent:{random.choice(AGENTS)}"]}
    return {"channel": kind}


async def test_no_granted_call_finds_the_call_centre_full(redis_url: str) -> None:
    async with serve_huawei_service(redis_url, policy=DIALLED) as centre:
        for other in OTHERS:
            await centre.at.control("POST", "/occupy", {"calls": 1, "hold_ms": HOLD_MS, **other})
        dialers = Dialers(centre)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            for seed in range(DIALERS):
                group.create_task(dialers.run(seed))
        truth = await centre.at.truth()
        status = await centre.status()

    assert dialers.launched >= LAUNCHES
    assert truth["launches"] == dialers.launched
    assert (truth["over_launches"], truth["codes"]) == (0, {})
    assert "no_resource" not in dialers.outcomes
    assert truth["free"] == {
        "voice": 4,
        "ivr": 3,
        "agent:1001": 1,
        "agent:1002": 1,
        "agent:1003": 0,
    }
    assert {pool["in_use"] for pool in status["pools"]} == {0}


async def test_dialers_who_do_not_ask_find_it_full() -> None:
    async with center(simulated()) as at:
        for n in range(20):
            body = {"channel": "voice", "agent": AGENTS[0]} if n % 4 == 0 else {"channel": "ivr"}
            await at.control("POST", "/calls", body)
        truth = await at.until(lambda truth: truth["live_calls"] == 0)

    assert truth["over_launches"] == sum(truth["codes"].values()) > 0
    assert set(truth["codes"]) <= {"34606", "00602"}
