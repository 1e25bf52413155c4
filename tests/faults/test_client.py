"""Dialers that hold their calls with the Python client, while answers and all state are lost."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from admission.client import AdmissionClient, NotAdmitted, Unavailable
from admission.client.portal import LaunchFailed, PortalLauncher
from admission.domain.outcomes import Outcome
from admission.sim.experience_portal.config import PortalSettings
from admission.sim.experience_portal.contract import CURRENT_PATH
from admission.sim.values import CallTiming, Delay
from tests.faults.table import record
from tests.support.experience_portal import Caller, calling_portal, system
from tests.support.proxy import FaultyProxy, address_of
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceHarness, serve_service, service_settings, wait_until

pytestmark = pytest.mark.faults

PORTS, DIALERS = 12, 24
BEFORE_S, DOWN_S, AFTER_S = 8.0, 1.0, 12.0
LOSSES_EVERY_S = 0.2
# Everything runs in this process, on a machine that may be busy: so the claim is given time.
ZONE = """
[sources.epm]
type = "experience_portal"
url = "{url}"
auth = "none"
[zones.East]
source = "epm"
source_zone = "East"
channels = ["sip"]
claim_within_ms = 4000
poll_interval_ms = 300
answer_within_ms = 20000
max_call_ms = 20000
[zones.East.campaigns."*"]
"""


@dataclass
class ClientRun:
    """A run of dialers that use the package `admission.client`, which is what these tests break.

    That is why they are no `Dialer` of tests/support: the client asks, repeats and reports.

    Attributes:
        results: how often a dialer got a grant, or which error.
    """

    harness: ServiceHarness
    proxy: FaultyProxy
    platform: Caller
    results: Counter[str] = field(default_factory=Counter)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


async def dial(run: ClientRun, client: AdmissionClient, portal: PortalLauncher, n: int) -> None:
    """Call after call; every other dialer's page reports for it."""
    rng = random.Random(n)
    while not run.stop.is_set():
        try:
            async with client.admission(f"c{n % 3}", patience_s=2) as grant:
                run.results["grant"] += 1
                launch = portal.launch_vxml if n % 2 else portal.launch_ccxml
                session = await launch(grant, "tel:1", "outcall", page_reports=n % 2 == 0)
                await asyncio.sleep(rng.uniform(0.2, 1.5))
                await run.platform.control("DELETE", f"/sim/sessions/{session}")
        except (NotAdmitted, Unavailable, LaunchFailed) as fault:
            run.results[type(fault).__name__] += 1
            await asyncio.sleep(0.2)


async def lose_answers(run: ClientRun) -> None:
    while True:
        await asyncio.sleep(LOSSES_EVERY_S)
        run.proxy.lose_one_more()


async def count_over_launches(platform: Caller) -> int:
    return int((await platform.control("GET", "/sim/truth"))["over_launches"])


async def wait_for_grant(run: ClientRun) -> float:
    """Wait for the next grant. Returns: seconds."""
    before, started = run.results["grant"], asyncio.get_running_loop().time()

    async def was_granted() -> bool:
        return run.results["grant"] > before

    await wait_until(was_granted)
    return asyncio.get_running_loop().time() - started


async def dial_and_break(run: ClientRun, redis: RedisServer) -> float:
    """Dial while answers are lost, and all state once. Returns: seconds without grants."""
    async with (
        AdmissionClient(run.proxy.url, close_s=60) as client,
        PortalLauncher(run.platform.url + CURRENT_PATH, outcomes={"1": Outcome.NO_RESOURCE},
                       zones={"East": "East"}) as portal,
        asyncio.TaskGroup() as group,
    ):  # fmt: skip
        losses = group.create_task(lose_answers(run))
        dialers = [group.create_task(dial(run, client, portal, n)) for n in range(DIALERS)]
        await asyncio.sleep(BEFORE_S)
        redis.kill()
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(redis.start)
        resumed_s = await wait_for_grant(run)
        await asyncio.sleep(AFTER_S)
        run.stop.set()
        await asyncio.wait(dialers)
        losses.cancel()
    return resumed_s


async def test_lost_answers_and_lost_state_cause_no_over_launch(own_redis: RedisServer) -> None:
    calls = CallTiming(
        prepare=Delay(low_ms=50, high_ms=500),
        answer_after=Delay(low_ms=100, high_ms=600),
        talk=Delay(low_ms=600_000, high_ms=600_000),
        answered=0.8,
        ring_at_most_ms=2_000,
    )
    platform = PortalSettings(
        system=system({"mpp1": {"sip": PORTS}}, calls=calls, lag_ms=200), current_auth="none"
    )
    async with calling_portal(platform) as caller:
        settings = service_settings(ZONE.format(url=caller.url + CURRENT_PATH), own_redis.url)
        async with (
            serve_service(settings) as harness,
            FaultyProxy(address_of(harness.url)) as proxy,
        ):
            run = ClientRun(harness=harness, proxy=proxy, platform=caller)
            resumed_s = await dial_and_break(run, own_redis)

            async def is_empty() -> bool:
                return await harness.in_use() == 0

            await wait_until(is_empty)
            over = await count_over_launches(caller)
            record(
                "answers lost all the time, Redis emptied once: dialers with the Python client",
                group="Network",
                grants=run.results["grant"],
                over_launches=over,
                leaked=await harness.in_use(),
                resumed_s=resumed_s,
            )
            assert over == 0, run.results
            assert run.results["grant"] > PORTS, run.results
            assert proxy.lost > 0
