"""The platform misbehaves: its counts are refused, and the last good ones grow too old."""

import asyncio

import pytest
from aiohttp import web

from admission.config.settings import RedisSettings
from admission.sim.experience_portal.faults import FaultKind
from tests.faults.load import Load, Start, run_load, serve_polling
from tests.support.served_portal import CLAIM_MS, LAG_MS, LAUNCH_MS, ZONE, Handler

pytestmark = pytest.mark.faults
MAX_AGE_S = ZONE["max_age_ms"] / 1000  # type: ignore[operator]

NONSENSE: dict[FaultKind, str] = {
    "hang": "it hangs",
    "drop": "it resets every connection",
    "unauthorized": "it says 401",
    "html": "it answers HTML with status 200",
    "not_xml": "its answer is no XML",
    "truncated": "its answer ends in the middle",
    "negative": "a negative count",
    "above_total": "more unused than there are",
    "wrap": "4294967295",
}
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY a{n + 1} "{f"&a{n or str()};" * 10}">' for n in range(12))
    + "]><a>&a12;</a>"
)


async def bomb(_request: web.Request) -> web.Response:
    return web.Response(text=BOMB, content_type="text/xml")


async def hundred_megabytes(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/xml"})
    await response.prepare(request)
    try:
        for _ in range(1600):
            await response.write(b" " * 65536)
    except ConnectionError:
        pass  # the service has stopped reading
    return response


@pytest.fixture
def service(redis_url: str) -> Start:
    """Start the service in this process."""
    return serve_polling(RedisSettings(url=redis_url))


async def wait_out(load: Load) -> None:
    """Let the fault last until the last snapshot is too old, and end it."""
    await load.wait_for_silence()
    status = await load.get_status()
    assert status["sources"][0]["state"] != "ok" or status["stats"].get("deny:stale_snapshot")
    load.platform.set_fault(None)
    load.platform.handler = None
    await load.wait_for_grant()
    await asyncio.sleep(1.0)  # of full load, on snapshots of afterwards


@pytest.mark.parametrize("kind", NONSENSE)
async def test_the_platform_answers_nonsense_or_nothing(service: Start, kind: FaultKind) -> None:
    async with run_load(service) as load:
        load.platform.set_fault(kind)
        await wait_out(load)
        await load.finish(NONSENSE[kind], "Platform")


@pytest.mark.parametrize(
    ("handler", "row"), [(bomb, "an entity bomb"), (hundred_megabytes, "an answer of 100 MB")]
)
async def test_the_platform_sends_more_than_the_memory_holds(
    service: Start, handler: Handler, row: str
) -> None:
    async with run_load(service) as load:
        before = _resident_mb()
        load.platform.handler = handler
        await wait_out(load)
        assert _resident_mb() - before < 100
        await load.finish(row, "Platform")


def _resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


async def test_an_mpp_fails_and_returns(service: Start) -> None:
    async with run_load(service, mpps=2) as load:
        live = load.platform.live
        for _ in range(2):
            before = load.platform.over_launches
            live.act(lambda portal: portal.fail_mpp("East", "mpp1"))
            # A grant on a snapshot from before the failure may find its port gone, for so long.
            await asyncio.sleep((LAG_MS + LAUNCH_MS + CLAIM_MS) / 1000 + 1.0)
            load.excused += load.platform.over_launches - before
            before = load.platform.over_launches
            await asyncio.sleep(1.0)
            assert load.platform.over_launches == before
            live.act(lambda portal: portal.restore_mpp("East", "mpp1"))
            await load.wait_for_grant()
            await asyncio.sleep(0.5)
        await load.finish("one MPP of two dies, twice: launches under way fail with it", "Platform")
