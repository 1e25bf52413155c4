"""The bounds of all zones together against the memory of Redis."""

import pytest

from admission.domain.policy.memory import POOL_BYTES, RECORD_BYTES, ZONE_BYTES, estimate_memory
from tests.support.redis_server import RedisServer
from tests.support.service import EAST, ServiceHarness, serve_service, service_settings

MOST = ZONE_BYTES + 1_000_000 * RECORD_BYTES + 10_000 * POOL_BYTES  # of a zone with the defaults


def test_zones_add_up() -> None:
    assert estimate_memory([(1_000_000, 10_000)] * 3) == 3 * MOST


async def test_the_bound_of_a_zone_is_a_metric(harness: ServiceHarness) -> None:
    async with harness.http.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    start = 'admission_zone_memory_bound_bytes{zone="East"} '
    assert [float(one.removeprefix(start)) for one in lines if one.startswith(start)] == [MOST]


@pytest.mark.parametrize(("limit", "is_warned"), [(MOST, False), (MOST - 1, True)])
async def test_a_start_warns_of_zones_that_may_need_more_memory_than_there_is(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture, limit: int, is_warned: bool
) -> None:
    with own_redis.client() as client:
        client.config_set("maxmemory", limit)
    async with serve_service(service_settings(EAST, own_redis.url)) as served:
        await served.can_grant()
        while served.service._unprepared:
            await served.can_grant()
    warnings = [one for one in caplog.messages if "the zones may need" in one]
    assert len(warnings) == is_warned
