"""The platform misbehaves: what it says is refused, and what it said before grows too old."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from admission.sim.experience_portal.faults import FaultKind
from tests.faults.outside import Scene, Start, polling, scene
from tests.faults.world import CLAIM_MS, LAG_MS, LAUNCH_MS, ZONE

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
        pass  # the service read as much as it wanted
    return response


@pytest.fixture
def service(redis_url: str) -> Start:
    """Platform -> the service in this process, that polls it."""
    return lambda platform: polling(platform, redis_url)


async def outlives(stage: Scene) -> None:
    """It lasts until the last photograph is too old, and is over then."""
    await stage.falls_silent()
    status = await stage.status()
    assert status["sources"][0]["state"] != "ok" or status["stats"].get("deny:stale_snapshot")
    stage.platform.misbehaves(None)
    stage.platform.weather = None
    await stage.resumes()
    await asyncio.sleep(1.0)  # of full load, on photographs of after


@pytest.mark.parametrize("kind", NONSENSE)
async def test_it_talks_nonsense_or_nothing(service: Start, kind: FaultKind) -> None:
    async with scene(service) as stage:
        stage.platform.misbehaves(kind)
        await outlives(stage)
        await stage.judge(NONSENSE[kind], "Platform")


@pytest.mark.parametrize(
    ("weather", "row"), [(bomb, "an entity bomb"), (hundred_megabytes, "an answer of 100 MB")]
)
async def test_it_sends_what_would_fill_the_memory(service: Start, weather: Any, row: str) -> None:
    async with scene(service) as stage:
        before = _resident_mb()
        stage.platform.weather = weather
        await outlives(stage)
        assert _resident_mb() - before < 100
        await stage.judge(row, "Platform")


def _resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


async def test_an_mpp_dies_and_comes_back(service: Start) -> None:
    async with scene(service, mpps=2) as stage:
        live = stage.platform.live
        for _ in range(2):
            before = stage.over_launches
            live.act(lambda portal: portal.fail_mpp("East", "mpp1"))
            # Who was granted on a photograph of before may find its port gone: for so long.
            await asyncio.sleep((LAG_MS + LAUNCH_MS + CLAIM_MS) / 1000 + 1.0)
            stage.excused += stage.over_launches - before
            before = stage.over_launches
            await asyncio.sleep(1.0)
            assert stage.over_launches == before
            live.act(lambda portal: portal.restore_mpp("East", "mpp1"))
            await stage.resumes()
            await asyncio.sleep(0.5)
        await stage.judge("one MPP of two dies, twice: launches under way fail with it", "Platform")
